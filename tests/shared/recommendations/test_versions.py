"""Versions of the lists in a lake: whose each is, and that killed anywhere the same run makes the same rows."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feira.core.lake import lake_files
from feira.core.settings import LakeSettings
from feira.recommendations import training, versions
from feira.recommendations.interactions import Interactions, day_of, interactions
from feira.recommendations.segments import Segments
from feira.recommendations.slots import LENGTH
from feira.recommendations.versions import Finished, ListStore, Version, VersionError

DAY = date(2011, 1, 3)
SOURCES = {"sources": {"sales.fact": 7, "web.user_events": None}, "features": {"a": 8}}
BOUGHT = interactions(
    [(f"u{n:03d}", f"i{n % 7}", date(2011, 1, 1 + n % 3)) for n in range(90)]
    + [("u000", "i1", date(2011, 1, 4))]
)


@pytest.fixture
def store(tmp_path: Path) -> ListStore:
    lake = LakeSettings(root=f"file://{tmp_path}", catalog="hadoop")
    return ListStore(lake_files(lake), lake.root)


def killed(*_: Any) -> None:
    raise KeyboardInterrupt


def history_with(*more: tuple[str, str, date]) -> Interactions:
    """What was bought, and more."""
    of = zip(BOUGHT.users, BOUGHT.items, BOUGHT.days, strict=True)
    held = [(BOUGHT.user_ids[user], BOUGHT.item_ids[item], day_of(day)) for user, item, day in of]
    return interactions([*held, *more])


def claimed(store: ListStore, run: str = "run 1", sources: Any = SOURCES) -> Version:
    return store.claim(DAY, run, sources)


def rows(made: Finished) -> list[Any]:
    return pq.read_table(made.parquet.removeprefix("file://")).to_pylist()


def test_a_run_has_one_version_of_a_day_and_another_run_the_next(store: ListStore) -> None:
    first = claimed(store)
    assert (first.version, first.as_of, first.run_id) == ("2011-01-03-001", "2011-01-03", "run 1")
    assert datetime.fromisoformat(first.created_at).tzinfo is not None
    assert claimed(store) == first
    assert claimed(store, "run 2").version == "2011-01-03-002"
    # The run was cleared, and the fact is another meanwhile: its lists are others.
    moved = claimed(store, sources=SOURCES | {"features": {"a": 9}})
    assert moved.version == "2011-01-03-003"
    assert claimed(store) == first
    assert store.claim(date(2011, 1, 4), "run 1", SOURCES).version == "2011-01-04-001"


def test_versions_of_a_day_sort_as_text_and_end(
    store: ListStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "_MOST_A_DAY", 11)
    names = [claimed(store, f"run {n}").version for n in range(11)]
    assert names == sorted(names) and names[-1] == "2011-01-03-011"
    with pytest.raises(VersionError, match=r"2011-01-03: .* 11 versions"):
        claimed(store, "one more")


def test_a_version_is_finished_once_its_file_is_whole(store: ListStore) -> None:
    version = claimed(store)
    assert store.finished(version.version) is store.users(version.version) is None
    made = store.make(version, BOUGHT)
    assert store.read(version.version) == (version, made)
    held = rows(made)
    assert (made.rows, made.users, made.items) == (len(held), 90, 7)
    assert made.interactions == 90  # the day after is not known
    assert made.lists == len({(it["slot"], it["user_id"]) for it in held}) == 181
    assert made.candidates["again"]["name"] == "TIFU-KNN"
    assert made.model_hash is not None and len(made.model_hash) == 64
    path = Path(made.parquet.removeprefix("file://"))
    path.write_bytes(path.read_bytes()[:-1])
    assert store.finished(version.version) is None
    with pytest.raises(VersionError, match="2011-01-03-001"):
        store.read(version.version)
    path.unlink()
    assert store.finished(version.version) is None and store.users(version.version) == 90
    assert store.make(version, BOUGHT) == made
    assert rows(made) == held


def test_killed_before_the_end_the_same_run_makes_the_same_rows(
    store: ListStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, pipe = claimed(store), store.files.pipe_file

    with monkeypatch.context() as patched:
        patched.setattr(store.files, "pipe_file", killed)
        with pytest.raises(KeyboardInterrupt):
            store.make(version, BOUGHT)
    assert store.files.pipe_file == pipe
    assert store.finished(version.version) is None
    assert claimed(store) == version
    made = store.make(version, BOUGHT)
    again = ListStore(store.files, f"{store.lake}/other").make(version, BOUGHT)
    assert rows(again) == rows(made)
    assert asdict(again) | {"parquet": made.parquet} == asdict(made)


def test_who_has_no_list_has_a_segment_that_has_one_in_the_order_of_users(store: ListStore) -> None:
    given = Segments(
        pa.table(
            {
                "user_id": ["v", "u001", "é", "a", "w"],
                "segment": ["MUG", "MUG", "BAG", "CUP", "MUG"],
            }
        ),
        # Nobody bought a cup: it has no list, and its user is offered what is popular.
        pa.table({"sku": ["i2", "i1", "never"], "category": ["MUG", "BAG", "CUP"]}),
    )
    made = store.make(claimed(store), BOUGHT, given)
    assert made.segments is not None
    found = pq.read_table(made.segments.removeprefix("file://")).to_pylist()
    assert [(it["user_id"], it["segment"]) for it in found] == [
        ("v", "MUG"),
        ("w", "MUG"),
        ("é", "BAG"),
    ]
    held = [it for it in rows(made) if it["segment"]]
    assert [(it["segment"], it["item"], it["position"]) for it in held] == [
        ("BAG", "i1", 1),
        ("MUG", "i2", 1),
    ]
    assert made.lists == 183
    # A version of before there were segments has none.
    assert replace(made, beside={}).segments is None


def test_rows_are_written_in_parts_and_all_of_them(
    store: ListStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = store.make(claimed(store), BOUGHT)
    monkeypatch.setattr(versions, "_ROW_GROUP", LENGTH)
    parts = store.make(claimed(store, "run 2"), BOUGHT)
    assert pq.ParquetFile(parts.parquet.removeprefix("file://")).num_row_groups > 2
    assert rows(parts) == rows(whole)


def test_of_no_interactions_there_are_no_lists(store: ListStore) -> None:
    made = store.make(store.claim(date(2010, 12, 31), "run 1", SOURCES), BOUGHT)
    assert (made.users, made.lists, made.rows, made.model_hash) == (0, 0, 0, None)
    assert rows(made) == []
    assert store.finished("2010-12-31-001") == made


def test_a_retry_learns_nothing_again(store: ListStore, monkeypatch: pytest.MonkeyPatch) -> None:
    version, fits = claimed(store), []
    fitted = training.fitted
    monkeypatch.setattr(training, "fitted", lambda *it: fits.append(it) or fitted(*it))
    with monkeypatch.context() as patched:
        patched.setattr(versions, "rows_of", killed)
        with pytest.raises(KeyboardInterrupt):
            store.make(version, BOUGHT)
    assert (store.finished(version.version), len(fits)) == (None, 1)
    made = store.make(version, BOUGHT)
    assert len(fits) == 1
    # Without those files, and so learned anew, it is the same.
    again = ListStore(store.files, f"{store.lake}/other").make(version, BOUGHT)
    assert len(fits) == 2 and rows(again) == rows(made) and again.model_hash == made.model_hash
    # Others that were bought: the models of the version are not of them.
    store.make(version, history_with(("u000", "i1", date(2011, 1, 1))))
    assert len(fits) == 3


@pytest.mark.parametrize("name", ["new.npz", "models.json"])
def test_models_that_were_changed_are_learned_again_and_the_log_names_the_file(
    name: str, store: ListStore, caplog: pytest.LogCaptureFixture
) -> None:
    version = claimed(store)
    made = store.make(version, BOUGHT)
    path = Path(f"{store.folder(version.version)}/models/{name}".removeprefix("file://"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with caplog.at_level("WARNING"):
        again = store.make(version, BOUGHT)
    assert f"/models/{name}" in caplog.text and "learned again" in caplog.text
    assert again == made and path.read_bytes() == whole


def test_models_of_a_method_that_is_not_known_any_more_are_learned_again(store: ListStore) -> None:
    version = claimed(store)
    made = store.make(version, BOUGHT)
    path = Path(f"{store.folder(version.version)}/models/models.json".removeprefix("file://"))
    path.write_text(path.read_text().replace('"EASE"', '"HARD"'))
    assert store.make(version, BOUGHT) == made


@pytest.mark.parametrize("day", [date.min, date.max])
def test_a_version_may_be_of_the_first_or_last_day_that_dates_have(
    store: ListStore, day: date
) -> None:
    version = store.claim(day, "run 1", SOURCES)
    store.make(version, interactions([("u", "i", day), ("v", "j", day)]))
    assert f"Interactions to {day}, of each user" in store.card(version.version)


def test_the_card_has_data_method_and_what_it_is_not_for(store: ListStore) -> None:
    version = claimed(store)
    made = store.make(version, BOUGHT)
    text = store.card(version.version)
    for part in (
        *("# Lists 2011-01-03-001", "| interactions | 90 |", "| users | 90 |", "| items | 7 |"),
        *(
            '"sales.fact": 7',
            '"half_life": 60',
            str(made.model_hash),
            "Re-ranking of *again*: no",
            "Re-ranking of *new*: no",
            "gate.json",
        ),
        *("| first day | 2011-01-01 |", "## Not for", "credit"),
    ):
        assert part in text
    nothing = store.claim(date(2010, 12, 31), "run 1", SOURCES)
    store.make(nothing, BOUGHT)
    text = store.card(nothing.version)
    assert "| interactions | 0 |" in text and "## Method" not in text
    with pytest.raises(VersionError, match=r"2011-01-05-001: there is no .*card\.md"):
        store.card("2011-01-05-001")
