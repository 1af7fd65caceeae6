"""The whole chain as Airflow runs it, state by state against the oracle: both DAGs, every task.

The simulator over HTTP, moto's S3, an Iceberg catalog and a warehouse in PostgreSQL, a Spark Connect
server with the stack's own properties, dbt, and the inbox: what `make verify` does on the running stack,
less the scheduler and the killing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowFailException
from dag_runs import Run, run_dag
from psycopg.conninfo import conninfo_to_dict

from feira.core.contracts.registry import contract_files
from feira.core.landing.store import LandingStore
from feira.core.settings import LakeSettings
from feira.core.warehouse.reconcile import Agreement, verify_whole
from feira.core.warehouse.schema import connect as connect_warehouse
from feira.sales.published import PUBLISHED
from feira_airflow.sales.shop_api import ShopApiHook
from feira_local.shop.app import create_app
from feira_local.shop.fx import FxRates
from feira_local.shop.generator import GeneratedSource, GeneratorSettings
from feira_local.stack.postgres import Dsns
from feira_provider.operators.validate_contract import ValidateContractOperator
from feira_spark.core.difference import lake_figures
from feira_spark.core.session import connect
from held import KEYS, MARTS, Held
from inbox_server import Inbox
from oracle import difference, expected
from reported_days import Shop as ReportedShop
from served import Served, Shop
from shop_server import served
from spark_connect import connect_server

DAY, NEXT, CLOSED = date(2010, 12, 1), date(2010, 12, 2), date(2010, 12, 25)
# Small enough that a day has three pages.
PAGE = 120
# Some twenty runs of a DAG: on a busy machine more than the limit of an ordinary test.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def spark_lake(postgres: Dsns, s3_endpoint: str) -> LakeSettings:
    """The lake as Spark knows it: its tables on moto's S3, their catalog in PostgreSQL."""
    catalog = conninfo_to_dict(postgres.iceberg)
    return LakeSettings(
        "s3://lake/chain",
        s3_endpoint,
        "test",
        "test",
        catalog="jdbc",
        catalog_uri=f"postgresql://{catalog['host']}:{catalog['port']}/{catalog['dbname']}",
        catalog_user=str(catalog["user"]),
        catalog_password=str(catalog["password"]),
    )


@pytest.fixture(scope="module")
def spark_url(spark_lake: LakeSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with connect_server(tmp_path_factory.mktemp("spark"), spark_lake) as url:
        yield url


class Chain:
    """Runs days as the two DAGs do, and compares what is held with what must be."""

    def __init__(
        self,
        dags: dict[str, Any],
        spark_url: str,
        held: Held,
        store: LandingStore,
        warehouse_dsn: str,
        shop: Shop,
    ) -> None:
        self._dags, self._spark_url, self._spark = dags, spark_url, connect(spark_url)
        self.store, self.shop, self.held = store, shop, held
        self.served = Served(shop)
        self._warehouse_dsn = warehouse_dsn

    def etl(self, day: date, *, refetch: bool = False) -> Run:
        """A run of sales_etl; what the shop serves is recorded where it will be landed."""
        known = self.served.landings[day]
        if refetch or not known:
            self.served.record(day, max(known, default=0) + 1)
        return run_dag(self._dags["sales_etl"], day, refetch=refetch)

    def emits(self, day: date, *, refetch: bool = False) -> Run:
        """A run of sales_etl that emits, and whose ledger row says that lake and warehouse agree."""
        run = self.etl(day, refetch=refetch)
        assert run.state == "success", run
        assert run.events == {"sales_fact": [str(day)]}
        newest = max(row[1] for row in self.held.ledger() if row[0] == day)
        agreed = [row[4] for row in self.held.ledger() if row[:2] == (day, newest)]
        assert None not in agreed, f"the ledger's row of landing {newest} says no agreement"
        return run

    def run(self, day: date, *, refetch: bool = False) -> Run:
        """A run that emits, and the run of sales_summary that its event makes."""
        run = self.emits(day, refetch=refetch)
        summary = run_dag(self._dags["sales_summary"], day)
        assert summary.state == "success", summary
        assert summary.events == {"sales_summary": [str(day)]}
        return run

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
        assert self.staged() == [], f"{state}: staging tables were left"

    def staged(self) -> list[str]:
        """The staging tables that there are."""
        return sorted(row["tableName"] for row in self.sql("SHOW TABLES IN lake.staging"))

    def sql(self, query: str) -> list[Any]:
        """Asks which tables the lake has, or drops one."""
        return list(self._spark.sql(query).collect())

    def verify(self) -> Agreement:
        """`feira verify`."""
        spark = connect(self._spark_url)
        try:
            with connect_warehouse(self._warehouse_dsn) as warehouse:
                return verify_whole(
                    warehouse, PUBLISHED, lambda held: lake_figures(spark, PUBLISHED, held)
                )
        finally:
            spark.stop()

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
    dags: dict[str, Any],
    metadata: None,
    shop: ReportedShop,
    spark_lake: LakeSettings,
    spark_url: str,
    empty_warehouse: Dsns,
    dbt_scratch: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Chain]:
    """A chain with nothing landed yet, on a shop of about 300 lines a day, one in fifty broken.

    The fixture ``shop`` is Airflow's connections: an empty lake, an empty warehouse and the inbox.
    """
    host, port = spark_url.removeprefix("sc://").split(":")
    spark = {"conn_type": "spark_connect", "host": f"sc://{host}", "port": int(port)}
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", json.dumps(spark))
    monkeypatch.setenv("FEIRA_RETRY_DELAY", "0.1")
    monkeypatch.setenv("FEIRA_HOME", str(dbt_scratch.parent))
    monkeypatch.setattr(ShopApiHook.__init__, "__kwdefaults__", {"page_size": PAGE})
    source = GeneratedSource(
        GeneratorSettings(lines_per_day=300, dirty_share=0.02, last_day=date(2010, 12, 31))
    )
    with served(create_app(source, FxRates(7), tmp_path / "shop")) as url:
        monkeypatch.setenv("AIRFLOW_CONN_SHOP_API", url)
        chain = Chain(
            dags,
            spark_url,
            Held(spark_lake.to_env(), empty_warehouse.reader),
            shop.landings,
            empty_warehouse.warehouse_loader,
            Shop(url),
        )
        # Their files stay: to look for those takes Spark a job a table.
        for (namespace,) in chain.sql("SHOW NAMESPACES"):
            for row in chain.sql(f"SHOW TABLES IN {namespace}"):
                chain.sql(f"DROP TABLE {namespace}.{row['tableName']}")
        yield chain
        chain._spark.stop()


def judged(chain: Chain, day: date, version: int) -> tuple[Any, ...]:
    """A landing as ValidateContractOperator finds it: total, valid, counts by rule, whether it passed,
    and each invalid line by its place with the rules that it breaks."""
    folder = f"{chain.store.folder(day, version)}/judged"
    operator = ValidateContractOperator(
        task_id="judge",
        contract=str(contract_files()["sales.landing"]),
        manifest=chain.store.manifest_uri(day, version),
        report_prefix=folder,
        aws_conn_id="lake_default",
    )
    with suppress(AirflowFailException):
        operator.execute({})
    found = json.loads(chain.store.files.cat_file(f"{folder}/report.json"))
    with chain.store.files.open(f"{folder}/quarantine.parquet") as file:
        kept = pq.read_table(file, columns=["row_number", "broken", "line"]).to_pylist()
    counts = {each["rule"]: int(each["count"]) for each in found["rules"] if each["count"]}
    lines = {row["row_number"] - 1: (row["line"], sorted(row["broken"])) for row in kept}
    return found["rows"], found["valid"], counts, found["passed"], lines


def quarantined(chain: Chain, day: date, version: int) -> tuple[Any, ...]:
    """The same as the pipeline found it."""
    validation = chain.store.validation(day, version)
    assert validation is not None
    frame = chain.held.lake("sales.quarantine")
    of_landing = frame[(frame["extract_day"] == day) & (frame["landing_version"] == version)]
    lines = {
        row.landing_order: (row.raw, list(row.broken_rules)) for row in of_landing.itertuples()
    }
    return validation.total, validation.valid, validation.broken, validation.passed, lines


def key(line: dict[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in ("order_id", "line_number")}


def moved(chain: Chain, day: date) -> tuple[int, int, int]:
    """Rows inserted, updated and deleted by the day's newest load."""
    rows, _ = chain.held._query(
        "SELECT inserted_rows, updated_rows, deleted_rows FROM sales.load_ledger "
        f"WHERE extract_day = '{day}' ORDER BY load_sequence DESC LIMIT 1"
    )
    found: tuple[int, int, int] = rows[0]
    return found


def test_days_are_taken_over_repeated_updated_changed_and_withdrawn(
    chain: Chain, inbox: Inbox
) -> None:
    run = chain.run(DAY)
    chain.require_equal("a day")
    assert moved(chain, DAY)[0] > 200
    assert set(run.tasks.values()) == {("success", 1)}
    manifest = chain.store.manifest(DAY, 1)
    assert manifest is not None and len(manifest.files) == 3
    assert [mail["Subject"].split(":")[0] for mail in inbox.mails()] == [f"Sales of {DAY}"]

    before = chain.state()
    chain.run(DAY)
    assert chain.state() == before, "the same day again changed snapshot or ledger"
    assert chain.store.versions(DAY) == [1], "the same day was landed again"
    chain.require_equal("the same day again")
    assert len(inbox.mails()) == 1, "nothing changed, and a mail was sent"

    updated = chain.lines(DAY)[:3]
    assert len(updated) == 3
    newer = {"updated_at": f"{NEXT}T12:00:00Z"}
    chain.shop.override(NEXT, add=[x | newer | {"quantity": x["quantity"] + 7} for x in updated])
    chain.run(NEXT)
    assert moved(chain, NEXT)[1] >= 3
    chain.require_equal("a later day updates its lines")

    changed, withdrawn = chain.lines(DAY)[-2:]
    assert changed not in updated and withdrawn not in updated
    chain.shop.override(
        DAY,
        replace=[changed | {"quantity": changed["quantity"] + 100}],
        withdraw=[key(withdrawn), key(updated[0])],
    )
    chain.run(DAY, refetch=True)
    # Of the two that were withdrawn the later day still shows one.
    assert moved(chain, DAY) == (0, 1, 1)
    chain.require_equal("refetched: a line changed, one left")

    chain.shop.override(NEXT)
    chain.run(NEXT, refetch=True)
    assert moved(chain, NEXT)[1:] == (2, 1)
    chain.require_equal("refetched: lines fall back to an older version")
    assert [row[:2] for row in chain.held.ledger()] == [(DAY, 1), (NEXT, 1), (DAY, 2), (NEXT, 2)]
    assert chain.verify().rows == len(chain.held.warehouse("sales.fact"))


def test_a_refused_landing_changes_quarantine_alone_and_empty_days_are_days(chain: Chain) -> None:
    # The newer day first: the order of days does not count.
    chain.emits(NEXT)
    chain.run(DAY)
    chain.require_equal("the older day after the newer")

    before = chain.state()
    chain.shop.fault("bad_rows", share=0.5, day=str(DAY))
    refused = chain.etl(DAY, refetch=True)
    chain.shop.clear()
    assert refused.state == "failed" and refused.events == {}
    assert refused.tasks["validate"] == ("failed", 1), "a failed gate was tried again"
    assert refused.failed() == ["validate"] and refused.tasks["transform"][0] == "upstream_failed"
    assert chain.state() == before, "the refused landing changed snapshot or ledger"
    for version, passed in ((1, True), (2, False)):
        found = judged(chain, DAY, version)
        assert found == quarantined(chain, DAY, version)
        assert found[3] is passed and len(found[4]) == found[0] - found[1] > 0

    chain.run(DAY)
    assert chain.state() == before, "the earlier landing is not the current one any more"
    chain.require_equal("the same day again after the refused landing")

    chain.run(CLOSED)
    assert moved(chain, CLOSED) == (0, 0, 0)
    assert chain.held.ledger()[-1][:2] == (CLOSED, 1)
    chain.require_equal("a closed day")

    chain.shop.override(NEXT, empty=True)
    chain.run(NEXT, refetch=True)
    assert moved(chain, NEXT)[2] > 200
    assert (chain.held.warehouse("sales.fact")["extract_day"] != NEXT).all()
    chain.require_equal("refetched as empty")
    assert chain.verify().rows == len(chain.held.warehouse("sales.fact"))


def test_a_try_that_was_killed_leaves_nothing_and_a_run_without_agreement_emits_nothing(
    chain: Chain,
) -> None:
    from feira_spark.core import day as steps

    attempts: list[str] = []
    publish = steps.publish

    def killed_at_first(spark: Any, table: Any, day: date, *, attempt: str) -> steps.Published:
        attempts.append(attempt)
        if len(attempts) == 1:
            # As a kill between the branch and its end leaves it.
            spark.sql("ALTER TABLE lake.sales.fact CREATE BRANCH publish_2010_11_30_killed_1")
            raise ConnectionError("killed")
        return publish(spark, table, day, attempt=attempt)

    with mock.patch.object(steps, "publish", killed_at_first):
        run = chain.emits(DAY)
        chain.run(NEXT)
    assert run.tasks["publish"] == ("success", 2)
    assert len(set(attempts)) == 3, "a try must have a branch of its own"
    chain.require_equal("a try of publish was killed")

    with connect_warehouse(chain._warehouse_dsn) as warehouse:
        warehouse.execute(
            "UPDATE sales.fact SET amount_usd = amount_usd + 1 WHERE extract_day = %s "
            "AND order_id = (SELECT min(order_id) FROM sales.fact WHERE extract_day = %s)",
            [DAY, DAY],
        )
    run = chain.etl(DAY)
    assert run.state == "failed" and run.events == {}
    assert run.failed() == ["reconcile"] and run.tasks["emit"][0] == "upstream_failed"


def test_a_run_without_a_day_fails_at_its_first_task_of_work_and_is_not_tried_again(
    chain: Chain, dags: dict[str, Any]
) -> None:
    for day in (None, "2010-13-01", "sales"):
        run = run_dag(dags["sales_etl"], day)
        assert run.tasks["land"] == ("failed", 1) and run.events == {}, day
    assert chain.shop.lines(DAY) and chain.store.versions(DAY) == []
