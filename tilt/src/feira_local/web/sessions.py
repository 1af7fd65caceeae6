"""Draws one block of sessions, column by column: views, carts, purchases, impressions and clicks.

A day is cut into blocks of SESSIONS sessions, each of a stretch of the day. A block follows from
(seed, day, number) alone.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feira.core.contracts import contract
from feira.user_events.codec import TABLE
from feira_local.shop import taste
from feira_local.shop.blocks import HOURS, ORDERS_BY_HOUR
from feira_local.shop.catalogue import Numbers
from feira_local.shop.generator import WEEKDAY_VOLUME
from feira_local.shop.taste import Draws
from feira_local.web.settings import LIST_LENGTH, WebSettings

Texts = npt.NDArray[np.bytes_]

SESSIONS = 4096
# What a session has of events, on average over many: measured, and held by a test.
EVENTS_A_SESSION = 12.15
SECOND = 1_000_000
# Sessions of a day end on it.
LAST_START = 86_400 - 7_200
LONGEST = 40
SLOTS = ("again", "new")
ARMS = ("a", "b")
VIEW, CART, PURCHASE, IMPRESSION, CLICK = (
    contract(TABLE).column("event_type").allowed.index(kind)
    for kind in ("view", "add_to_cart", "purchase", "impression", "click")
)


@dataclass(frozen=True)
class Sessions:
    """A session each: who, what it is called, where the user stands in the experiment."""

    user: Numbers
    user_id: Texts
    session_id: Texts
    slot: Numbers
    arm: Numbers


@dataclass(frozen=True)
class Events:
    """An event each. ``time`` is in microseconds of the day; ``quantity`` and ``position`` are 0 where
    there is none, and ``impression`` is the index of the impression that was clicked, else -1."""

    session: Numbers
    kind: Numbers
    time: Numbers
    item: Numbers
    quantity: Numbers
    position: Numbers
    probability: Draws
    impression: Numbers

    def __len__(self) -> int:
        return len(self.kind)


def session_count(settings: WebSettings, day: dt.date) -> int:
    """How many sessions the day has."""
    volume = WEEKDAY_VOLUME[day.weekday()]
    return max(1, round(settings.events * volume / EVENTS_A_SESSION))


def draw(
    settings: WebSettings, day: dt.date, number: int, sessions: int, stretch: tuple[float, float]
) -> tuple[Sessions, Events]:
    """A block of so many sessions, begun within a stretch of the day's visits (shares of 0 to 1)."""
    generator = np.random.Generator(
        np.random.PCG64([settings.taste.seed, day.toordinal(), number, 12])
    )
    who = _sessions(settings, day, number, generator.random((5, sessions)))
    share = stretch[0] + (stretch[1] - stretch[0]) * generator.random(sessions)
    start = np.interp(share, ORDERS_BY_HOUR, HOURS) * (LAST_START / 86_400) * SECOND
    begun = start.astype(np.int64)
    viewed = _views(settings, day, who, begun, generator)
    shown = _impressions(settings, day, who, begun, generator)
    clicked = _clicks(settings, who, shown, generator)
    clicked = _changed(clicked, impression=clicked.impression + len(viewed))
    ends = np.maximum.reduceat(viewed.time, np.searchsorted(viewed.session, np.arange(sessions)))
    chosen = _chosen([viewed, clicked], ends, generator)
    return who, _joined([viewed, shown, clicked, *chosen])


def _sessions(settings: WebSettings, day: dt.date, number: int, draws: Draws) -> Sessions:
    count = draws.shape[1]
    visitor = draws[1] < settings.visitors
    nth = number * SESSIONS + np.arange(count)
    user = np.where(visitor, taste.passing(day, nth), taste.returning(settings.users, draws[0]))
    named = np.where(visitor, nth, user + taste.FIRST_CUSTOMER).astype(bytes)
    prefix = np.where(visitor, f"v{day:%Y%m%d}-".encode(), b"")
    session_id = np.char.add(f"{day:%Y%m%d}-".encode(), nth.astype(bytes))
    again = (draws[2] < 0.5) & ~visitor
    arm = (taste.hashed(settings.taste, user, 4) >= 0.5).astype(np.int64)
    return Sessions(
        user=user,
        user_id=np.char.add(prefix, named),
        session_id=session_id,
        slot=np.where(again, 0, 1),
        arm=arm,
    )


def _views(
    settings: WebSettings,
    day: dt.date,
    who: Sessions,
    begun: Numbers,
    generator: np.random.Generator,
) -> Events:
    count = 1 + np.minimum(generator.exponential(4.0, len(begun)).astype(np.int64), LONGEST - 1)
    session = np.repeat(np.arange(len(begun)), count)
    draws, liked = generator.random((2, len(session))), generator.random(len(begun))
    item = taste.chosen(settings.taste, day, who.user, session, liked, draws)
    pause = SECOND + generator.exponential(30.0 * SECOND, len(session)).astype(np.int64)
    elapsed = np.cumsum(np.minimum(pause, 120 * SECOND))
    first = np.cumsum(count) - count
    elapsed -= np.repeat(elapsed[first], count)
    return _events(session, VIEW, begun[session] + elapsed, item)


def _impressions(
    settings: WebSettings,
    day: dt.date,
    who: Sessions,
    begun: Numbers,
    generator: np.random.Generator,
) -> Events:
    """The list of the session's slot, in three of five sessions; one pair of it may be swapped."""
    at = np.flatnonzero(generator.random(len(begun)) < 0.6)
    rank = np.tile(np.arange(LIST_LENGTH), (len(at), 1))
    # A pair of ten is two tenths of the positions.
    swapped = np.flatnonzero(generator.random(len(at)) < settings.swapped * LIST_LENGTH / 2)
    one = (LIST_LENGTH * generator.random(len(swapped))).astype(np.int64)
    more = 1 + ((LIST_LENGTH - 1) * generator.random(len(swapped))).astype(np.int64)
    other = (one + more) % LIST_LENGTH
    rank[swapped, one], rank[swapped, other] = other, one
    session = np.repeat(at, LIST_LENGTH)
    place = np.tile(np.arange(LIST_LENGTH), len(at))
    own = rank.ravel() == place
    shown = _events(
        session,
        IMPRESSION,
        begun[session] + place,
        listed(settings, day, who, session, rank.ravel()),
    )
    probability = np.where(own, 1 - settings.swapped, settings.swapped / (LIST_LENGTH - 1))
    return _changed(shown, position=place + 1, probability=probability)


def listed(
    settings: WebSettings, day: dt.date, who: Sessions, session: Numbers, rank: Numbers
) -> Numbers:
    """The product at each rank, from 0, of the list that a session is shown; made of the day before."""
    like = taste.likes(settings.taste, who.user)
    home = like.homes[session]
    before = taste.popular(settings.taste, day - dt.timedelta(days=1))
    again, arm_a = who.slot[session] == 0, who.arm[session] == 0
    group = np.where(again, home[:, 0], np.where(arm_a, home[:, 1], home[:, 2]))
    return np.where(
        again & arm_a,
        like.staple(session, rank),
        before.at(group, rank),
    )


def _clicks(
    settings: WebSettings, who: Sessions, shown: Events, generator: np.random.Generator
) -> Events:
    """More clicks for what a user keeps buying, for first positions, and little else."""
    like = taste.likes(settings.taste, who.user)
    first = like.staple(shown.session, np.zeros(len(shown), dtype=np.int64))
    of_group = taste.group_of(settings.taste)
    liked = (of_group[shown.item][:, None] == like.homes[shown.session]).any(axis=1)
    kept = who.slot[shown.session] == 0
    worth = 0.02 + 0.10 * liked + 0.10 * kept + 0.10 * (shown.item == first)
    seen = 1 / (1 + 0.35 * (shown.position - 1))
    at = np.flatnonzero(generator.random(len(shown)) < worth * seen)
    later = ((1 + 60 * generator.random(len(at))) * SECOND).astype(np.int64)
    taken = _taken(shown, at)
    return _changed(taken, kind=np.full(len(at), CLICK), time=taken.time + later, impression=at)


def _chosen(found: list[Events], ends: Numbers, generator: np.random.Generator) -> list[Events]:
    """What goes into the cart, and what of it is bought when the session ends."""
    buys = generator.random(len(ends)) < 0.5
    carts = []
    for events, share in zip(found, (0.15, 0.3), strict=True):
        at = np.flatnonzero(generator.random(len(events)) < share)
        quantity = 1 + (12 * generator.random(len(at)) ** 3).astype(np.int64)
        later = ((1 + 5 * generator.random(len(at))) * SECOND).astype(np.int64)
        cart = _events(events.session[at], CART, events.time[at] + later, events.item[at])
        carts.append(_changed(cart, quantity=quantity))
    cart = _joined(carts)
    bought = _taken(cart, np.flatnonzero(buys[cart.session]))
    time = ends[bought.session] + 90 * SECOND + np.arange(len(bought)) % SECOND
    return [cart, _changed(bought, kind=np.full(len(bought), PURCHASE), time=time)]


def _events(session: Numbers, kind: int, time: Numbers, item: Numbers) -> Events:
    none = np.zeros(len(session), dtype=np.int64)
    return Events(
        session=session,
        kind=np.full(len(session), kind),
        time=time,
        item=item,
        quantity=none,
        position=none,
        probability=np.zeros(len(session)),
        impression=none - 1,
    )


def _changed(events: Events, **columns: npt.NDArray[np.generic]) -> Events:
    return Events(**{**vars(events), **columns})


def _taken(events: Events, at: Numbers) -> Events:
    return Events(**{name: column[at] for name, column in vars(events).items()})


def _joined(parts: list[Events]) -> Events:
    return Events(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])}
    )
