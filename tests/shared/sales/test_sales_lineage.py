"""The fact's columns lead to the API's fields, as contract and code say; every event is one of OpenLineage's."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.serde import Serde

from feira.core import lineage
from feira.core.contracts import contract
from feira.core.lineage import Dataset, Source, Step
from feira.core.lineage_graph import LineageGraph
from feira.core.settings import LakeSettings
from feira.sales.lineage import extracted, landed, validated
from feira.sales.published import PUBLISHED
from lineage_expected import FACT_OF_THE_API

LAKE = LakeSettings(
    root="s3://lake", access_key="key", secret_key="secret", catalog_uri="postgresql://c/d"
)
API = "https://ada:s3cret@shop.example:8443/v2?token=abc"


def at(host: str) -> Any:
    """A connection to a warehouse on that host."""
    return SimpleNamespace(
        info=SimpleNamespace(
            host=host, port=5432, dbname="warehouse", server_version=180000, password="pw"
        )
    )


WAREHOUSE = at("db.example")
STEPS = {
    "land": landed(API, LAKE, "s3://lake/landing/sales/2010-12-01/v0001/manifest.json"),
    "validate": validated(LAKE),
    "transform": extracted(LAKE),
    "publish": lineage.published(PUBLISHED, LAKE),
    "load_warehouse": lineage.loaded(PUBLISHED, LAKE, WAREHOUSE),
}
FACT = Dataset("postgres://db.example:5432", "warehouse.sales.fact")


def event(name: str, step: Step, state: RunState = RunState.COMPLETE) -> dict[str, Any]:
    """A step's event as it is sent."""
    inputs, outputs = step.events()
    made = RunEvent(
        eventType=state,
        eventTime=datetime.now(UTC).isoformat(),
        run=Run(str(uuid4())),
        job=Job("feira", f"sales_etl.{name}"),
        inputs=inputs,
        outputs=outputs,
    )
    sent: dict[str, Any] = json.loads(Serde.to_json(made))
    return sent


EVENTS = [event(name, step) for name, step in STEPS.items()]


def of_the_api(graph: LineageGraph, column: str) -> set[str]:
    """Its fields that a column of the warehouse's fact comes from, as ``<path>.<field>``."""
    return {
        f"{each.dataset.name.removeprefix('v2/')}.{each.column}"
        for each in graph.origins(Source(FACT, column))
        if each.dataset.namespace == "https://shop.example:8443"
    }


def test_each_column_of_the_fact_leads_to_the_fields_of_the_api_that_it_is_made_of() -> None:
    graph = LineageGraph.of(EVENTS)
    assert set(FACT_OF_THE_API) == set(contract("sales.fact").column_names)
    assert {name: of_the_api(graph, name) for name in FACT_OF_THE_API} == FACT_OF_THE_API


def test_the_files_that_spark_reads_are_those_that_were_landed() -> None:
    graph = LineageGraph.of(EVENTS)
    for name in (
        "landing/sales/2010-12-01/v0001",
        "landing/sales/2010-12-01/v0001/rates.ndjson.gz",
    ):
        assert graph.jobs[Dataset("s3://lake", name)] == {"sales_etl.land"}


def test_a_step_that_says_nothing_or_fails_cuts_the_graph() -> None:
    sales = Dataset("https://shop.example:8443", "v2/sales")
    assert sales in LineageGraph.of(EVENTS).upstream(FACT)
    for at in (0, 2, 3, 4):
        failed = {**EVENTS[at], "eventType": "FAIL"}
        assert sales not in LineageGraph.of([*EVENTS[:at], *EVENTS[at + 1 :]]).upstream(FACT)
        assert sales not in LineageGraph.of([*EVENTS[:at], failed, *EVENTS[at + 1 :]]).upstream(
            FACT
        )


def test_what_a_task_says_of_a_column_is_taken_before_what_a_plan_lets_spark_guess() -> None:
    publish = STEPS["publish"]
    (extract,), (fact,) = publish.inputs, publish.outputs
    every = [Source(extract, name) for name in FACT_OF_THE_API]
    guess = event("publish", Step((extract,), {fact: dict.fromkeys(FACT_OF_THE_API, every)}))
    guess["producer"] = "https://example.com/integration/spark"
    for events in ([*EVENTS, guess], [guess, *EVENTS]):
        graph = LineageGraph.of(events)
        assert {name: of_the_api(graph, name) for name in FACT_OF_THE_API} == FACT_OF_THE_API
    # Where no task says it, the plan is what there is.
    assert LineageGraph.of([guess]).columns[Source(fact, "sku")] == set(every)


def test_events_of_one_run_are_taken_together() -> None:
    start = {**EVENTS[0], "outputs": []}
    complete = {**EVENTS[0], "inputs": []}
    graph = LineageGraph.of([start, complete])
    landing = Dataset("s3://lake", "landing/sales")
    assert {each.name for each in graph.inputs[landing]} == {"v2/sales", "v2/fx"}


def test_no_event_holds_a_login_a_parameter_or_a_key() -> None:
    sent = json.dumps(EVENTS)
    assert not [
        each for each in ("ada:", "s3cret", "abc", "?", "secret", '"key"', '"pw"') if each in sent
    ]


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (lineage.in_store("s3://lake/reports/sales/"), ("s3://lake", "reports/sales")),
        (lineage.in_store("file:///var/lake/landing"), ("file", "/var/lake/landing")),
        (lineage.lake_table(LAKE, "sales.fact"), ("s3://lake", "tables/sales/fact")),
        (
            lineage.lake_table(LakeSettings("s3://lake", catalog="glue"), "sales.fact"),
            ("s3://lake", "tables/sales.db/fact"),
        ),
        (lineage.warehouse_table(WAREHOUSE, "marts.daily_revenue"), (FACT.namespace, "warehouse.marts.daily_revenue")),
        (lineage.api_call("http://shop", "sales"), ("http://shop", "sales")),
        (lineage.api_call("http://[::1]:8000/v2/", "sales"), ("http://[::1]:8000", "v2/sales")),
        (lineage.api_call("https://[2001:DB8::1]", "fx"), ("https://[2001:db8::1]", "fx")),
        (lineage.warehouse_table(at("::1"), "sales.fact"), ("postgres://[::1]:5432", "warehouse.sales.fact")),
    ],
)  # fmt: skip
def test_names_follow_the_rules_of_openlineage(made: Dataset, named: tuple[str, str]) -> None:
    assert (made.namespace, made.name) == named
