"""The lists of every user in two slots, with a reason for each item."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from feira.core.errors import PermanentError
from feira.recommendations.blocks import in_blocks
from feira.recommendations.candidates import BASELINE, Scorer
from feira.recommendations.candidates.als import ALS
from feira.recommendations.candidates.counts import OwnFrequency, RecentPopularity, SameForAll
from feira.recommendations.candidates.item_item import EASE, ByItems, ItemItem
from feira.recommendations.candidates.reranked import (
    ByRanker,
    Reranked,
    RerankedAgain,
    habits_for,
    strong_for,
)
from feira.recommendations.candidates.spark_als import ByFactors, SparkALS
from feira.recommendations.candidates.tifu_knn import TifuKnn
from feira.recommendations.choice import Choice, whether_to_rerank
from feira.recommendations.history import HISTORY_CAP, History, known_before
from feira.recommendations.interactions import Interactions, Ints, day_number, distinct
from feira.recommendations.metrics import Lists
from feira.recommendations.reading import coded
from feira.recommendations.segments import NO_CATEGORIES, InCategories
from feira.recommendations.serving.layout import (
    BOUGHT_BEFORE,
    EVERYONE,
    GOES_WITH,
    POPULAR,
    POPULAR_IN_CATEGORY,
)
from feira.recommendations.slots import LENGTH, Listed, Popular, Slot, listed
from feira.recommendations.stored_models import leaves

# Interactions of which one machine learns what goes with what; of more, Spark does, on a cluster.
MOST_ON_ONE_MACHINE = 50_000_000
# Whether re-ranking is worth it costs three fits, and its lists ten times the time of others.
MOST_RERANKED = 50_000
REASONS = (BOUGHT_BEFORE, GOES_WITH, POPULAR, POPULAR_IN_CATEGORY)
_BOUGHT_BEFORE, _GOES_WITH, _POPULAR, _POPULAR_IN_CATEGORY = range(4)

ROWS = pa.schema(
    [
        ("slot", pa.string()),
        ("user_id", pa.string()),
        ("position", pa.int32()),
        ("item", pa.string()),
        ("score", pa.float64()),
        ("reason", pa.string()),
        ("reason_item", pa.string()),
        ("segment", pa.string()),
    ]
)


def interactions_of(batches: Iterable[pa.RecordBatch]) -> Interactions:
    """Interactions from batches of the columns ``user_id``, ``sku`` and ``order_date``."""
    schema = pa.schema(
        [("user_id", pa.string()), ("sku", pa.string()), ("order_date", pa.date32())]
    )
    typed = [batch.select(schema.names).cast(schema) for batch in batches]
    table = pa.Table.from_batches(typed, schema)
    user_ids, users = coded(table["user_id"].chunks)
    item_ids, items = coded(table["sku"].chunks)
    days = table["order_date"].cast(pa.int32()).to_numpy()
    return distinct(user_ids, item_ids, users, items, days)


class MethodError(PermanentError):
    """The description of a method that is not known here."""


# By slot, what a method may have there.
_KNOWN: dict[str, tuple[type[Any], ...]] = {
    "again": (TifuKnn, OwnFrequency, RerankedAgain),
    "new": (EASE, ItemItem, Reranked, SparkALS),
    "popular": (RecentPopularity,),
}
# What a candidate may have that is made of others.
_PARTS: dict[str, tuple[type[Any], ...]] = {
    "habits": (TifuKnn, OwnFrequency),
    "own": (OwnFrequency,),
    "strong": (EASE, ItemItem),
    "similar": (ItemItem,),
    "factors": (ALS,),
    "popular": (RecentPopularity,),
}


def _candidate(slot: str, described: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    made = {kind.name: kind for kind in known[slot]}[described["name"]]()
    values = {}
    for name, value in described.items():
        held = getattr(made, name)
        if isinstance(held, int | float) and type(value) not in (int, float):
            raise TypeError(f"{slot}: {name} is {value!r}")
        values[name] = _candidate(name, value, _PARTS) if is_dataclass(held) else value
    return replace(made, **values)


@dataclass(frozen=True)
class Chosen:
    """The candidate of each slot, and what fills lists that they leave short."""

    again: TifuKnn | OwnFrequency | RerankedAgain
    new: EASE | ItemItem | Reranked | SparkALS
    popular: RecentPopularity

    def described(self) -> dict[str, Any]:
        """Names and parameters, for JSON."""
        return {field.name: asdict(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def of_described(cls, described: Mapping[str, Any]) -> Chosen:
        """What ``described`` says of it.

        :raises MethodError: where it names a candidate or a parameter that is not known here
        """
        try:
            found = cls(
                **{slot: _candidate(slot, part, _KNOWN) for slot, part in described.items()}
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise MethodError(f"{json.dumps(described)[:500]} is no method: {error!r}.") from error
        if found.described() != described:
            raise MethodError(
                f"{json.dumps(described)[:500]} is no method: read, it is {json.dumps(found.described())}."
            )
        return found


def singles(history: History) -> Chosen:
    """Those that are better on real sales where the size allows it, else those whose cost grows with the
    interactions alone, and at last what a cluster learns."""
    on_a_cluster = len(history.days) > MOST_ON_ONE_MACHINE
    return Chosen(
        again=habits_for(history),
        new=SparkALS() if on_a_cluster else strong_for(history),
        popular=BASELINE,
    )


def choose(history: History) -> tuple[Chosen, dict[Slot, Choice]]:
    """In each slot the single candidate of ``singles``, or another one, or the union of several re-ranked, where that
    was better in an earlier window; and why."""
    found = singles(history)
    again, new = found.again, found.new
    assert not isinstance(again, RerankedAgain) and not isinstance(new, Reranked)
    why = None
    if isinstance(new, SparkALS):
        why = f"there are more than {MOST_ON_ONE_MACHINE:,} interactions"
    elif len(history.user_ids) > MOST_RERANKED:
        why = f"there are more than {MOST_RERANKED:,} users"
    elif not len(history.days):
        why = "there are no interactions"
    if why is not None or isinstance(new, SparkALS):
        choice = Choice(False, str(why))
        return found, {"again": choice, "new": choice}
    of_again, of_new = RerankedAgain(habits=again), Reranked(strong=new)
    choices: dict[Slot, Choice] = {}
    taken: dict[Slot, Any] = {}
    for each in (of_again, of_new):
        choices[each.slot] = choice = whether_to_rerank(history, each)
        if choice.rerank:
            taken[each.slot] = each
        elif choice.instead is not None:
            taken[each.slot] = next(it for it in each.alone if it.name == choice.instead)
    return replace(found, **taken), choices


def chosen(history: History) -> Chosen:
    """The method of ``choose``."""
    return choose(history)[0]


@dataclass(frozen=True)
class Models:
    """What the candidates have learned."""

    again: Scorer
    new: ByItems | ByRanker | ByFactors
    popular: SameForAll

    def hash(self) -> str:
        """SHA-256 of the arrays and the text that they hold, as ``leaves``, in the order of the fields."""
        digest = hashlib.sha256()
        for _, value in leaves(self, ""):
            digest.update(
                value.encode() if isinstance(value, str) else np.ascontiguousarray(value).data
            )
        return digest.hexdigest()


def history_of(all_of: Interactions, day: date) -> History:
    """What is known when ``day`` has ended."""
    return known_before(all_of, day_number(day) + 1)


def fitted(candidates: Chosen, history: History) -> Models:
    """What the candidates learn from a history that is not empty, of each user the newest interactions."""
    learned_from = history.capped(HISTORY_CAP)
    return Models(
        again=candidates.again.fit(learned_from),
        new=candidates.new.fit(learned_from),
        popular=candidates.popular.fit(learned_from),
    )


def rows_of(
    models: Models, history: History, categories: pa.Table = NO_CATEGORIES
) -> Iterator[pa.RecordBatch]:
    """The lists as rows, as ``ROWS`` says, in the order of slot, user, segment (null first) and position; of
    a few users each batch.

    ``again`` holds what the user had and ``new`` what it never had. Both go from the greatest score of the slot's
    candidate on, as far as it is above 0, and then on by recent popularity; of equal scores (to nine decimals beside
    the user's greatest) the more popular item is first, then the one whose name is. In ``again`` the reason is that
    the user had it; in ``new`` what it had that adds most to the score, or that the item is popular, if so in the
    category that the user bought most of. A segment's list is what is popular in a category.

    :param categories: as ``segments.CATEGORIES``
    """
    names = _Names(pa.array(history.user_ids, pa.string()), pa.array(history.item_ids, pa.string()))
    popular, seen = Popular.of(models.popular.of_items), history.seen()
    within = InCategories.of(categories, history)

    def again(users: Ints) -> pa.RecordBatch:
        found = listed(models.again(users), seen[users], "again", popular)
        return _rows(names, "again", users, found, np.full_like(found.items, _BOUGHT_BEFORE))

    yield from in_blocks(again, len(history.user_ids))
    nobody, nothing = np.zeros(1, dtype=np.int32), sparse.csr_array((1, len(history.item_ids)))
    found = listed(nothing, nothing, "new", popular)
    everyone = _Names(pa.array([EVERYONE]), names.items)
    yield _rows(everyone, "new", nobody, found, np.full_like(found.items, _POPULAR))
    yield _of_segments(everyone, within, popular)
    liked = within.most_bought(history)

    def new(users: Ints) -> pa.RecordBatch:
        found = listed(models.new(users), seen[users], "new", popular)
        because = models.new.strongest(users, np.where(found.own, found.items, -1))
        likes = within.of_items[found.items] == liked[users, np.newaxis]
        reasons = np.where(
            because >= 0, _GOES_WITH, np.where(likes, _POPULAR_IN_CATEGORY, _POPULAR)
        )
        return _rows(names, "new", users, found, reasons, because)

    yield from in_blocks(new, len(history.user_ids))


def _of_segments(everyone: _Names, within: InCategories, popular: Popular) -> pa.RecordBatch:
    """A list a category, of no user."""
    lists = within.popular(popular, LENGTH)
    found = Listed(lists, popular.of_items[lists], np.zeros(lists.shape, dtype=bool))
    nobody = np.zeros(len(lists), dtype=np.int32)
    rows = _rows(everyone, "new", nobody, found, np.full_like(lists, _POPULAR_IN_CATEGORY))
    segment = within.names.take(pa.array(np.nonzero(lists >= 0)[0]))
    return rows.set_column(rows.schema.get_field_index("segment"), ROWS.field("segment"), segment)


@dataclass(frozen=True)
class _Names:
    users: pa.Array
    items: pa.Array


_REASONS = pa.array(REASONS)


def _rows(
    names: _Names,
    slot: str,
    users: Ints,
    found: Listed,
    reasons: Lists,
    because: Lists | None = None,
) -> pa.RecordBatch:
    row, place = np.nonzero(found.items >= 0)
    nothing = np.full(len(row), -1) if because is None else because[row, place]
    columns = [
        pa.repeat(slot, len(row)),
        names.users.take(pa.array(users[row])),
        pa.array(place + 1, pa.int32()),
        names.items.take(pa.array(found.items[row, place])),
        pa.array(found.scores[row, place]),
        _REASONS.take(pa.array(reasons[row, place])),
        names.items.take(pa.array(nothing, mask=nothing < 0)),
        pa.nulls(len(row), pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=ROWS)
