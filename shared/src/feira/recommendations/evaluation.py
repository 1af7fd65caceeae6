"""Every candidate on what its users did after a cut, by slot, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np

from feira.recommendations import metrics
from feira.recommendations.bootstrap import Figure, Means, means
from feira.recommendations.candidates import Candidate, Scorer, dense
from feira.recommendations.history import HISTORY_CAP, Split, split_at
from feira.recommendations.interactions import Interactions, Ints, day_of
from feira.recommendations.metrics import Lists
from feira.recommendations.slots import beside_greatest

LENGTH = 10
# Two questions, and both at once: what the user takes again, and what it never had.
SLOTS = ("again", "new", "all")
MOST_USERS = 20_000
_CELLS = 4_000_000  # of a block of scores: 32 MB

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Row:
    """A candidate in a slot. All are means over users but coverage, which has no interval: a resample
    has fewer distinct users, and so always covers less."""

    candidate: str
    ndcg: Figure
    ratio: Figure
    recall: Figure
    hit_rate: Figure
    coverage: float
    novelty: Figure
    diversity: Figure


@dataclass(frozen=True)
class SlotTable:
    """A slot's candidates over its users: those that had something right in the slot to be offered."""

    slot: str
    users: int
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Evaluation:
    """What was found. ``ratio`` is NDCG beside that of ``baseline``, in the same resamples."""

    cut: date
    first_day: date
    last_day: date
    interactions_before: int
    interactions_after: int
    users_before: int
    items_before: int
    users_on_both_sides: int
    users_evaluated: int
    baseline: str
    slots: tuple[SlotTable, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def evaluate(
    all_of: Interactions,
    cut: date,
    candidates: Sequence[Candidate],
    progress: Progress = lambda step, done, of: None,
    most_users: int = MOST_USERS,
) -> Evaluation:
    """Fits each candidate on what was before the cut alone, and holds its lists against what came after.

    The first candidate of ``candidates`` is the baseline. Of more than ``most_users`` users with a future
    as many are drawn, the same ones in each run.

    :raises InteractionsError: where a side of the cut is empty, or no user is on both
    """
    split = split_at(all_of, cut)
    rows = sampled(len(split.users), most_users)
    relevant = relevant_by_slot(split, rows)
    lists: dict[str, list[Lists]] = {slot: [] for slot in SLOTS}
    learned_from = split.history.capped(HISTORY_CAP)
    for done, candidate in enumerate(candidates):
        progress(candidate.name, done, len(candidates))
        for slot, found in lists_by_slot(
            candidate.fit(learned_from), split, split.users[rows]
        ).items():
            lists[slot].append(found)
    progress("intervals", len(candidates), len(candidates))
    return Evaluation(
        cut=cut,
        first_day=day_of(all_of.days.min()),
        last_day=day_of(all_of.days.max()),
        interactions_before=len(split.history.days),
        interactions_after=split.after,
        users_before=len(split.history.user_ids),
        items_before=len(split.history.item_ids),
        users_on_both_sides=len(split.users),
        users_evaluated=len(rows),
        baseline=candidates[0].name,
        slots=tuple(
            _table(slot, [each.name for each in candidates], lists[slot], split, relevant[slot])
            for slot in SLOTS
        ),
    )


def sampled(users: int, most: int) -> Ints:
    """Positions of at most ``most`` of so many users, in order; the same ones each time."""
    drawn = np.random.default_rng(0).permutation(users)[:most]
    return np.sort(drawn).astype(np.int32)


@dataclass(frozen=True)
class Relevant:
    """Users by items, and of each user how many there are, with those that nobody could offer."""

    items: Any
    count: Ints


def relevant_by_slot(split: Split, rows: Ints) -> dict[str, Relevant]:
    """What these of the split's users took from the cut on, by slot."""
    future = split.future[rows]
    again = future * split.history.seen()[split.users[rows]]
    new = future - again
    new.eliminate_zeros()
    unknown = split.unknown[rows]

    def counted(items: Any, besides: Ints) -> Relevant:
        count = np.diff(items.tocsr().indptr) + besides
        return Relevant(items.tocsr(), count)

    return {
        "again": counted(again, np.zeros_like(unknown)),
        "new": counted(new, unknown),
        "all": counted(future, unknown),
    }


def lists_by_slot(score: Scorer, split: Split, users: Ints) -> dict[str, Lists]:
    """By slot the first ten of these users (positions in the history) by a candidate's scores alone, to nine decimals
    beside the user's greatest, as in the lists that are served; of equal ones the first item."""
    found: dict[str, list[Lists]] = {slot: [] for slot in SLOTS}
    seen_by = split.history.seen()
    for block in _blocks(users, len(split.history.item_ids)):
        beside, _ = beside_greatest(dense(score(block)))
        scores, seen = metrics.rounded(beside), seen_by[block].toarray() > 0
        found["again"].append(metrics.top(np.where(seen, scores, -np.inf), LENGTH))
        found["new"].append(metrics.top(np.where(seen, -np.inf, scores), LENGTH))
        found["all"].append(metrics.top(scores, LENGTH))
    return {slot: np.vstack(lists) for slot, lists in found.items()}


def _blocks(users: Ints, items: int) -> Iterator[Ints]:
    size = max(1, _CELLS // max(items, 1))
    for start in range(0, len(users), size):
        yield users[start : start + size]


def _table(
    slot: str, names: list[str], lists: list[Lists], split: Split, relevant: Relevant
) -> SlotTable:
    asked = np.flatnonzero(relevant.count)
    if not len(asked):
        return SlotTable(slot, 0, ())
    items, count = relevant.items[asked], relevant.count[asked]
    seen = split.history.seen()
    users_of = np.asarray(seen.sum(axis=0)).ravel()
    information = metrics.self_information(users_of, seen.shape[0])
    asked_lists = [each[asked] for each in lists]
    unlike = np.split(metrics.diversity(np.vstack(asked_lists), seen), len(lists))
    columns = []
    for each, diverse in zip(asked_lists, unlike, strict=True):
        hit = metrics.hits(each, items)
        columns += [
            metrics.ndcg(hit, count),
            metrics.recall(hit, count),
            metrics.hit_rate(hit),
            metrics.novelty(each, information),
            diverse,
        ]
    over_users = means(np.column_stack(columns))
    rows = [
        _row(name, over_users, 5 * position, metrics.coverage(each, seen.shape[1]))
        for position, (name, each) in enumerate(zip(names, asked_lists, strict=True))
    ]
    return SlotTable(slot, len(asked), tuple(rows))


def _row(name: str, over_users: Means, column: int, coverage: float) -> Row:
    return Row(
        candidate=name,
        ndcg=over_users.figure(column),
        ratio=over_users.ratio(column, 0),
        recall=over_users.figure(column + 1),
        hit_rate=over_users.figure(column + 2),
        coverage=coverage,
        novelty=over_users.figure(column + 3),
        diversity=over_users.figure(column + 4),
    )
