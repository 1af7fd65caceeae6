"""The products by group, most popular first, as a day finds them; and what each user keeps buying."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from feira_local.shop.catalogue import make_catalogue
from feira_local.web.settings import LIST_LENGTH, WebSettings

Numbers = npt.NDArray[np.int64]
Draws = npt.NDArray[np.float64]
Texts = npt.NDArray[np.bytes_]

# How much more the first of a group is chosen than the last: the exponent of a uniform draw.
SKEW = 2.5


@dataclass(frozen=True)
class Shelves:
    """``ranked[starts[group] + rank]`` is a product; ranks count from 0, the most popular one."""

    ranked: Numbers
    starts: Numbers
    sizes: Numbers

    def at(self, group: Numbers, rank: Numbers) -> Numbers:
        """The products at ranks of groups; a rank past the last begins again at the first."""
        return self.ranked[self.starts[group] + rank % self.sizes[group]]

    def draw(self, group: Numbers, draws: Draws) -> Numbers:
        """A product of each group by popularity, from draws of 0 to 1."""
        return self.at(group, (self.sizes[group] * draws**SKEW).astype(np.int64))


def skus(settings: WebSettings) -> Texts:
    """Stock codes by product: those of the simulated shop with the same seed."""
    goods = make_catalogue(settings.seed)
    return goods.skus[: goods.product_count].astype(bytes)


@lru_cache(maxsize=8)
def group_of(settings: WebSettings) -> Numbers:
    """Each product's group. Groups have equal sizes but for one product."""
    count = len(skus(settings))
    return _generator(settings, 1).permutation(count) % settings.clusters


@lru_cache(maxsize=8)
def staples(settings: WebSettings) -> Shelves:
    """The products in an order that no day changes: what users keep buying is taken from it."""
    return _shelves(settings, _generator(settings, 2).random(len(skus(settings))))


@lru_cache(maxsize=8)
def popular(settings: WebSettings, day: dt.date) -> Shelves:
    """The products as popular as they are on the day: each comes and goes with a period of its own."""
    draw = _generator(settings, 3).random((3, len(skus(settings))))
    period = settings.drift_days * (0.5 + draw[0])
    return _shelves(settings, np.sin(2 * np.pi * (day.toordinal() / period + draw[1])) + draw[2])


def homes(settings: WebSettings, users: Numbers) -> Numbers:
    """The three groups that each user likes, the most liked first: a column each."""
    return np.stack(
        [(hashed(settings, users, at) * settings.clusters).astype(np.int64) for at in range(3)], 1
    )


def staple(settings: WebSettings, users: Numbers, nth: Numbers) -> Numbers:
    """The ``nth`` of the ten products that a user keeps buying, all of the group most liked."""
    shelves, home = staples(settings), homes(settings, users)[:, 0]
    first = (shelves.sizes[home] * hashed(settings, users, 3) ** SKEW).astype(np.int64)
    return shelves.at(home, first + nth % LIST_LENGTH)


def hashed(settings: WebSettings, users: Numbers, salt: int) -> Draws:
    """A number of 0 to 1 that is a user's own (splitmix64)."""
    mixed = (
        users.astype(np.uint64)
        + np.uint64((settings.seed * 16 + salt) * 0x9E3779B97F4A7C15 % 2**64)
    ) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2**53


def _shelves(settings: WebSettings, score: Draws) -> Shelves:
    group = group_of(settings)
    ranked = np.lexsort((-score, group))
    sizes = np.bincount(group, minlength=settings.clusters)
    return Shelves(ranked, np.cumsum(sizes) - sizes, sizes)


def _generator(settings: WebSettings, salt: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([settings.seed, 11, salt]))
