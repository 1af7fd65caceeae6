"""Models as files: had back as they were, and what was cut short, changed or removed is named."""

from __future__ import annotations

import io
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem

from feira.recommendations import stored_models
from feira.recommendations.candidates import BASELINE, dense
from feira.recommendations.candidates.als import ALS
from feira.recommendations.candidates.counts import OwnFrequency
from feira.recommendations.candidates.item_item import EASE, ItemItem
from feira.recommendations.candidates.reranked import ByRanker, Reranked, RerankedAgain
from feira.recommendations.candidates.tifu_knn import TifuKnn
from feira.recommendations.interactions import interactions
from feira.recommendations.lists import Chosen, Models, fitted, history_of, rows_of
from feira.recommendations.stored_models import ModelFileError, read, write

DAY = date(2011, 1, 3)
HISTORY = history_of(
    interactions(
        [
            (f"u{user:02d}", f"i{(user * 3 + day * day) % 11:02d}", DAY - timedelta(days=day))
            for user in range(30)
            for day in range(12)
            if (user + day) % 3
        ]
    ),
    DAY,
)
QUICK = Reranked(
    factors=ALS(factors=3, iterations=2),
    of_each=5,
    least_users=1,
    trees=3,
    leaves=3,
    least_in_leaf=1,
)
AGAIN = RerankedAgain(
    factors=QUICK.factors,
    of_each=5,
    least_users=1,
    trees=3,
    leaves=3,
    least_in_leaf=1,
)
METHODS = [
    Chosen(TifuKnn(), EASE(), BASELINE),
    Chosen(OwnFrequency(), ItemItem(), BASELINE),
    Chosen(OwnFrequency(), QUICK, BASELINE),
    Chosen(AGAIN, ItemItem(), BASELINE),
]
FILES = LocalFileSystem(auto_mkdir=True)


@pytest.mark.parametrize("method", METHODS, ids=lambda it: f"{it.again.name} {it.new.name}")
def test_models_are_had_back_as_they_were(method: Chosen, tmp_path: Path) -> None:
    models = fitted(method, HISTORY)
    if method.new == QUICK:
        assert isinstance(models.new, ByRanker)
    if method.again == AGAIN:
        assert isinstance(models.again, ByRanker)
    write(FILES, str(tmp_path), vars(models), {"made": "by a test"})
    found = read(FILES, str(tmp_path))
    assert found is not None and found[1] == {"made": "by a test"}
    again = Models(**found[0])
    assert again.hash() == models.hash()
    users = np.arange(len(HISTORY.user_ids), dtype=np.int32)
    for name, model in vars(models).items():
        assert np.array_equal(dense(getattr(again, name)(users)), dense(model(users)))
    assert list(rows_of(again, HISTORY)) == list(rows_of(models, HISTORY))


def test_models_are_finished_with_the_last_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = vars(fitted(METHODS[2], HISTORY))
    write(FILES, str(tmp_path / "whole"), models, {})
    names = {it.name for it in (tmp_path / "whole").iterdir()}
    assert names == {"again.npz", "new.npz", "new.ranker.txt", "popular.npz", "models.json"}

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FILES, "pipe_file", killed)
    with pytest.raises(KeyboardInterrupt):
        write(FILES, str(tmp_path / "killed"), models, {})
    assert {it.name for it in (tmp_path / "killed").iterdir()} == names - {"models.json"}
    assert read(FILES, str(tmp_path / "killed")) is None


@pytest.mark.parametrize("name", ["again.npz", "new.npz", "new.ranker.txt", "popular.npz"])
@pytest.mark.parametrize("change", ["cut short", "one bit", "longer", "removed", "empty"])
def test_a_file_that_is_not_as_it_was_written_is_named_with_what_it_should_be(
    name: str, change: str, tmp_path: Path
) -> None:
    write(FILES, str(tmp_path), vars(fitted(METHODS[2], HISTORY)), {})
    path = tmp_path / name
    body = path.read_bytes()
    changed = {
        "cut short": body[: len(body) // 2],
        "one bit": body[:-40] + bytes([body[-40] ^ 1]) + body[-39:],
        "longer": body + b"\n",
        "empty": b"",
    }
    path.unlink()
    if change != "removed":
        path.write_bytes(changed[change])
    expected = json.loads((tmp_path / "models.json").read_text())["files"][name]
    assert expected["bytes"] == len(body)
    with pytest.raises(ModelFileError) as raised:
        read(FILES, str(tmp_path))
    found = "no such file" if change == "removed" else f"'bytes': {len(changed[change])}"
    for part in (f"{tmp_path}/{name}", expected["sha256"], found):
        assert part in str(raised.value)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"files": {}}', b'{"files": 3}', b"\xff"])
def test_a_models_json_that_is_not_understood_is_named(body: bytes, tmp_path: Path) -> None:
    write(FILES, str(tmp_path), vars(fitted(METHODS[1], HISTORY)), {})
    (tmp_path / "models.json").write_bytes(body)
    with pytest.raises(ModelFileError, match=r"models\.json is not what was written"):
        read(FILES, str(tmp_path))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    write(FILES, str(tmp_path), vars(fitted(METHODS[1], HISTORY)), {})
    packed = io.BytesIO()
    np.savez(packed, **{"popular.of_items": np.array([{"any": "object"}], dtype=object)})
    (tmp_path / "popular.npz").write_bytes(packed.getvalue())
    named = json.loads((tmp_path / "models.json").read_text())
    with io.BytesIO() as copy:
        named["files"]["popular.npz"] = stored_models._copied(
            FILES, str(tmp_path / "popular.npz"), copy
        )
    (tmp_path / "models.json").write_text(json.dumps(named))
    with pytest.raises(ModelFileError, match=r"popular\.npz holds no model: .*allow_pickle=False"):
        read(FILES, str(tmp_path))
