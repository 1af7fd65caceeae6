"""The first ten places of each user: of lists that a method would make, and of those that a version has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from feira.recommendations import metrics
from feira.recommendations.bootstrap import NOTHING, Figure, means
from feira.recommendations.evaluation import LENGTH, sampled
from feira.recommendations.history import History
from feira.recommendations.lists import ROWS, Chosen, fitted, rows_of
from feira.recommendations.metrics import Floats, Lists

_COLUMNS = ["slot", "user_id", "position", "item"]
_NO_ROWS = pa.schema([ROWS.field(name) for name in _COLUMNS])
_STORED = ("again", "new")


def first_ten(method: Chosen, history: History) -> dict[str, Lists]:
    """By slot the first ten of each user of the history, as they would be published.

    ``all`` is what a shop with one row of places shows: what the user takes again, then what is new to it;
    a place with what one had is worth several with what one never had.
    """
    found = of_rows(rows_of(fitted(method, history), history), history)
    both = np.hstack([found["again"], found["new"]])
    first = np.argsort(both < 0, axis=1, kind="stable")[:, :LENGTH]
    return found | {"all": np.take_along_axis(both, first, axis=1)}


def stored_rows(files: AbstractFileSystem, parquet: str) -> Iterator[pa.RecordBatch]:
    """The rows of a version's file that ``of_rows`` needs."""
    with files.open(parquet, "rb") as file:
        yield from pq.ParquetFile(file).iter_batches(columns=_COLUMNS)


def of_rows(rows: Iterable[pa.RecordBatch], history: History) -> dict[str, Lists]:
    """By slot the first ten of each user of the history, in its order, as these rows have them; a product that the
    history does not know leaves its place empty."""
    firsts = [
        batch.select(_COLUMNS).filter(pc.less_equal(batch["position"], LENGTH)) for batch in rows
    ]
    first = pa.Table.from_batches(firsts, firsts[0].schema if firsts else _NO_ROWS)
    # Lists of nobody in particular are of no user.
    user, item = (
        pc.index_in(first[column], value_set=pa.array(names, pa.string())).fill_null(-1).to_numpy()
        for column, names in (("user_id", history.user_ids), ("item", history.item_ids))
    )
    position = first["position"].to_numpy() - 1
    found = {}
    for slot in _STORED:
        there = pc.equal(first["slot"], slot).to_numpy() & (user >= 0)
        lists = np.full((len(history.user_ids), LENGTH), -1, dtype=np.int32)
        lists[user[there], position[there]] = item[there]
        found[slot] = lists
    return found


def beside(
    mine: Iterable[pa.RecordBatch],
    live: Iterable[pa.RecordBatch],
    history: History,
    most_users: int,
) -> dict[tuple[str, str], tuple[Figure, int]]:
    """By ``novelty`` or ``diversity`` and slot: that of the first ten of one version's lists ÷ that of another's,
    and of how many users.

    Both are by what is known in the history, and of the users for whom both have a value: who has come or gone
    since says nothing of the lists. Of more than ``most_users`` as many are drawn.
    """
    seen = history.seen()
    information = metrics.self_information(np.asarray(seen.sum(axis=0)).ravel(), seen.shape[0])
    lists = [of_rows(rows, history) for rows in (mine, live)]
    found: dict[tuple[str, str], tuple[Figure, int]] = {}
    for slot in _STORED:
        least = np.minimum(*((each[slot] >= 0).sum(axis=1) for each in lists))
        for name, places in (("novelty", 1), ("diversity", 2)):
            users = np.flatnonzero(least >= places)
            users = users[sampled(len(users), most_users)]
            sides = [each[slot][users] for each in lists]
            if name == "novelty":
                values = [metrics.novelty(each, information) for each in sides]
            else:
                values = [metrics.diversity(each, seen) for each in sides]
            found[name, slot] = _ratio(values), len(users)
    return found


def _ratio(values: list[Floats]) -> Figure:
    return means(np.column_stack(values)).ratio(0, 1) if len(values[0]) else NOTHING
