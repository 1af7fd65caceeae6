"""The gate: whether a version's method may be served, by what its users did in days that it was not shown.

How good the version's own lists are nobody knows yet, since nothing has happened after their day: their method is
judged. The last days up to it are held out, the method learns from those before, and the lists come from the code
that makes the published ones. What needs no future is of the lists themselves as they are stored, beside those of
the version that is served: their users, novelty and diversity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feira.recommendations import metrics
from feira.recommendations.bootstrap import NOTHING, Figure, Means, means
from feira.recommendations.candidates import BASELINE, Candidate
from feira.recommendations.candidates.counts import OwnFrequency
from feira.recommendations.candidates.item_item import EASE, ItemItem
from feira.recommendations.candidates.reranked import Ranking, Reranked, RerankedAgain
from feira.recommendations.evaluation import (
    LENGTH,
    MOST_USERS,
    SLOTS,
    Relevant,
    lists_by_slot,
    relevant_by_slot,
    sampled,
)
from feira.recommendations.first_ten import beside, first_ten
from feira.recommendations.history import HISTORY_CAP, History, Split, held_out_days, split_at
from feira.recommendations.interactions import Interactions, InteractionsError, Ints, day_number
from feira.recommendations.lists import Chosen, history_of
from feira.recommendations.metrics import Floats, Lists

PASSED, REFUSED, NOT_ENOUGH = "passed", "refused", "not_enough_to_tell"
# On real sales the logarithm of NDCG beside that of recent popularity, in the slot new, has a deviation of 1.7
# a user. Of 100 users the interval is then a third to both sides: what is truly at 1.77, as EASE is there, is
# found above the limit of 1.3 in 19 of 20 samples.
LEAST_USERS = 100


@dataclass(frozen=True)
class Rule:
    """What a figure must reach to pass.

    :param must: which of the figure's ends must be at least ``limit``
    :param live: whether it is beside the version that is served
    :param of_kind: whether it says that the lists are of another kind than that one's, and not that they are worse:
        a person may approve of what it refuses
    """

    figure: str
    slots: tuple[str, ...]
    must: Literal["value", "low", "high"]
    limit: float
    of: str
    live: bool = False
    of_kind: bool = False


_POPULAR, _OWN, _SINGLE, _OTHER = (
    "ndcg_to_popular",
    "ndcg_to_own_frequency",
    "ndcg_to_best_single",
    "ndcg_to_other_single",
)
_LIVE, _COVERAGE = "ndcg_to_live", "coverage"
USERS, NOVELTY, DIVERSITY = "users_to_live", "novelty_to_live", "diversity_to_live"
# Of the two versions' lists, and not of their methods.
OF_LISTS = frozenset({USERS, NOVELTY, DIVERSITY})

RULES = (
    Rule(_POPULAR, ("again", "all"), "value", 2.0, "NDCG@10 ÷ that of recent popularity"),
    Rule(_POPULAR, ("new",), "value", 1.3, "the same, of what the user never had"),
    Rule(_OWN, ("again", "all"), "low", 0.95, "NDCG@10 ÷ that of own frequency"),
    Rule(_SINGLE, ("new",), "value", 1.1, "NDCG@10 ÷ the best single candidate's; if it re-ranks"),
    Rule(_OTHER, ("new",), "high", 1.0, "the same; if it is a single candidate itself"),
    Rule(_OTHER, ("again",), "high", 1.0, "the same, of what the user had; if it re-ranks"),
    Rule(_LIVE, SLOTS, "low", 0.97, "NDCG@10 ÷ that of the method that is served", live=True),
    Rule(
        USERS, ("all",), "value", 0.95, "users with a list ÷ those of the version served", live=True
    ),
    Rule(_COVERAGE, ("again", "new"), "value", 0.20, "share of all items in anyone's first ten"),
    Rule(
        NOVELTY,
        ("again", "new"),
        "value",
        0.95,
        "novelty ÷ that of the version served",
        live=True,
        of_kind=True,
    ),
    Rule(
        DIVERSITY,
        ("again", "new"),
        "value",
        0.95,
        "diversity ÷ that of the same",
        live=True,
        of_kind=True,
    ),
)
# What a person may approve of though it is refused.
APPROVABLE = frozenset(rule.figure for rule in RULES if rule.of_kind) | {USERS}


@dataclass(frozen=True)
class GateFigure:
    """A figure beside its limit; ``must`` says which of value, low and high has to reach it.

    :param limit: 0 where there is none, as of an estimate
    :param users: how many it is of
    :param verdict: passed, refused, not_enough_to_tell; of a drift how large it is, and of an estimate
        ``estimated`` or why there is no number
    """

    figure: str
    slot: str
    value: float | None
    low: float | None
    high: float | None
    must: str
    limit: float
    users: int
    verdict: str

    def in_words(self) -> str:
        """In words: what it is, and what it had to be."""
        if self.value is None:
            return f"{self.figure} of {self.slot} is unknown ({self.users:,} users)"
        ends = "" if self.low is None else f", {self.low:.3f} to {self.high:.3f}"
        end = "" if self.must == "value" else f" for its {self.must} end"
        limit = f", limit {self.limit:g}{end}" if self.limit else ""
        return (
            f"{self.figure} of {self.slot} is {self.value:.3f} ({self.users:,} users{ends}){limit}"
        )


@dataclass(frozen=True)
class Stored:
    """A version's lists: how many users have one, and what yields their rows, as ``lists.ROWS``.

    Both are None where they are not to be had any more.
    """

    users: int | None = None
    rows: Callable[[], Iterable[pa.RecordBatch]] | None = None


@dataclass(frozen=True)
class Live:
    """What is served; ``method`` is None where it is not known here."""

    version: str
    method: Chosen | None
    lists: Stored = Stored()


@dataclass(frozen=True)
class Judgement:
    """The verdict and its figures. ``cut`` is the first day that was held out, of ``days``.

    :param estimates: of the version's CTR, from what was shown on its day; they gate nothing
    """

    cut: date
    days: int
    verdict: str
    figures: tuple[GateFigure, ...]
    estimates: tuple[GateFigure, ...] = ()


def judge(
    all_of: Interactions,
    as_of: date,
    method: Chosen,
    live: Live | None = None,
    *,
    lists: Stored | None = None,
    most_users: int = MOST_USERS,
    days: int | None = None,
) -> Judgement:
    """Judges a method by what is known when ``as_of`` has ended, and by nothing of later days.

    Refused where a figure is below its limit by more than chance; where a figure does not reach its limit,
    but its interval does, or it is of too few users, there is not enough to tell.

    :param live: what is served; None: nothing is, and nothing is held against it
    :param lists: of the version that is judged; None: they are not held against those of ``live``
    :param days: how many are held out, as of a verdict that is computed again; None: by ``held_out_days``
    """
    known = _until(all_of, as_of)
    days = days or held_out_days(known.days, as_of)
    cut = as_of - timedelta(days=days - 1)
    try:
        split = split_at(known, cut)
    except InteractionsError:
        # Nobody is on both sides.
        measured: dict[tuple[str, str], _Measured] = {}
    else:
        measured = _Measuring(split, method, live, most_users).all()
    not_asked = set[str]()
    if live is not None and lists is not None:
        measured |= _of_lists(history_of(known, as_of), lists, live.lists, most_users)
        if as_of.isoformat() < live.version[:10]:
            # With the days users only come: of an older day there may be fewer.
            not_asked.add(USERS)
    else:
        not_asked |= OF_LISTS
    figures = []
    for rule in RULES:
        if rule.figure in not_asked or (rule.live and live is None):
            continue
        for slot in rule.slots:
            if not _asks(rule, slot, method):
                continue
            figures.append(_judged(rule, slot, measured.get((rule.figure, slot), _Measured())))
    return Judgement(cut, days, overall(figures), tuple(figures))


def overall(figures: Iterable[GateFigure]) -> str:
    """The verdict on a version with these figures."""
    verdicts = {each.verdict for each in figures}
    return next((each for each in (REFUSED, NOT_ENOUGH) if each in verdicts), PASSED)


def _of_lists(
    history: History, mine: Stored, live: Stored, most_users: int
) -> dict[tuple[str, str], _Measured]:
    found = {}
    if mine.users is not None and live.users:
        ratio = Figure(mine.users / live.users)
        found[USERS, "all"] = _Measured(ratio, live.users, live.users >= LEAST_USERS)
    if mine.rows is not None and live.rows is not None:
        for (name, slot), (figure, users) in beside(
            mine.rows(), live.rows(), history, most_users
        ).items():
            found[f"{name}_to_live", slot] = _Measured(figure, users, users >= LEAST_USERS)
    return found


def _until(all_of: Interactions, as_of: date) -> Interactions:
    kept = all_of.days <= day_number(as_of)
    return replace(
        all_of, users=all_of.users[kept], items=all_of.items[kept], days=all_of.days[kept]
    )


@dataclass(frozen=True)
class _Measured:
    figure: Figure = NOTHING
    users: int = 0
    enough: bool = False


def _judged(rule: Rule, slot: str, measured: _Measured) -> GateFigure:
    found = measured.figure
    end, highest = getattr(found, rule.must), found.value if found.high is None else found.high
    verdict = NOT_ENOUGH
    if measured.enough and end is not None and highest is not None:
        verdict = PASSED if end >= rule.limit else REFUSED if highest < rule.limit else NOT_ENOUGH
    return GateFigure(
        figure=rule.figure,
        slot=slot,
        value=found.value,
        low=found.low,
        high=found.high,
        must=rule.must,
        limit=rule.limit,
        users=measured.users,
        verdict=verdict,
    )


def _asks(rule: Rule, slot: str, method: Chosen) -> bool:
    """Whether the rule is of such a method: beside a single candidate is what re-ranks, or in new another one."""
    if rule.figure not in (_SINGLE, _OTHER):
        return True
    if slot == "again":
        return isinstance(method.again, RerankedAgain)
    return isinstance(method.new, Reranked) == (rule.figure == _SINGLE)


def _singles(method: Chosen, history: History) -> list[Candidate]:
    """The single candidates that a method may have in the slot new, of those that this history allows, and
    those that it re-ranks."""
    ease, new = EASE(), method.new
    found: list[Candidate] = [ItemItem()]
    if len(history.item_ids) <= ease.most_items:
        found.append(ease)
    if isinstance(new, Ranking):
        found += [each for each in new.union if each not in found]
    return found


class _Measuring:
    """The figures of a split, all over the same users and resamples."""

    def __init__(self, split: Split, method: Chosen, live: Live | None, most_users: int) -> None:
        self.split, self.method, self.live = split, method, live
        rows = sampled(len(split.users), most_users)
        self.users = split.users[rows]
        self.relevant = relevant_by_slot(split, rows)
        self.seen = split.history.seen()
        self.mine = first_ten(method, split.history)

    def all(self) -> dict[tuple[str, str], _Measured]:
        learned_from = self.split.history.capped(HISTORY_CAP)
        popular, own = (
            lists_by_slot(each.fit(learned_from), self.split, self.users)
            for each in (BASELINE, OwnFrequency())
        )
        lists = {"mine": _asked(self.mine, self.users)}
        # What a shop shows that knows nobody's history, also where only what a user had can be right.
        lists["popular"] = {"again": popular["all"], "new": popular["new"], "all": popular["all"]}
        lists["own"] = own
        for number, single in enumerate(_singles(self.method, self.split.history)):
            if single == self.method.new:
                found_by = lists["mine"]
            elif isinstance(single, EASE | ItemItem):
                # Of the slot new alone.
                found_by = self._lists(replace(self.method, again=OwnFrequency(), new=single))
            else:
                # It gives no reasons, so there are no lists by it alone to be published.
                found_by = lists_by_slot(single.fit(learned_from), self.split, self.users)
            lists[f"new {number}"] = found_by
        if isinstance(self.method.again, RerankedAgain):
            for number, single in enumerate(self.method.again.alone):
                lists[f"again {number}"] = lists_by_slot(
                    single.fit(learned_from), self.split, self.users
                )
        same_as_live = self.live is not None and self.live.method == self.method
        if self.live is not None and self.live.method is not None:
            lists["live"] = lists["mine"] if same_as_live else self._lists(self.live.method)
        found: dict[tuple[str, str], _Measured] = {}
        for slot in SLOTS:
            found |= self._of_slot(slot, lists)
        for slot in ("again", "new"):
            found[_COVERAGE, slot] = self._coverage(self.mine[slot])
        return found

    def _lists(self, method: Chosen) -> dict[str, Lists]:
        return _asked(first_ten(method, self.split.history), self.users)

    def _of_slot(
        self, slot: str, lists: Mapping[str, Mapping[str, Lists]]
    ) -> dict[tuple[str, str], _Measured]:
        relevant = self.relevant[slot]
        asked = np.flatnonzero(relevant.count)
        if not len(asked):
            return {}
        names = list(lists)
        ndcg = means(np.column_stack([_ndcg(lists[it][slot], relevant, asked) for it in names]))
        enough = len(asked) >= LEAST_USERS

        def measured(over: Means, of: str) -> _Measured:
            same = lists[of] is lists["mine"]
            figure = _ONE if same else over.ratio(names.index("mine"), names.index(of))
            return _Measured(figure, len(asked), enough)

        found = {(_POPULAR, slot): measured(ndcg, "popular"), (_OWN, slot): measured(ndcg, "own")}
        if singles := [name for name in names if name.startswith(f"{slot} ")]:
            best = max(singles, key=lambda name: ndcg.observed[names.index(name)])
            found[_OTHER, slot] = measured(ndcg, best)
            # Of too few users a method that re-ranks learns nothing, and is one of its candidates.
            unranked = any(np.array_equal(lists[it][slot], lists["mine"][slot]) for it in singles)
            found[_SINGLE, slot] = replace(found[_OTHER, slot], enough=enough and not unranked)
        if "live" in lists:
            found[_LIVE, slot] = measured(ndcg, "live")
        return found

    def _coverage(self, lists: Lists) -> _Measured:
        users, items = self.seen.shape
        # With fewer places than items no method could reach a limit.
        enough = users >= LEAST_USERS and LENGTH * users >= items
        return _Measured(Figure(metrics.coverage(lists, items)), users, enough)


_ONE = Figure(1.0, 1.0, 1.0)


def _asked(lists: Mapping[str, Lists], users: Ints) -> dict[str, Lists]:
    return {slot: each[users] for slot, each in lists.items()}


def _ndcg(lists: Lists, relevant: Relevant, asked: npt.NDArray[np.intp]) -> Floats:
    hit = metrics.hits(lists[asked], relevant.items[asked])
    return metrics.ndcg(hit, relevant.count[asked])


def rules_table() -> str:
    """The rules as a table of Markdown, as docs/recommendations.md has it."""
    ends = {"value": "the value", "low": "the lower end", "high": "the upper end"}
    lines = ["| figure | slots | is | must reach | by |", "|---|---|---|---|---|"]
    for rule in RULES:
        limit = f"{rule.limit:.2f}"
        lines.append(
            f"| `{rule.figure}` | {', '.join(rule.slots)} | {rule.of} | {limit} | {ends[rule.must]} |"
        )
    return "\n".join(lines)
