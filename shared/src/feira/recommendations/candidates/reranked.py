"""What several candidates offer in a slot, ordered anew by LambdaMART (Burges, 2010), by the library `lightgbm`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy import sparse

from feira.recommendations.candidates.als import ALS
from feira.recommendations.candidates.counts import OwnFrequency, RecentPopularity, greatest
from feira.recommendations.candidates.interface import Candidate, Scorer, dense
from feira.recommendations.candidates.item_item import EASE, ByItems, ItemItem
from feira.recommendations.candidates.tifu_knn import TifuKnn
from feira.recommendations.history import History, Matrix, Split, split_at
from feira.recommendations.interactions import InteractionsError, Ints, day_of
from feira.recommendations.metrics import Floats, Lists, rounded
from feira.recommendations.slots import Places, Popular, Slot, beside_greatest, listed

if TYPE_CHECKING:
    from lightgbm import Booster

# Of each candidate, in its order: the score beside the user's greatest one, and the place in its list.
OF_A_CANDIDATE = ("score", "place")
# Of the item: its recent popularity beside the greatest one, the share of users that had it, and the days
# since it was first had. Of the user: how many items it had, on how many days, and the days since the last.
OF_THE_PAIR = (
    "item_recent_popularity",
    "item_users",
    "item_age",
    "user_items",
    "user_days",
    "user_since",
)
# In the slot again, of the pair: on how many days the user had the item, and the days since it had it last
# and first.
OF_WHAT_WAS_HAD = ("pair_days", "pair_since", "pair_age")
_BLOCK = 64
# A greatest score above this is taken to nine decimals, which hold it to a millionth; what is less is taken whole.
_ROUNDED_ABOVE = 1e-3
# TIFU-KNN compares every user with every other one; for more users than these own frequency takes its place.
MOST_COMPARED = 20_000


@dataclass(frozen=True)
class Offers:
    """What the candidates have learned, and what is known of users and items.

    :param scorers: the candidates, of which the first of the slot new gives the reasons
    :param of_items: items by what ``OF_THE_PAIR`` says of an item
    :param of_users: users by what it says of a user
    :param of_pairs: users by items, one each of ``OF_WHAT_WAS_HAD``; none in the slot new
    :param seen: users by items: 1 where the user had the item
    :param again: whether what the user had is offered, else what it never had
    """

    scorers: tuple[Any, ...]
    of_items: Floats
    of_users: Floats
    of_pairs: tuple[Matrix, ...]
    seen: Matrix
    of_each: int
    again: bool

    @cached_property
    def _popular(self) -> Popular:
        return Popular.of(self.of_items[:, 0])

    def __call__(self, users: Ints) -> tuple[Places, Places, Floats]:
        """The union of the first items of every candidate in the slot: the user's place among ``users``, in
        order, the item, and the features of the pair."""
        seen, items = self.seen[users], len(self.of_items)
        slot: Slot = "again" if self.again else "new"
        offers = []
        for scorer in self.scorers:
            scores = scorer(users)
            best = listed(scores, seen, slot, self._popular, self.of_each)
            row, place = np.nonzero(best.own)
            offers.append((scores, best, row * items + best.items[row, place], place))
        offered = np.zeros(len(users) * items, dtype=bool)
        for _, _, pair, _ in offers:
            offered[pair] = True
        (pairs,) = np.nonzero(offered)
        row, item = np.divmod(pairs, items)
        place_of = np.empty(len(offered), dtype=np.int32)
        place_of[pairs] = np.arange(len(pairs))
        features: list[Floats] = []
        for scores, best, pair, place in offers:
            # What the candidate does not offer is after what it does.
            places = np.full(len(pairs), float(self.of_each))
            places[place_of[pair]] = place
            of_all = scores.toarray() if sparse.issparse(scores) else scores
            first = of_all[np.arange(len(users)), best.items[:, 0]]
            first = np.where(first > _ROUNDED_ABOVE, rounded(first), first)
            greatest = np.where(best.own[:, 0], first, 1)
            score = np.maximum(of_all[row, item], 0) / greatest[row]
            features += [rounded(score), places]
        of_pairs = [each[users].toarray()[row, item] for each in self.of_pairs]
        known = [self.of_items[item], self.of_users[users][row], *of_pairs]
        return row, item, np.column_stack([*features, *known])


@dataclass(frozen=True)
class ByRanker:
    """Scores of what is offered by what has been learned from an earlier window; what follows it in a list
    is not scored.

    :param ranker: LightGBM's model as text
    """

    offers: Offers
    ranker: str

    @cached_property
    def _booster(self) -> Booster:
        from lightgbm import Booster

        return Booster(model_str=self.ranker)

    def __call__(self, users: Ints) -> Matrix:
        found = []
        for start in range(0, len(users), _BLOCK):
            block = users[start : start + _BLOCK]
            row, item, features = self.offers(block)
            shape = (len(block), len(self.offers.of_items))
            raw = (
                np.asarray(self._booster.predict(features, num_threads=1))
                if len(row)
                else np.empty(0)
            )
            # Above 0 whatever the ranker says, since all of it goes before what is not offered.
            score = 1 / (1 + np.exp(-raw))
            found.append(sparse.csr_array(sparse.coo_array((score, (row, item)), shape)))
        return sparse.vstack(found, format="csr")

    def strongest(self, users: Ints, lists: Lists) -> Lists:
        """As the first candidate says; -1 where nothing that the user had adds to its score."""
        first: ByItems = self.offers.scorers[0]
        return first.strongest(users, lists)


@dataclass(frozen=True, kw_only=True)
class Ranking(ABC):
    """How LambdaMART learns the order of the first items of each candidate in a slot: from an earlier window,
    by candidates that know what was before it, and by what their users took in it.

    :param of_each: how many items of each candidate are in the union
    :param most_days: of the days with any interaction, the newest half is the window, and no more than these
    :param least_users: how many users must have taken something of the union in the window
    :param most_users: as many of them are learned from, at most
    """

    factors: ALS = field(default_factory=ALS)
    popular: RecentPopularity = field(default_factory=RecentPopularity)
    of_each: int = 50
    most_days: int = 28
    least_users: int = 100
    most_users: int = 5_000
    trees: int = 100
    leaves: int = 15
    least_in_leaf: int = 50
    learning_rate: float = 0.05
    seed: int = 1
    name: str = "re-ranked"
    slot: ClassVar[Slot]

    @property
    @abstractmethod
    def alone(self) -> tuple[Candidate, ...]:
        """Those of the candidates that may have the slot alone; with too few users the first one has it."""

    @property
    def union(self) -> tuple[Candidate, ...]:
        """The candidates whose first items are re-ranked."""
        return tuple(dict.fromkeys((*self.alone, self.factors, self.popular)))

    @abstractmethod
    def fit(self, history: History) -> Scorer:
        """Learns from the history."""

    def _ranked(self, history: History) -> ByRanker | None:
        """None where there are too few users to learn from."""
        ranker = self._learned(history)
        return None if ranker is None else ByRanker(self._offers(history), ranker)

    def _offers(self, history: History) -> Offers:
        again = self.slot == "again"
        return Offers(
            tuple(each.fit(history) for each in self.union),
            _of_items(history, self.popular),
            _of_users(history),
            _of_pairs(history) if again else (),
            history.seen(),
            self.of_each,
            again,
        )

    def _learned(self, history: History) -> str | None:
        """The ranker as text; None where there are too few users to learn from."""
        split = self._window(history)
        if split is None:
            return None
        users = _sampled(split, self.most_users, self.slot)
        if len(users) < self.least_users:
            return None
        offers = self._offers(split.history)
        features, labels, groups = [], [], []
        for start in range(0, len(users), _BLOCK):
            block = users[start : start + _BLOCK]
            row, item, of_pairs = offers(split.users[block])
            taken = (split.future[block].toarray() > 0)[row, item]
            some = np.bincount(row, weights=taken, minlength=len(block)) > 0
            features.append(of_pairs[some[row]])
            labels.append(taken[some[row]])
            groups.append(np.bincount(row, minlength=len(block))[some])
        group = np.concatenate(groups)
        if len(group) < self.least_users:
            return None
        return self._trained(np.vstack(features), np.concatenate(labels), group)

    def _window(self, history: History) -> Split | None:
        days = np.unique(history.days)
        if len(days) < 2:
            return None
        cut = day_of(days[-min(self.most_days, len(days) // 2)])
        try:
            return split_at(history.interactions(), cut)
        except InteractionsError:
            return None  # nobody is on both sides

    def _trained(self, features: Floats, labels: Any, group: Any) -> str:
        try:
            import lightgbm
        except (ImportError, OSError) as error:
            raise InteractionsError(
                f"The library lightgbm, of the candidate {self.name}, cannot be loaded: {error}. It needs "
                "libgomp, which Debian has in the package libgomp1."
            ) from error
        data = lightgbm.Dataset(features, labels.astype(np.int32), group=group)
        parameters = {
            "objective": "lambdarank",
            "lambdarank_truncation_level": 10,
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.least_in_leaf,
            "learning_rate": self.learning_rate,
            "seed": self.seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        }
        booster = lightgbm.train(parameters, data, num_boost_round=self.trees)
        return str(booster.model_to_string())


@dataclass(frozen=True, kw_only=True)
class Reranked(Ranking):
    """The slot new: what the user never had. It scores nothing else.

    With too few users to learn from it is its first candidate.

    :param strong: the candidate that gives the reasons
    """

    slot: ClassVar[Slot] = "new"
    strong: EASE | ItemItem = field(default_factory=EASE)
    similar: ItemItem = field(default_factory=ItemItem)

    @property
    def alone(self) -> tuple[Candidate, ...]:
        return self.strong, self.similar

    def fit(self, history: History) -> ByItems | ByRanker:
        return self._ranked(history) or self.strong.fit(history)


@dataclass(frozen=True, kw_only=True)
class RerankedAgain(Ranking):
    """The slot again: what the user had. It scores nothing else.

    With too few users to learn from it is its first candidate.
    """

    slot: ClassVar[Slot] = "again"
    habits: TifuKnn | OwnFrequency = field(default_factory=TifuKnn)
    own: OwnFrequency = field(default_factory=OwnFrequency)

    @property
    def alone(self) -> tuple[Candidate, ...]:
        return self.habits, self.own

    def fit(self, history: History) -> Scorer:
        return self._ranked(history) or self.habits.fit(history)


def habits_for(history: History) -> TifuKnn | OwnFrequency:
    """The single candidate of the slot again that is better on real sales, where the size allows it."""
    return TifuKnn() if len(history.user_ids) <= MOST_COMPARED else OwnFrequency()


def strong_for(history: History) -> EASE | ItemItem:
    """The same of the slot new."""
    ease = EASE()
    return ease if len(history.item_ids) <= ease.most_items else ItemItem()


@dataclass(frozen=True)
class RerankedSlots:
    """Both slots, each by its own ranker, of the candidates that the history's size allows; of everything, what the
    user had is before what it never had."""

    of_again: RerankedAgain = field(default_factory=RerankedAgain)
    of_new: Reranked = field(default_factory=Reranked)
    name: str = "re-ranked"

    def fit(self, history: History) -> Scorer:
        again = replace(self.of_again, habits=habits_for(history)).fit(history)
        new = replace(self.of_new, strong=strong_for(history)).fit(history)
        seen = history.seen()

        def score(users: Ints) -> Floats:
            had = seen[users].toarray() > 0
            return np.where(had, 1 + _within_one(again(users)), _within_one(new(users)))

        return score


def _within_one(scores: Any) -> Floats:
    """Scores of every item in the same order, none of a user above 1."""
    of_all = dense(scores)
    highest = of_all.max(axis=1, initial=0, keepdims=True)
    return of_all / np.where(highest > 0, highest, 1)


def _sampled(split: Split, most: int, slot: Slot) -> Ints:
    """Of the split's users those that took something in the future that they had, or that they never had."""
    had = split.future * split.history.seen()[split.users]
    wanted = had if slot == "again" else split.future - had
    asked = np.flatnonzero(np.asarray(wanted.sum(axis=1)).ravel() > 0)
    drawn = np.random.default_rng(0).permutation(len(asked))[:most]
    return asked[np.sort(drawn)].astype(np.int32)


def _of_pairs(history: History) -> tuple[Matrix, ...]:
    age = history.ages()
    return history.matrix(), -1 * greatest(history, -age), greatest(history, age)


def _of_items(history: History, popular: RecentPopularity) -> Floats:
    (recent,), _ = beside_greatest(popular.fit(history).of_items[np.newaxis])
    seen = history.seen()
    first = np.full(len(history.item_ids), history.as_of)
    np.minimum.at(first, history.items, history.days)
    return np.column_stack(
        [
            rounded(recent),
            np.asarray(seen.mean(axis=0)).ravel(),
            history.as_of - first,
        ]
    )


def _of_users(history: History) -> Floats:
    users = len(history.user_ids)
    last = np.full(users, int(history.days.min()))
    np.maximum.at(last, history.users, history.days)
    span = history.as_of - int(history.days.min())
    baskets = np.unique(history.users.astype(np.int64) * (span + 1) + history.ages())
    return np.column_stack(
        [
            np.diff(history.seen().indptr),
            np.bincount(baskets // (span + 1), minlength=users),
            history.as_of - last,
        ]
    )
