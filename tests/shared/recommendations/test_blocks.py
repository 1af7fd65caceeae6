"""Blocks of users on several cores: what is made of them is the same, in order, and little is made ahead."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from feira.recommendations import blocks, lists
from feira.recommendations.blocks import in_blocks
from feira.recommendations.candidates import BASELINE
from feira.recommendations.candidates.als import ALS
from feira.recommendations.candidates.counts import OwnFrequency
from feira.recommendations.candidates.item_item import EASE, ItemItem
from feira.recommendations.candidates.reranked import ByRanker, Reranked, RerankedAgain
from feira.recommendations.candidates.tifu_knn import TifuKnn
from feira.recommendations.history import History, history_before
from feira.recommendations.interactions import day_of, distinct
from feira.recommendations.lists import Chosen, fitted, rows_of


def drawn(users: int, items: int, interactions: int) -> History:
    generator = np.random.default_rng(3)
    who = (users * generator.random(interactions) ** 1.5).astype(np.int32)
    what = (items * generator.random(interactions) ** 2).astype(np.int32)
    when = (15_000 + generator.integers(60, size=interactions)).astype(np.int32)
    names = (np.array([f"{at:04d}" for at in range(count)], object) for count in (users, items))
    return history_before(distinct(*names, who, what, when), day_of(15_060))


FEW = ALS(factors=8, iterations=2)


@pytest.mark.parametrize(
    "method",
    [
        Chosen(OwnFrequency(), ItemItem(), BASELINE),
        Chosen(TifuKnn(neighbours=9), EASE(), BASELINE),
        Chosen(RerankedAgain(factors=FEW), Reranked(factors=FEW), BASELINE),
    ],
    ids=["item-item", "EASE", "re-ranked"],
)
def test_lists_are_the_same_on_any_number_of_cores(
    method: Chosen, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = drawn(400, 150, 6_000)
    models = fitted(method, history)
    assert isinstance(models.new, ByRanker) == isinstance(method.new, Reranked)
    assert isinstance(models.again, ByRanker) == isinstance(method.again, RerankedAgain)
    monkeypatch.setattr(blocks, "USERS", 9)
    made = []
    for cores in (1, 2, 5):
        monkeypatch.setattr(lists, "in_blocks", partial(in_blocks, cores=cores))
        made.append(pa.Table.from_batches(rows_of(models, history)))
    assert made[0].num_rows > 30_000
    assert made[0].equals(made[1]) and made[0].equals(made[2])


def test_blocks_are_made_side_by_side_and_had_in_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocks, "USERS", 3)
    second = threading.Event()

    def make(users: Any) -> list[int]:
        if users[0] == 0:
            assert second.wait(20)
        elif users[0] == 3:
            second.set()
        return users.tolist()

    found = [user for block in in_blocks(make, 20, cores=2) for user in block]
    assert found == list(range(20))
    assert list(in_blocks(make, 0, cores=2)) == []


def test_no_more_is_made_ahead_than_a_few_blocks_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "USERS", 1)
    started: list[int] = []
    made = in_blocks(lambda users: started.append(int(users[0])), 1_000, cores=2)
    next(made)
    made.close()
    assert 1 <= len(started) <= 5


def test_what_fails_in_a_block_fails_for_who_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "USERS", 1)

    def make(users: Any) -> int:
        return 1 // (2 - int(users[0]))

    made = in_blocks(make, 9, cores=3)
    assert (next(made), next(made)) == (0, 1)
    with pytest.raises(ZeroDivisionError):
        next(made)
