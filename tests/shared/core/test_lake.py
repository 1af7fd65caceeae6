"""Reading what a ``metadata.json`` pins, from S3 and without a JVM."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.types import StringType

from feira.core.lake import SnapshotFileGoneError, lake_files, read_snapshot
from feira.core.settings import LakeSettings, SettingsError


@pytest.fixture
def lake(s3_endpoint: str) -> LakeSettings:
    """A prefix of its own in moto's bucket."""
    return LakeSettings(
        root=f"s3://lake/{uuid.uuid4().hex}",
        endpoint=s3_endpoint,
        access_key="test",
        secret_key="test",
        catalog="hadoop",
    )


@pytest.mark.parametrize("folder", ["a*", "a?", "a[1]", "a]", "{a,b}", "a}", "a\\b"])
def test_a_lake_whose_uri_spark_would_read_as_a_pattern_is_refused(folder: str) -> None:
    root = f"file:///data/{folder}/lake"
    with pytest.raises(SettingsError, match=re.escape(f"{root}, ")):
        lake_files(LakeSettings(root=root))
    assert lake_files(LakeSettings(root="file:///data/a b%20é (1)~/lake"))


def test_a_file_is_sent_in_small_parts_however_it_is_written(lake: LakeSettings) -> None:
    files, part = lake_files(lake), 5 * 2**20
    with files.open(f"{lake.root}/model", "wb") as file:
        file.write(b"x" * (2 * part + 1))
    # S3 counts the parts of a file in its ETag.
    assert files.info(f"{lake.root}/model")["ETag"].strip('"').endswith("-3")
    assert files.cat_file(f"{lake.root}/model") == b"x" * (2 * part + 1)


def test_a_metadata_file_pins_the_rows_of_its_snapshot(lake: LakeSettings, tmp_path: Path) -> None:
    catalog = SqlCatalog(
        "test",
        uri=f"sqlite:///{tmp_path}/catalog.db",
        warehouse=lake.root,
        **{
            "s3.endpoint": lake.endpoint,
            "s3.access-key-id": lake.access_key,
            "s3.secret-access-key": lake.secret_key,
            "s3.region": lake.region,
        },
    )
    catalog.create_namespace("sales")
    first = pa.table({"order_id": ["1", "2"], "quantity": pa.array([6, None], pa.int32())})
    table = catalog.create_table("sales.fact", schema=first.schema)
    table.append(first)
    pinned = table.metadata_location
    table.append(pa.table({"order_id": ["3"], "quantity": pa.array([1], pa.int32())}))

    def rows(uri: str) -> list[tuple[str, int | None]]:
        batches = list(read_snapshot(lake, uri))
        return sorted(
            (row["order_id"], row["quantity"]) for batch in batches for row in batch.to_pylist()
        )

    assert rows(pinned) == [("1", 6), ("2", None)]
    assert rows(table.metadata_location) == [("1", 6), ("2", None), ("3", 1)]

    with table.update_schema() as change:
        change.add_column("channel", StringType())
    with pytest.raises(ValueError, match=r"\['order_id', 'quantity'\], the table \[.*channel"):
        rows(table.metadata_location)
    assert rows(pinned) == [("1", 6), ("2", None)]

    # What is dropped once it was used is not there for another try either.
    files = lake_files(lake)
    for gone in (f"{table.location()}/data", pinned):
        files.rm(gone, recursive=True)
        with pytest.raises(SnapshotFileGoneError, match=re.escape(pinned)):
            rows(pinned)


def test_a_temporary_key_opens_what_a_metadata_file_pins(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto checks no keys: what PyIceberg is given is looked at instead."""
    given: list[dict[str, str]] = []

    def from_metadata(uri: str, properties: dict[str, str]) -> None:
        given.append(properties)
        raise KeyboardInterrupt

    monkeypatch.setattr("pyiceberg.table.StaticTable.from_metadata", from_metadata)
    settings = LakeSettings("s3://lake", access_key="A", secret_key="s", session_token="t")
    with pytest.raises(KeyboardInterrupt):
        next(iter(read_snapshot(settings, "s3://lake/m.json")))
    assert given[0]["s3.session-token"] == "t"


def test_files_that_another_process_has_written_are_seen_at_once(lake: LakeSettings) -> None:
    mine, theirs = lake_files(lake), lake_files(lake)
    folder = f"{lake.root}/landing"
    mine.pipe_file(f"{folder}/a", b"1")
    assert len(theirs.ls(folder)) == 1
    mine.pipe_file(f"{folder}/b", b"2")
    assert len(theirs.ls(folder)) == 2
