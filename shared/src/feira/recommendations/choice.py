"""What is best in a slot for a history, re-ranking or which single candidate, by a window that is before the one
that the gate holds out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from feira.recommendations import metrics
from feira.recommendations.bootstrap import Figure, means
from feira.recommendations.candidates.interface import Scorer
from feira.recommendations.candidates.reranked import ByRanker, Ranking
from feira.recommendations.evaluation import lists_by_slot, relevant_by_slot, sampled
from feira.recommendations.history import (
    HISTORY_CAP,
    History,
    held_out_days,
    history_before,
    split_at,
)
from feira.recommendations.interactions import InteractionsError, day_of

# NDCG@10 beside the best single candidate's: in the slot new as the gate asks of a method that re-ranks; in
# again, where all rank the same few items, to be better by more than chance is enough.
LEAST_RATIO = {"again": 1.0, "new": 1.1}
LEAST_USERS = 100
_MOST_USERS = 5_000


@dataclass(frozen=True)
class Choice:
    """Whether to re-rank a slot, or which single candidate to take, and why.

    :param why: in words
    :param cut: the first day of the window that was foretold; None where there was none
    :param users: those that took something of the slot in the window
    :param single: the best single candidate there
    :param ratio: NDCG@10 of the slot, of re-ranking beside that candidate
    :param instead: the single candidate to take, where one other than the first was better by more than chance
    """

    rerank: bool
    why: str
    cut: date | None = None
    users: int = 0
    single: str | None = None
    ratio: Figure | None = None
    instead: str | None = None

    def told(self) -> str:
        """In words."""
        of = f" ({self.users:,} users from {self.cut})" if self.cut else ""
        return f"{'yes' if self.rerank else 'no'}, {self.why}{of}."


def whether_to_rerank(history: History, reranked: Ranking) -> Choice:
    """Compares re-ranking with each single candidate that the slot may have, and these with the first, on days before
    those that the gate judges by: what was chosen by the same days as it is judged by would seem better than it is."""
    slot = reranked.slot
    end = history.as_of
    held_out = held_out_days(history.days, day_of(end - 1))
    known = history_before(history.interactions(), day_of(end - held_out))
    days = np.unique(known.days)
    if len(days) < 2:
        return Choice(False, "there are too few days")
    cut = day_of(days[-min(reranked.most_days, len(days) // 2)])
    try:
        split = split_at(known.interactions(), cut)
    except InteractionsError:
        return Choice(False, "no user is on both sides of the cut", cut)
    rows = sampled(len(split.users), _MOST_USERS)
    relevant = relevant_by_slot(split, rows)[slot]
    asked = np.flatnonzero(relevant.count)
    if len(asked) < LEAST_USERS:
        return Choice(False, f"fewer than {LEAST_USERS} users to compare by", cut, len(asked))
    learned_from = split.history.capped(HISTORY_CAP)
    model = reranked.fit(learned_from)
    learned = [model] if isinstance(model, ByRanker) else []
    singles = tuple(dict.fromkeys(reranked.alone))
    columns = []
    scorers: list[Scorer] = [*(single.fit(learned_from) for single in singles), *learned]
    for scorer in scorers:
        lists = lists_by_slot(scorer, split, split.users[rows])[slot][asked]
        hits = metrics.hits(lists, relevant.items[asked])
        columns.append(metrics.ndcg(hits, relevant.count[asked]))
    ndcg = means(np.column_stack(columns))
    best = int(np.argmax(metrics.rounded(ndcg.observed[: len(singles)])))
    name, beside_first = singles[best].name, ndcg.ratio(best, 0)
    instead = name if (beside_first.low or 0) > 1 else None
    wins, ratio, why = False, None, f"fewer than {reranked.least_users} users to learn from"
    if learned:
        ratio = ndcg.ratio(len(singles), best)
        wins = (ratio.value or 0) >= LEAST_RATIO[slot] and (ratio.low or 0) > 1
        why = (
            f"its NDCG@10 beside that of {name} is {_ends(ratio)}; asked is "
            f"{LEAST_RATIO[slot]}, and a lower end above 1"
        )
    if instead and not wins:
        why += f"; beside that of {singles[0].name} that of {name} is {_ends(beside_first)}"
    return Choice(wins, why, cut, len(asked), name, ratio, instead)


def _ends(ratio: Figure) -> str:
    if ratio.value is None:
        return "unknown"
    return f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
