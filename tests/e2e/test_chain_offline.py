"""The whole chain without Airflow and without the stack, state by state against the oracle.

The simulator over HTTP, a landing store and an Iceberg catalog in a folder, Spark in this process, a
PostgreSQL of its own and dbt: what `make verify` does on the running stack, less the killing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from psycopg.conninfo import conninfo_to_dict
from pyiceberg.table import StaticTable

from feira.contracts import contract
from feira.lake import lake_files, read_snapshot
from feira.landing.land import Page, land_day
from feira.landing.store import LandingStore
from feira.settings import LakeSettings, repository_root
from feira.warehouse.load import Difference, Extract, Loaded, load
from feira.warehouse.reconcile import Agreement, Figures, reconcile_day, verify_whole
from feira.warehouse.schema import connect
from feira_airflow.summary.marts import MartsConnection, build_marts
from feira_local.shop.app import create_app
from feira_local.shop.fx import FxRates
from feira_local.shop.generator import GeneratedSource, GeneratorSettings
from feira_local.stack.postgres import Dsns
from feira_spark.sales.difference import lake_figures, stage_difference
from feira_spark.sales.publish import publish_day, sweep_branches
from feira_spark.sales.steps import (
    GateError,
    drop_staging,
    require_passed,
    transform_day,
    validate_landing,
)
from held import KEYS, MARTS, Held
from oracle import difference, expected
from served import Served, Shop
from shop_server import served

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAY, NEXT, CLOSED = date(2010, 12, 1), date(2010, 12, 2), date(2010, 12, 25)
PAGE = 120
# Eleven runs of the chain: on a busy machine more than the limit of an ordinary test.
pytestmark = pytest.mark.timeout(900)


class Feed:
    """The shop's change feed as landing asks for it, in pages small enough that a day has three."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def pages(self, day: date) -> Iterator[Page]:
        cursor: dict[str, str] = {}
        number = 0
        while number == 0 or cursor:
            number += 1
            params = {"date": str(day), "limit": str(PAGE)} | cursor
            answer = self._shop._get("sales", params)
            yield Page(number, answer["total"], answer["lines"])
            cursor = {"cursor": answer["next_cursor"]} if answer["next_cursor"] else {}

    def rates(self, first: date, last: date) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self._shop._get("fx", {"from": str(first), "to": str(last)})[
            "rates"
        ]
        return found


class FolderHeld(Held):
    """Reads the lake's folder: the newest ``metadata.json`` of a table is what readers see."""

    def __init__(self, lake: LakeSettings, warehouse_dsn: str) -> None:
        super().__init__({}, warehouse_dsn)
        self._tables = Path(lake.tables_root.removeprefix("file://"))

    def catalog(self) -> Any:
        return self

    def load_table(self, table: str) -> StaticTable:
        folder = self._tables / table.replace(".", "/") / "metadata"
        version = (folder / "version-hint.text").read_text().strip()
        return StaticTable.from_metadata(str(folder / f"v{version}.metadata.json"))


class Chain:
    """Runs days as the two DAGs do, and compares what is held with what must be."""

    def __init__(
        self, spark: SparkSession, lake: LakeSettings, dsns: Dsns, shop: Shop, scratch: Path
    ) -> None:
        self.spark, self.lake, self.shop = spark, lake, shop
        self.store = LandingStore(lake_files(lake), f"{lake.root}/{uuid4().hex}")
        self.warehouse = connect(dsns.warehouse_loader)
        self.served = Served(shop)
        self.held = FolderHeld(lake, dsns.reader)
        parts = conninfo_to_dict(dsns.dbt)
        self._dbt = MartsConnection(
            host=str(parts["host"]),
            port=int(parts["port"] or 0),
            user=str(parts["user"]),
            password=str(parts["password"]),
            database=str(parts["dbname"]),
        )
        self._scratch = scratch
        self._runs = 0

    def run(self, day: date, *, refetch: bool = False) -> Loaded:
        """A run of sales_etl and, since it then emits, one of sales_summary."""
        self._runs += 1
        known = self.served.landings[day]
        if refetch or not known:
            self.served.record(day, max(known, default=0) + 1)
        landing, _ = land_day(
            Feed(self.shop),
            self.store,
            contract("sales.landing"),
            day,
            requested_by=f"run-{self._runs}",
            refetch=refetch,
        )
        require_passed(validate_landing(self.spark, self.store, landing))
        manifest, _ = transform_day(self.spark, self.store, day)
        sweep_branches(self.spark)
        publish_day(self.spark, day, f"run_{self._runs}_1")
        found = self._load(day, manifest.version)
        self._reconcile(day, manifest.version)
        drop_staging(self.spark, day)
        build_marts(
            self._dbt,
            project_dir=repository_root() / "infra" / "dbt",
            target_dir=self._scratch,
        )
        return found

    def _load(self, day: date, version: int) -> Loaded:
        validation = self.store.validation(day, version)
        assert validation is not None

        def since(held: int | None) -> Difference | None:
            staged = stage_difference(self.spark, held)
            if staged is None:
                return None
            batches = read_snapshot(self.lake, staged.metadata)
            return Difference(staged.snapshot_id, staged.whole, staged.rows, batches)

        uri = self.store.manifest_uri(day, version)
        extract = Extract(day, version, uri, validation.total, validation.valid)
        return load(self.warehouse, extract, since)

    def _reconcile(self, day: date, version: int) -> Agreement:
        def figures(snapshot: int, of: date, dates: list[date]) -> dict[date, Figures]:
            found = lake_figures(self.spark, snapshot, of, dates)
            return {key: Figures(*values) for key, values in found.items()}

        return reconcile_day(self.warehouse, day, version, figures)

    def state(self) -> tuple[Any, ...]:
        """What a run that finds nothing to do must leave as it is."""
        return self.held.fact_state(), self.held.ledger()

    def require_equal(self, state: str) -> None:
        """Compares fact, quarantine and marts with the oracle, and the figures of the whole fact."""
        must = expected(self.served.all())
        frames = {
            "lake sales.fact": ("fact", self.held.lake("sales.fact")),
            "warehouse sales.fact": ("fact", self.held.warehouse("sales.fact")),
            "lake sales.quarantine": ("quarantine", self.held.lake("sales.quarantine")),
        } | {f"marts.{mart}": (mart, self.held.warehouse(f"marts.{mart}")) for mart in MARTS}
        problems = [
            f"{name}: {text}"
            for name, (table, frame) in frames.items()
            for text in difference(getattr(must, table), frame, KEYS[table])
        ]
        assert not problems, f"{state}:\n" + "\n".join(problems)
        assert self.held.fact_state()[1] == [], f"{state}: branches were left on the fact"
        ledger = self.held.ledger()
        assert len({row[:3] for row in ledger}) == len(ledger), f"{state}: a ledger row twice"

    def verify(self) -> Agreement:
        """`feira verify`."""

        def figures(snapshot: int) -> dict[date, Figures]:
            found = lake_figures(self.spark, snapshot)
            return {key: Figures(*values) for key, values in found.items()}

        return verify_whole(self.warehouse, figures)

    def lines(self, day: date) -> list[dict[str, Any]]:
        """Lines of a day that no rule minds, each an order's first."""
        good = expected(self.served.all()).fact
        keys = set(good[good["extract_day"] == day]["order_id"])
        found = {
            line["order_id"]: line
            for line in reversed(self.shop.lines(day))
            if line.get("order_id") in keys
            and line["line_number"] == 1
            and line["status"] == "completed"
            and str(line["created_at"]).startswith(str(day))
        }
        return list(found.values())


@pytest.fixture
def chain(
    empty_lake: SparkSession,
    lake: LakeSettings,
    empty_warehouse: Dsns,
    dbt_scratch: Path,
    tmp_path: Path,
) -> Iterator[Chain]:
    """A chain with nothing landed yet, on a shop of about 300 lines a day, one in fifty broken."""
    source = GeneratedSource(
        GeneratorSettings(lines_per_day=300, dirty_share=0.02, last_day=date(2010, 12, 31))
    )
    with served(create_app(source, FxRates(7), tmp_path / "shop")) as url:
        chain = Chain(empty_lake, lake, empty_warehouse, Shop(url), dbt_scratch)
        yield chain
        chain.warehouse.close()


def key(line: dict[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in ("order_id", "line_number")}


def test_days_are_taken_over_repeated_updated_changed_and_withdrawn(chain: Chain) -> None:
    first = chain.run(DAY)
    chain.require_equal("a day")
    assert first.inserted == first.day_rows > 200

    before = chain.state()
    again = chain.run(DAY)
    assert (again.inserted, again.updated, again.deleted) == (0, 0, 0)
    assert chain.state() == before, "the same day again changed snapshot or ledger"
    chain.require_equal("the same day again")

    updated = chain.lines(DAY)[:3]
    assert len(updated) == 3
    newer = {"updated_at": f"{NEXT}T12:00:00Z"}
    chain.shop.override(NEXT, add=[x | newer | {"quantity": x["quantity"] + 7} for x in updated])
    assert chain.run(NEXT).updated >= 3
    chain.require_equal("a later day updates its lines")

    changed, withdrawn = chain.lines(DAY)[-2:]
    assert changed not in updated and withdrawn not in updated
    chain.shop.override(
        DAY,
        replace=[changed | {"quantity": changed["quantity"] + 100}],
        withdraw=[key(withdrawn), key(updated[0])],
    )
    refetched = chain.run(DAY, refetch=True)
    # Of the two that were withdrawn the later day still shows one.
    assert (refetched.inserted, refetched.updated, refetched.deleted) == (0, 1, 1)
    chain.require_equal("refetched: a line changed, one left")

    chain.shop.override(NEXT)
    fallen_back = chain.run(NEXT, refetch=True)
    assert (fallen_back.updated, fallen_back.deleted) == (2, 1)
    chain.require_equal("refetched: lines fall back to an older version")
    assert [row[:2] for row in chain.held.ledger()] == [(DAY, 1), (NEXT, 1), (DAY, 2), (NEXT, 2)]
    assert chain.verify().rows == len(chain.held.warehouse("sales.fact"))


def test_a_refused_landing_changes_quarantine_alone_and_empty_days_are_days(chain: Chain) -> None:
    # The newer day first: the order of days does not count.
    chain.run(NEXT)
    chain.run(DAY)
    chain.require_equal("the older day after the newer")

    before = chain.state()
    chain.shop.fault("bad_rows", share=0.5, day=str(DAY))
    with pytest.raises(GateError, match=rf"sales {DAY}: .* lines invalid \(limit 5 %\): "):
        chain.run(DAY, refetch=True)
    chain.shop.clear()
    assert chain.state() == before, "the refused landing changed snapshot or ledger"
    chain.require_equal("refetched: fails the gate")

    chain.run(DAY)
    assert chain.state() == before, "the earlier landing is not the current one any more"
    chain.require_equal("the same day again after the refused landing")

    closed = chain.run(CLOSED)
    assert (closed.inserted, closed.day_rows) == (0, 0)
    assert chain.held.ledger()[-1][:2] == (CLOSED, 1)
    chain.require_equal("a closed day")

    chain.shop.override(NEXT, empty=True)
    emptied = chain.run(NEXT, refetch=True)
    assert emptied.deleted > 200 and emptied.day_rows == 0
    chain.require_equal("refetched as empty")
    assert chain.verify().rows == len(chain.held.warehouse("sales.fact"))
