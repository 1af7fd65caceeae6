"""Who took what, on which day: what everything about recommendations is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from feira.core.errors import PermanentError

Ints = npt.NDArray[np.int32]
Names = npt.NDArray[np.object_]

EPOCH = date(1970, 1, 1)


class InteractionsError(PermanentError):
    """The interactions cannot be read, or nothing can be evaluated on them."""


@dataclass(frozen=True)
class Interactions:
    """Distinct triples of user, item and UTC day, in no order.

    :param user_ids: the users' names, sorted; ``users`` holds positions in it
    :param item_ids: the same of the items
    :param days: days since 1970-01-01
    """

    user_ids: Names
    item_ids: Names
    users: Ints
    items: Ints
    days: Ints

    def __len__(self) -> int:
        return len(self.days)


def interactions(rows: Sequence[tuple[str, str, date]]) -> Interactions:
    """Interactions from rows of user, item and day; a row that is there again counts once."""
    users, items, days = zip(*rows, strict=True) if rows else ((), (), ())
    user_ids, user_codes = np.unique(np.array(users, dtype=object), return_inverse=True)
    item_ids, item_codes = np.unique(np.array(items, dtype=object), return_inverse=True)
    return distinct(user_ids, item_ids, user_codes, item_codes, [day_number(it) for it in days])


def distinct(
    user_ids: Names,
    item_ids: Names,
    users: npt.ArrayLike,
    items: npt.ArrayLike,
    days: npt.ArrayLike,
) -> Interactions:
    """The interactions that are left of these when each counts once."""
    triples = [np.asarray(each, dtype=np.int32) for each in (users, items, days)]
    order = np.lexsort(triples)
    users, items, days = (each[order] for each in triples)
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(users) != 0) | (np.diff(items) != 0) | (np.diff(days) != 0)
    return Interactions(user_ids, item_ids, users[first], items[first], days[first])


def day_number(day: date) -> int:
    return (day - EPOCH).days


def day_of(number: int) -> date:
    return EPOCH + timedelta(days=int(number))
