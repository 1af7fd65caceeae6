"""What was known on a day, and what came after it: a split by time, which is the only one there is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from feira.recommendations.interactions import (
    Interactions,
    InteractionsError,
    Ints,
    Names,
    day_number,
    day_of,
    distinct,
)

# Of a user the newest interactions alone are learned from; what it has had is known from all.
HISTORY_CAP = 1000

Matrix = Any  # scipy's csr_array, for which there are no types


@dataclass(frozen=True)
class History:
    """The interactions before a day, with the users and items that are in them alone.

    Items are ordered from the one with the most users to the one with the fewest, then by name: of items
    with equal scores a list takes the first, which is the more popular one.

    :param as_of: the first day that is not in it, in days since 1970-01-01
    """

    user_ids: Names
    item_ids: Names
    users: Ints
    items: Ints
    days: Ints
    as_of: int

    def interactions(self) -> Interactions:
        """Its interactions."""
        order = np.argsort(self.item_ids)
        position = np.empty(len(order), dtype=np.int32)
        position[order] = np.arange(len(order), dtype=np.int32)
        return distinct(
            self.user_ids, self.item_ids[order], self.users, position[self.items], self.days
        )

    def ages(self) -> Ints:
        """Of each interaction the days to ``as_of``: 1 is the day before."""
        return (self.as_of - self.days).astype(np.int32)

    def matrix(self, values: npt.ArrayLike | None = None) -> Matrix:
        """Users by items: how much of ``values``, one an interaction, or how many days each pair has."""
        data = np.ones(len(self.days)) if values is None else np.asarray(values, dtype=float)
        shape = (len(self.user_ids), len(self.item_ids))
        return sparse.coo_array((data, (self.users, self.items)), shape=shape).tocsr()

    def seen(self) -> Matrix:
        """Users by items: 1 where the user had the item."""
        found = self.matrix()
        found.data[:] = 1
        return found

    def capped(self, most: int) -> History:
        """This history with the newest ``most`` interactions of each user; of one day, those with the
        more popular items. Users and items stay, so that positions do."""
        order = np.lexsort((self.items, -self.days, self.users))
        kept = order[places_within(self.users[order]) < most]
        return History(
            self.user_ids,
            self.item_ids,
            self.users[kept],
            self.items[kept],
            self.days[kept],
            self.as_of,
        )


def places_within(groups: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
    """Of each row its place among those of its group, from 0; rows of a group (0 or more) stand together."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    return np.arange(len(groups)) - np.repeat(starts, np.diff(starts, append=len(groups)))


def history_before(all_of: Interactions, cut: date) -> History:
    """What was known when ``cut`` began."""
    return known_before(all_of, day_number(cut))


def known_before(all_of: Interactions, as_of: int) -> History:
    """What was known when a day began, in days since 1970-01-01: it may be the one after the last that dates have."""
    before = all_of.days < as_of
    users, user_codes = np.unique(all_of.users[before], return_inverse=True)
    items, item_codes = np.unique(all_of.items[before], return_inverse=True)
    pairs = np.unique(item_codes.astype(np.int64) * max(len(users), 1) + user_codes)
    popularity = np.bincount(pairs // max(len(users), 1), minlength=len(items))
    order = np.argsort(-popularity, kind="stable")
    position = np.empty(len(items), dtype=np.int32)
    position[order] = np.arange(len(items), dtype=np.int32)
    return History(
        user_ids=all_of.user_ids[users],
        item_ids=all_of.item_ids[items[order]],
        users=user_codes.astype(np.int32),
        items=position[item_codes],
        days=all_of.days[before],
        as_of=as_of,
    )


@dataclass(frozen=True)
class Split:
    """A history, and what its users did from the cut on.

    :param users: the history's users that have a future, by position
    :param future: these users by the history's items: 1 where the user has the item in the future
    :param unknown: of each of these users, how many items of the future nobody had before the cut
    :param after: the interactions from the cut on, of all users
    """

    history: History
    users: Ints
    future: Matrix
    unknown: Ints
    after: int


def require_later_day(all_of: Interactions, day: date, problem: str) -> None:
    """Refuses a day before which there are no interactions, or after all of them.

    :param problem: what it does, to begin the message with
    :raises InteractionsError: naming the days that it may be
    """
    if not len(all_of):
        raise InteractionsError(
            "There are no interactions; a split by time needs two days of them."
        )
    first, last = day_of(all_of.days.min()), day_of(all_of.days.max())
    if not first < day <= last:
        raise InteractionsError(
            f"{problem}: the interactions are of {first} to {last}, so it must "
            f"be a day from {first + timedelta(days=1)} to {last}."
            if first < last
            else f"All interactions are of {first}; a split by time needs two days."
        )


def split_at(all_of: Interactions, cut: date) -> Split:
    """Splits at the beginning of ``cut``.

    :raises InteractionsError: where one side has no interactions, or no user is on both
    """
    require_later_day(all_of, cut, f"The cut {cut} leaves one side empty")
    history = history_before(all_of, cut)
    after = all_of.days >= day_number(cut)
    user_at = {name: position for position, name in enumerate(history.user_ids)}
    item_at = {name: position for position, name in enumerate(history.item_ids)}
    of_user = np.array([user_at.get(name, -1) for name in all_of.user_ids], dtype=np.int32)
    of_item = np.array([item_at.get(name, -1) for name in all_of.item_ids], dtype=np.int32)
    pairs = np.unique(np.column_stack([all_of.users[after], all_of.items[after]]), axis=0)
    pairs = pairs[of_user[pairs[:, 0]] >= 0]
    if not len(pairs):
        raise InteractionsError(
            f"No user is on both sides of the cut {cut}: of {len(history.user_ids):,} with a history and "
            f"{len(np.unique(all_of.users[after])):,} with a future none is the same."
        )
    users, rows = np.unique(of_user[pairs[:, 0]], return_inverse=True)
    items = of_item[pairs[:, 1]]
    known = items >= 0
    future = sparse.coo_array(
        (np.ones(int(known.sum())), (rows[known], items[known])),
        shape=(len(users), len(history.item_ids)),
    ).tocsr()
    unknown = np.bincount(rows[~known], minlength=len(users))
    return Split(
        history, users.astype(np.int32), future, unknown.astype(np.int32), int(after.sum())
    )


# Four weeks, as the features' windows.
MOST_DAYS = 28


def held_out_days(days: npt.NDArray[np.integer[Any]], as_of: date) -> int:
    """How many of the last calendar days up to ``as_of`` are held out to judge a method by: 28, and at most half of
    the days since the first, and as many as have half of the interactions, to the nearest day.

    Of a young shop the first day alone would not do: one line of an order of years ago moves it, and leaves nothing
    to learn from. Nor would a count of the days with interactions, since shops close.

    :param days: of each interaction up to ``as_of``, in days since 1970-01-01
    """
    if not len(days):
        return 1
    ages = day_number(as_of) - days
    held_out = np.bincount(ages[ages < MOST_DAYS], minlength=MOST_DAYS).cumsum()
    from_half = np.abs(2 * held_out - len(ages))
    # Of equals the most days: those between have no interactions.
    half = MOST_DAYS - int(np.argmin(from_half[::-1]))
    return max(1, min(half, (int(ages.max()) + 1) // 2))


def default_cut(all_of: Interactions) -> date:
    """The day on which the last fifth of the days that have interactions begins."""
    days = np.unique(all_of.days)
    return day_of(days[min(max(1, len(days) * 4 // 5), len(days) - 1)])
