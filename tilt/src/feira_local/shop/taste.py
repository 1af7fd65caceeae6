"""What customers like: one model for what the shop sells and for what its web site's users do.

Everything follows from the seed, the customer's number and the day, by hash and not by history; so any day is
drawn without those before it.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from feira_local.shop.catalogue import Numbers, make_catalogue
from feira_local.shop.source import SourceError

Draws = npt.NDArray[np.float64]

STAPLES = 10
HOMES = 3


@dataclass(frozen=True)
class Taste:
    """
    :param seed: decides the products, their groups, and what each customer likes
    :param clusters: groups of products that are chosen together
    :param cohesion: of choices that are no repetitions, the share that stays in the visit's group
    :param repeats: share of choices that are the customer's own staples
    :param drift_days: in about so many days the popular products of a group are others
    """

    seed: int = 7
    clusters: int = 40
    cohesion: float = 0.8
    repeats: float = 0.5
    drift_days: int = 90

    def __post_init__(self) -> None:
        require_within("seed", self.seed, 0, 2**31)
        require_within("clusters", self.clusters, 1, 400)
        require_within("cohesion", self.cohesion, 0, 1)
        require_within("repeats", self.repeats, 0, 1)
        require_within("drift_days", self.drift_days, 1, 100_000)


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
        return self.at(group, (self.sizes[group] * _skewed(draws)).astype(np.int64))


@lru_cache(maxsize=8)
def group_of(taste: Taste) -> Numbers:
    """Each product's group. Groups have equal sizes but for one product, and each is of one kind of thing or of
    few: who likes a group has favourite categories."""
    things = make_catalogue(taste.seed).things
    group = np.empty(len(things), dtype=np.int64)
    by_thing = np.lexsort((_generator(taste, 1).random(len(things)), things))
    group[by_thing] = np.arange(len(things)) * taste.clusters // len(things)
    return group


@lru_cache(maxsize=8)
def _staples(taste: Taste) -> Shelves:
    """The products in an order that no day changes: what customers keep buying is taken from it."""
    return _shelves(taste, _generator(taste, 2).random(len(group_of(taste))))


@lru_cache(maxsize=8)
def popular(taste: Taste, day: dt.date) -> Shelves:
    """The products as popular as they are on the day: each comes and goes with a period of its own."""
    draw = _generator(taste, 3).random((3, len(group_of(taste))))
    period = taste.drift_days * (0.5 + draw[0])
    return _shelves(taste, np.sin(2 * np.pi * (day.toordinal() / period + draw[1])) + draw[2])


@dataclass(frozen=True)
class Likes:
    """What each of some customers likes, whatever the day.

    ``homes`` has the groups, the most liked first: a column each. ``first`` is the rank of the first of the ten
    neighbours in the group most liked that the customer keeps buying.
    """

    shelves: Shelves
    homes: Numbers
    first: Numbers

    def staple(self, at: Numbers, nth: Numbers) -> Numbers:
        """The ``nth`` of what the customer at that place keeps buying."""
        return self.shelves.at(self.homes[at, 0], self.first[at] + nth % STAPLES)


def likes(taste: Taste, customers: Numbers) -> Likes:
    """Of each of the customers, a row."""
    draws = [_skewed(hashed(taste, customers, at)) for at in range(HOMES + 1)]
    homes = (taste.clusters * np.stack(draws[:HOMES], 1)).astype(np.int64)
    shelves = _staples(taste)
    first = shelves.sizes[homes[:, 0]] * draws[HOMES]
    return Likes(shelves, homes, first.astype(np.int64))


def chosen(
    taste: Taste, day: dt.date, customers: Numbers, visit: Numbers, liked: Draws, draws: Draws
) -> Numbers:
    """The product of each choice: one that the customer keeps buying, else one that is popular in the group that
    the visit is about, else in any group. What the visit has already gives way to any product of the group.

    :param customers: of each visit, who makes it
    :param visit: of each choice, the visit that it is made in
    :param liked: of each visit, a draw: which of the customer's groups it is about
    :param draws: of each choice, two draws: a row each
    """
    edges = np.array([0, taste.repeats, 1 - (1 - taste.repeats) * (1 - taste.cohesion), 1])
    kind = np.searchsorted(edges[1:3], draws[0], side="right")
    # Where the draw is within its kind is a draw again.
    rest = (draws[0] - edges[kind]) / np.diff(edges)[kind]
    like, shelves = likes(taste, customers), popular(taste, day)
    about = like.homes[np.arange(len(customers)), (HOMES * liked**2).astype(np.int64)]
    anywhere = taste.clusters * rest
    group = np.where(kind == 2, anywhere.astype(np.int64), about[visit])
    own = like.staple(visit, (STAPLES * draws[1] ** 1.5).astype(np.int64))
    found = np.where(kind == 0, own, shelves.draw(group, draws[1]))
    key = visit * len(shelves.ranked) + found
    order = np.argsort(key, kind="stable")
    again = order[1:][np.diff(key[order]) == 0]
    group = group[again]
    found[again] = shelves.at(
        group, (shelves.sizes[group] * (anywhere[again] % 1)).astype(np.int64)
    )
    return found


# The number of the first customer, and by how much the first come more often than the last.
FIRST_CUSTOMER = 10_001
EAGERNESS = 1.5


def customer_count(lines_per_day: int) -> int:
    """How many customers return to a shop of so many lines a day."""
    return min(max(lines_per_day, 500), 1_000_000)


def returning(customers: int, draws: Draws) -> Numbers:
    """A customer of the ``customers`` that return, counted from 0, for each draw of 0 to 1."""
    return (customers * draws**EAGERNESS).astype(np.int64)


def passing(day: dt.date, nth: Numbers) -> Numbers:
    """Who comes on the day and never again, beyond all who return: so they have tastes too."""
    return 2**40 + day.toordinal() * 2**24 + nth


def hashed(taste: Taste, customers: Numbers, salt: int) -> Draws:
    """A number of 0 to 1 that is a customer's own (splitmix64)."""
    mixed = (
        customers.astype(np.uint64)
        + np.uint64((taste.seed * 16 + salt) * 0x9E3779B97F4A7C15 % 2**64)
    ) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2**53


def require_within(name: str, value: float, low: float, high: float) -> None:
    """:raises SourceError: naming the setting, its value and its limits, where it is outside of them"""
    if not low <= value <= high:
        raise SourceError(f"{name} is {value}; it is {low:g} to {high:,.12g}.")


def _skewed(draws: Draws) -> Draws:
    """Draws of 0 to 1 of which more are near 0: the first groups, products and staples are liked most."""
    return draws * draws * np.sqrt(draws)


def _shelves(taste: Taste, score: Draws) -> Shelves:
    group = group_of(taste)
    ranked = np.lexsort((-score, group))
    sizes = np.bincount(group, minlength=taste.clusters)
    return Shelves(ranked, np.cumsum(sizes) - sizes, sizes)


def _generator(taste: Taste, salt: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([taste.seed, 11, salt]))
