"""The platform's re-ranked lists against plain Python that walks the stored ranker over features of its own."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem

from feira.recommendations import stored_models
from feira.recommendations.candidates import BASELINE
from feira.recommendations.candidates.als import ALS
from feira.recommendations.candidates.counts import OwnFrequency
from feira.recommendations.candidates.item_item import ItemItem
from feira.recommendations.candidates.reranked import ByRanker, Reranked, RerankedAgain
from feira.recommendations.candidates.tifu_knn import TifuKnn
from feira.recommendations.interactions import interactions
from feira.recommendations.lists import Chosen, fitted, history_of, rows_of
from oracle_lists import Interactions, Known
from oracle_reranked import Reranked as Oracle
from oracle_reranked import Trees, list_differs, stored
from recommendation_checks import Scored, _scores_differ

DAY = dt.date(2011, 3, 31)
QUICK: Any = {"factors": ALS(factors=6, iterations=3), "of_each": 12, "least_users": 20}
METHODS = {
    "all": Chosen(
        RerankedAgain(habits=TifuKnn(neighbours=9), **QUICK), Reranked(**QUICK), BASELINE
    ),
    # The same candidate twice is one.
    "large": Chosen(
        RerankedAgain(habits=OwnFrequency(), **QUICK),
        Reranked(strong=ItemItem(), similar=ItemItem(), **QUICK),
        BASELINE,
    ),
}


@cache
def bought() -> Interactions:
    draw = np.random.default_rng(4)
    return {
        (f"u{user:02d}", f"i{(user % 4 * 9 + int(draw.integers(14))) % 40:02d}",
         DAY - dt.timedelta(days=int(draw.integers(60))))
        for user in range(70)
        for _ in range(int(draw.integers(5, 25)))
    }  # fmt: skip


@pytest.fixture(scope="module", params=METHODS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A method, the folder with what it learned, and its lists."""
    method, folder = METHODS[request.param], tmp_path_factory.mktemp("models")
    history = history_of(interactions(sorted(bought())), DAY)
    models = fitted(method, history)
    assert isinstance(models.new, ByRanker) and isinstance(models.again, ByRanker)
    stored_models.write(LocalFileSystem(), str(folder), vars(models), {})
    lists: Scored = defaultdict(list)
    for batch in rows_of(models, history):
        for row in batch.to_pylist():
            offer = row["item"], row["reason"], row["reason_item"]
            lists[row["slot"], row["user_id"]].append((offer, row["score"]))
    return method, folder, lists


def oracle(made: tuple[Chosen, Path, Any], slot: str) -> Oracle:
    method, folder, _ = made
    return Oracle(
        slot, Known(bought(), DAY), method.described()[slot], *stored(slot, _read(folder))
    )


def scores(lists: Scored, slot: str, user: str) -> list[tuple[str, float]]:
    return [(item, score) for (item, _, _), score in lists[slot, user]]


def _read(folder: Path) -> Any:
    return lambda name: (folder / name).read_bytes()


@pytest.mark.parametrize("slot", ["again", "new"])
def test_every_list_is_in_the_order_of_the_stored_ranker(made: Any, slot: str) -> None:
    of, (_, _, lists) = oracle(made, slot), made
    checked = 0
    for user in of.known.users:
        must = of(user)
        if must is not None:
            assert list_differs(user, scores(lists, slot, user), must) == []
            checked += len(must)
    assert checked > 400


@pytest.mark.parametrize("slot", ["again", "new"])
def test_a_list_that_is_not_the_rankers_is_named(made: Any, slot: str) -> None:
    of, (_, _, lists) = oracle(made, slot), made
    user = next(user for user in of.known.users if len(of(user) or ()) > 6)
    right, must = scores(lists, slot, user), of(user)
    assert must is not None
    wrong = [
        [right[1], right[0], *right[2:]],
        right[1:],
        [(right[0][0], right[0][1] + 1e-4), *right[1:]],
        right[: len(must) - 1],
    ]
    assert right[0][1] > right[1][1]
    for each in wrong:
        assert list_differs(user, each, must)


def test_a_ranker_of_another_version_gives_other_lists(made: Any) -> None:
    of, (_, _, lists) = oracle(made, "new"), made
    of.trees.trees = of.trees.trees[:-20]
    differ = [
        user
        for user in of.known.users
        if list_differs(user, scores(lists, "new", user), of(user) or [])
    ]
    assert len(differ) > 20


def test_what_verify_holds_against_them_names_a_score_an_order_and_a_reason(made: Any) -> None:
    method, _, lists = made
    rankers = {slot: oracle(made, slot) for slot in ("again", "new")}
    known = rankers["new"].known

    def differ(lists: Scored) -> list[str]:
        return _scores_differ(known, method.described(), rankers, lists, dict.fromkeys(known.items))

    assert differ(lists) == []
    # The first user is one of those that are looked at.
    user = known.users[0]
    for slot in ("again", "new"):
        first, second, *rest = lists[slot, user]
        for wrong in ([second, first, *rest], [(first[0], first[1] / 2), second, *rest]):
            assert differ({**lists, (slot, user): wrong})
    if method.described()["new"]["strong"]["name"] == "EASE":
        place = next(
            at for at, ((_, why, _), _) in enumerate(lists["new", user]) if why == "goes_with"
        )
        wrong = [*lists["new", user]]
        (item, why, of), score = wrong[place]
        others = [known.items[it] for it in known.had(user) if known.items[it] != of]
        wrong[place] = (item, why, others[0]), score
        assert any("its reason adds" in each for each in differ({**lists, ("new", user): wrong}))


def test_a_tree_is_walked_to_the_leaf_that_its_text_names() -> None:
    text = (
        "tree\nversion=v4\n\nTree=0\nnum_leaves=3\nsplit_feature=1 0\nthreshold=0.5 2\n"
        "decision_type=2 2\nleft_child=1 -2\nright_child=-1 -3\nleaf_value=8 1 2\n\n\n"
        "Tree=1\nnum_leaves=1\nleaf_value=0.25\n\n\nend of trees\n"
    )
    trees = Trees(text)
    assert [trees.score(row) for row in ([2, 0.5], [2.1, 0.5], [0, 0.6])] == [1.25, 2.25, 8.25]
    with pytest.raises(AssertionError, match="not walked"):
        Trees(text.replace("decision_type=2 2", "decision_type=2 1"))


def test_a_candidate_that_is_not_computed_here_is_named() -> None:
    known = Known({("1", "A", DAY)}, DAY)
    method = {
        "again": {"name": "another"},
        "new": {"name": "item-item"},
        "popular": {"half_life": 14},
    }
    found = _scores_differ(known, method, {}, {}, {})
    assert ["another" in found[0], "item-item" in found[1]] == [True, True]
