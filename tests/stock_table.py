"""A published table of another kind than sales': other key, version, dates and sums, and nothing that is "sold"."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from feira.core.published_table import Measure, PublishedTable

LEVELS = PublishedTable(
    name="stock",
    table="stock.levels",
    extracts="stock.counts",
    version="revision",
    event_date="valid_on",
    ledger="stock.levels_load_ledger",
    measures=(
        Measure("units", "units"),
        Measure("value", "value", counts="NOT sealed", unit="EUR"),
    ),
)
KEY = ("shelf", "best_before", "batch")
# Name, type, required.
COLUMNS = [
    ("shelf", "bigint", True),
    ("best_before", "date", True),
    ("batch", "decimal(6,2)", True),
    ("units", "int", True),
    ("value", "decimal(12,3)", False),
    ("sealed", "boolean", False),
    ("note", "string", False),
    ("revision", "int", True),
    ("valid_on", "date", True),
    ("number", "timestamp", False),
    ("feed_day", "date", True),
]
FEWER = [column for column in COLUMNS if column[0] != "number"]
LEDGER = [
    ("feed_day", "date", True),
    ("landing_version", "int", True),
    ("contract_version", "string", True),
    ("landing_uri", "string", True),
    *((f"{kind}_lines", "bigint", True) for kind in ("landed", "valid", "quarantined")),
    ("day_rows", "bigint", True),
    ("day_units", "bigint", True),
    ("day_value", "decimal(38,3)", True),
    *((f"{what}_rows", "bigint", True) for what in ("inserted", "updated", "deleted")),
    ("snapshot_id", "bigint", True),
    ("load_sequence", "bigint", True),
    ("loaded_at", "timestamp", True),
    ("agreed_snapshot_id", "bigint", False),
]
_LOGICAL = {"bigint": "integer", "int": "integer", "decimal": "number"}


def declare(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    gained: Sequence[tuple[str, str, bool]] = (),
    key: Sequence[str] = KEY,
) -> None:
    """Writes the contracts of the tables into a checkout of their own, and makes it the one.

    :param gained: further columns of the levels and of their counts
    :param key: of the levels
    """
    contracts = folder / "shared" / "contracts" / "stock"
    contracts.mkdir(parents=True)
    day = ("feed_day",)
    for table, servers, columns, unique, partition in (
        ("stock.levels", ("lake", "warehouse"), [*COLUMNS, *gained], key, day),
        ("stock.counts", ("lake",), [*COLUMNS, *gained], (*key, *day), day),
        ("stock.fewer", ("lake",), FEWER, (*KEY, *day), day),
        ("stock.levels_load_ledger", ("warehouse",), LEDGER, [c[0] for c in LEDGER[:3]], ()),
    ):
        document = {
            "apiVersion": "v3.1.0",
            "kind": "DataContract",
            "id": f"test.{table}",
            "name": table,
            "version": "2.1.0",
            "status": "active",
            "servers": [{"server": each, "type": "custom"} for each in servers],
            "schema": [
                {
                    "name": table.partition(".")[2],
                    "physicalName": table,
                    "physicalType": "table",
                    "description": table,
                    "properties": [
                        _column(*each, tuple(unique), tuple(partition)) for each in columns
                    ],
                }
            ],
        }
        (contracts / f"{table}.odcs.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    monkeypatch.setenv("FEIRA_REPOSITORY", str(folder))


def _column(
    name: str, type_: str, required: bool, key: tuple[str, ...], partition: tuple[str, ...]
) -> dict[str, object]:
    declared: dict[str, object] = {
        "name": name,
        "logicalType": _LOGICAL.get(type_.partition("(")[0], type_),
        "physicalType": type_,
        "required": required,
        "description": name,
    }
    if name in key:
        declared |= {"primaryKey": True, "primaryKeyPosition": key.index(name) + 1}
    if name in partition:
        declared |= {"partitioned": True, "partitionKeyPosition": partition.index(name) + 1}
    return declared
