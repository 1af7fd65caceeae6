"""The check of a stack's lineage finds nothing in right events, and each fault that is planted in them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from feira.core import lineage
from feira.core.lineage import Dataset, Source, Step
from feira.core.settings import LakeSettings
from feira.sales.lineage import extracted, landed
from feira.sales.published import PUBLISHED
from feira.summary.lineage import reported
from lineage_check import LAND, SPARK_TASKS, lineage_problems
from lineage_expected import FACT_OF_THE_API, MARTS_OF_THE_FACT
from reported_days import report

LAKE = LakeSettings(root="s3://lake", catalog_uri="postgresql://c/d")
DB: Any = SimpleNamespace(
    info=SimpleNamespace(host="db", port=5432, dbname="w", server_version=180000)
)
FACT = Dataset("postgres://db:5432", "w.sales.fact")
FILES = Dataset("s3://lake", "landing/sales/2010-12-01/v0001")
LAKE_FACT = Dataset("s3://lake", "tables/sales/fact")
EXTRACT = Dataset("s3://lake", "tables/sales/order_lines")
MARTS = {
    Dataset(FACT.namespace, f"w.marts.{mart}"): {
        name: [Source(FACT, of) for of in sorted(made)] for name, made in columns.items()
    }
    for mart, columns in MARTS_OF_THE_FACT.items()
}
STEPS = {
    LAND: landed("http://shop:1", LAKE, f"s3://lake/{FILES.name}/manifest.json"),
    "sales_etl.validate": Step((FILES,)),
    "sales_etl.transform": extracted(LAKE),
    "sales_etl.publish": lineage.published(PUBLISHED, LAKE),
    "sales_etl.load_warehouse": lineage.loaded(PUBLISHED, LAKE, DB),
    "sales_summary.build_marts": Step((FACT,), MARTS),
    "sales_summary.report": reported(LAKE, DB, [(report(), "s3://lake/reports/x/report.json")]),
}
SPARK = {
    "sales_etl.validate": Step((FILES,), {Dataset("s3://lake", "tables/staging/v"): {}}),
    "sales_etl.transform": Step((FILES,), {EXTRACT: {}}),
    "sales_etl.publish": Step(
        (EXTRACT,), {LAKE_FACT: {name: [Source(EXTRACT, name)] for name in FACT_OF_THE_API}}
    ),
    "sales_etl.load_warehouse": Step((LAKE_FACT,)),
}
Events = list[dict[str, Any]]


def _event(job: str, run: str, step: Step, producer: str, **facets: Any) -> dict[str, Any]:
    from openlineage.client.serde import Serde

    inputs, outputs = step.events()
    return {
        "producer": f"https://example.com/integration/{producer}",
        "run": {"runId": run, "facets": facets},
        "job": {"name": job, "facets": {}},
        "inputs": [Serde.to_dict(each) for each in inputs],
        "outputs": [Serde.to_dict(each) for each in outputs],
    }


def right() -> Events:
    tasks = [_event(job, f"run of {job}", step, "airflow") for job, step in STEPS.items()]
    statements = [
        _event(
            f"feira.{job}",
            f"statement of {job}",
            step,
            "spark",
            spark_properties={
                "properties": {"spark.feira.lineage.parent": f"feira/{job}/run of {job}"}
            },
        )
        for job, step in SPARK.items()
    ]
    return copy.deepcopy([*tasks, *statements])


def drop(job: str) -> Callable[[Events], None]:
    def change(events: Events) -> None:
        events[:] = [each for each in events if each["job"]["name"] != job]

    return change


def other_run(events: Events) -> None:
    facet = events[-1]["run"]["facets"]["spark_properties"]["properties"]
    facet["spark.feira.lineage.parent"] += "x"


def other_column(job: str, dataset: str, column: str) -> Callable[[Events], None]:
    def change(events: Events) -> None:
        for event in events:
            for each in event["outputs"] if event["job"]["name"] == job else []:
                if each["name"].endswith(dataset):
                    field = each["facets"]["columnLineage"]["fields"][column]
                    field["inputFields"] = field["inputFields"][:-1]

    return change


def made_of_another_table(events: Events) -> None:
    for event in events:
        for each in event["outputs"]:
            if each["name"].endswith("daily_revenue"):
                other = {"namespace": FACT.namespace, "name": "w.sales.held_days", "field": "key"}
                each["facets"]["columnLineage"]["fields"]["revenue"]["inputFields"].append(other)


def statement(events: Events) -> None:
    events[0]["job"]["facets"]["sql"] = {"query": "SELECT 1"}


def secret(events: Events) -> None:
    events[0]["run"]["facets"]["connection"] = {"uri": "http://ada:hunter2@shop"}


def test_right_events_have_no_problem() -> None:
    assert set(SPARK) == SPARK_TASKS
    assert lineage_problems(right(), ["hunter2"]) == []


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (drop(LAND), "0 datasets of http end in sales"),
        (drop("sales_summary.report"), "no event names a report's CSV"),
        (drop("sales_etl.load_warehouse"), "w.sales.fact is not connected with sales of the API"),
        (drop("sales_summary.build_marts"), "no event names marts.daily_revenue.revenue"),
        (other_column("sales_etl.transform", "order_lines", "sku"), "sales.fact.sku begins in []"),
        (
            other_column("sales_summary.build_marts", "daily_revenue", "revenue"),
            "marts.daily_revenue.revenue is made of ['amount_usd']",
        ),
        (
            made_of_another_table,
            "marts.daily_revenue.revenue is made of ['amount_usd', 'status', 'w.sales.held_days.key']",
        ),
        (
            other_column("feira.sales_etl.publish", "fact", "sku"),
            "Spark did not see tables/sales/fact.sku",
        ),
        (drop("feira.sales_etl.transform"), "in Spark's events tables/sales/fact is not connected"),
        (other_run, "and no task of Airflow is that"),
        (
            drop("feira.sales_etl.load_warehouse"),
            "no statement of Spark names sales_etl.load_wareh",
        ),
        (statement, "an event of sales_etl.land holds a statement or code"),
        (secret, "a secret of 7 characters is in an event"),
    ],
)
def test_a_planted_fault_is_found(fault: Callable[[Events], None], named: str) -> None:
    events = right()
    fault(events)
    assert any(named in problem for problem in lineage_problems(events, ["hunter2"]))
