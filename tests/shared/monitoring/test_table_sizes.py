"""The lake's tables as their metadata says, on a real catalog in PostgreSQL and real Iceberg tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from fsspec.implementations.local import LocalFileSystem
from pyiceberg.catalog.sql import SqlCatalog

from feira.monitoring.figures import Figures
from feira.monitoring.tables import LakeTables
from feira_local.stack.postgres import Dsns

ROWS = pa.table({"k": [1, 2, 3]})


class CountingFiles(LocalFileSystem):  # type: ignore[misc]
    """Local files, and how often one was read."""

    reads = 0

    def cat_file(self, path: str, *arguments: object, **options: object) -> bytes:
        self.reads += 1
        content: bytes = super().cat_file(path, *arguments, **options)
        return content


@pytest.fixture
def catalog(postgres: Dsns, tmp_path: Path) -> Iterator[SqlCatalog]:
    """An empty catalog in the stack's own database, as its own role makes it."""
    found = SqlCatalog(
        "lake",
        uri=postgres.iceberg.replace("postgresql://", "postgresql+psycopg2://"),
        warehouse=f"file://{tmp_path}",
    )
    for namespace in ("sales", "web", "staging"):
        found.create_namespace_if_not_exists(namespace)
    yield found
    found.engine.dispose()
    with psycopg.connect(postgres.iceberg) as connection:
        connection.execute("DROP TABLE iceberg_tables, iceberg_namespace_properties")


def source(postgres: Dsns, files: LocalFileSystem) -> LakeTables:
    return LakeTables(f"{postgres.monitor.rsplit('/', 1)[0]}/iceberg", files)


def test_a_catalog_that_nobody_has_used_has_no_tables(postgres: Dsns) -> None:
    figures, tables = Figures(), source(postgres, CountingFiles())
    tables.collect(figures)
    assert tables.read() == {}
    promised = {
        sample.labels["table"]: sample.value
        for family in figures.registry.collect()
        for sample in family.samples
        if sample.name == "feira_table_promised_latency_seconds"
    }
    # Of others the days are asked elsewhere, where they are asked at all.
    assert promised == {"web.user_events": 7200.0}


def test_a_tables_rows_files_and_size_are_those_of_its_snapshot_and_read_once_a_change(
    postgres: Dsns, catalog: SqlCatalog
) -> None:
    table = catalog.create_table("sales.fact", ROWS.schema)
    catalog.create_table("staging.fact", ROWS.schema)
    table.append(ROWS)
    figures, files = Figures(), CountingFiles()
    tables = source(postgres, files)

    def value(name: str) -> float | None:
        return figures.registry.get_sample_value(name, {"table": "sales.fact"})

    for _ in range(2):
        tables.collect(figures)
    assert files.reads == 1
    assert value("feira_table_rows") == 3
    assert value("feira_table_files") == 1
    updated = value("feira_table_updated_timestamp_seconds")
    assert updated == table.metadata.last_updated_ms / 1000
    table.append(ROWS)
    tables.collect(figures)
    assert (value("feira_table_rows"), value("feira_table_files"), files.reads) == (6, 2, 2)


def test_how_far_a_topic_was_read_is_not_known_until_the_metadata_was(
    postgres: Dsns, catalog: SqlCatalog, tmp_path: Path
) -> None:
    metadata = Path(catalog.create_table("web.user_events", ROWS.schema).metadata_location[7:])
    tables = source(postgres, CountingFiles())
    metadata.rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError):
        tables.collect(Figures())
    assert tables.read() is None
    (tmp_path / "away").rename(metadata)
    tables.collect(Figures())
    assert tables.read() == {}


def test_the_newest_day_of_user_events_and_what_was_read_of_their_topic_are_in_the_summaries(
    postgres: Dsns, catalog: SqlCatalog
) -> None:
    table = catalog.create_table("web.user_events", ROWS.schema)
    # Days come in any order; the last that was read is not the newest, and of a topic that was made anew.
    for day, ends in (("2010-12-02", (9, 4)), ("2010-12-01", (7, 5))):
        offsets = {"user_events": {str(n): [0, end] for n, end in enumerate(ends)}}
        table.append(ROWS, {"feira.event-day": day, "feira.kafka-offsets": json.dumps(offsets)})
    figures = Figures()
    tables = source(postgres, CountingFiles())
    assert tables.read() is None
    tables.collect(figures)
    name = "feira_table_newest_partition_timestamp_seconds"
    assert figures.registry.get_sample_value(name, {"table": "web.user_events"}) == 1291248000.0
    assert tables.read() == {"user_events/0": 7, "user_events/1": 5}
    # In whatever order they are listed, the newest counts.
    written = Path(table.metadata_location[7:])
    metadata = json.loads(written.read_text())
    metadata["snapshots"].reverse()
    written.write_text(json.dumps(metadata))
    figures, tables = Figures(), source(postgres, CountingFiles())
    tables.collect(figures)
    assert tables.read() == {"user_events/0": 7, "user_events/1": 5}
    rows = figures.registry.get_sample_value("feira_table_rows", {"table": "web.user_events"})
    assert rows == 2 * len(ROWS)


def test_a_table_that_is_gone_has_no_figures_and_nothing_of_its_topic_was_read(
    postgres: Dsns, catalog: SqlCatalog
) -> None:
    events = catalog.create_table("web.user_events", ROWS.schema)
    offsets = json.dumps({"user_events": {"0": [0, 9]}})
    events.append(ROWS, {"feira.event-day": "2010-12-02", "feira.kafka-offsets": offsets})
    catalog.create_table("sales.fact", ROWS.schema).append(ROWS)
    figures, tables = Figures(), source(postgres, CountingFiles())
    figures.newest_partition.labels("sales.landing").set(1)

    def shown() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for family in figures.registry.collect():
            for sample in family.samples:
                if "table" in sample.labels and "promised" not in sample.name:
                    found.setdefault(sample.labels["table"], set()).add(sample.name)
        return found

    tables.collect(figures)
    sizes = {f"feira_table_{it}" for it in ("rows", "files", "bytes", "updated_timestamp_seconds")}
    newest = {"feira_table_newest_partition_timestamp_seconds"}
    landing = {"sales.landing": newest}
    assert shown() == landing | {"sales.fact": sizes, "web.user_events": sizes | newest}
    catalog.drop_table("web.user_events")
    tables.collect(figures)
    assert (shown(), tables.read()) == (landing | {"sales.fact": sizes}, {})
