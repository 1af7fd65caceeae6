"""Ordinary folders without a fault have no finding."""

from __future__ import annotations

from pathlib import Path

import pytest

from feira_wiring.linting import lint

HEAD = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import *
from airflow.sdk import DAG, Asset, AssetAlias, AssetOrTimeSchedule, CronTriggerTimetable, Metadata
from airflow.sdk import asset, dag, setup, task, task_group, teardown

RAW, CLEAN = Asset("s3://lake/raw"), Asset("s3://lake/clean")

def uses(name, schedule):
    with DAG(name, schedule=schedule):
        EmptyOperator(task_id="use")
"""

FOLDERS = {
    "either and both": """
with DAG("load", schedule="@hourly"):
    EmptyOperator(task_id="a", outlets=[RAW])
    EmptyOperator(task_id="b", outlets=[CLEAN])
uses("either", RAW | CLEAN)
uses("both", RAW & CLEAN)
""",
    "a clock beside the assets": """
with DAG("load", schedule="@daily"):
    EmptyOperator(task_id="a", outlets=[RAW])
uses("r", AssetOrTimeSchedule(
    assets=[RAW], timetable=CronTriggerTimetable("0 6 * * *", timezone="UTC")))
""",
    "asset decorators in a chain": """
@asset(schedule="@daily")
def raw(): ...
@asset(schedule=raw)
def clean(raw): ...
uses("report", [clean])
""",
    "a factory of many DAGs": """
for shop in ("porto", "faro", "braga"):
    sold = Asset(f"s3://lake/{shop}")
    with DAG(f"load_{shop}", schedule="@daily"):
        EmptyOperator(task_id="a", outlets=[sold])
    uses(f"report_{shop}", [sold])
""",
    "groups, setup and teardown, mapped tasks": """
@dag(schedule="@daily")
def load():
    @setup
    def begin(): ...
    @teardown
    def end(): ...
    @task(outlets=[RAW])
    def page(number): ...
    @task_group
    def pages():
        page.expand(number=[1, 2, 3])
    begin() >> pages() >> end()
load()
uses("report", [RAW])
""",
    "metadata that is yielded, and an alias that becomes an asset": """
with DAG("load", schedule="@daily"):
    @task(outlets=[RAW])
    def known():
        yield Metadata(RAW, {"rows": 1})
    @task(outlets=[AssetAlias("files")])
    def file(*, outlet_events):
        outlet_events[AssetAlias("files")].add(CLEAN)
    known(); file()
uses("by_alias", [AssetAlias("files")])
uses("by_asset", [CLEAN])
uses("by_raw", [RAW])
""",
    "external, terminal, by hand": """
CRM = Asset("crm", extra={"external": True})
BOOK = Asset("book", extra={"terminal": True})
with DAG("import_crm", schedule=[CRM]):
    EmptyOperator(task_id="a", outlets=[BOOK])
with DAG("by_hand", schedule=None):
    TriggerDagRunOperator(task_id="t", trigger_dag_id="import_crm")
""",
    "keyed days, rolled up to weeks and fanned out again": """
C = CronPartitionTimetable("0 0 * * *", timezone="UTC", key_format="%Y-%m-%d")
WEEKLY = Asset("weekly")
with DAG("load", schedule=C):
    EmptyOperator(task_id="a", outlets=[RAW])
with DAG("week", schedule=PartitionedAssetTimetable(assets=RAW,
        default_partition_mapper=RollupMapper(
            upstream_mapper=StartOfWeekMapper(input_format="%Y-%m-%d", output_format="%Y-%m-%d"),
            window=WeekWindow()))):
    EmptyOperator(task_id="a", outlets=[WEEKLY])
uses("again", PartitionedAssetTimetable(assets=WEEKLY, default_partition_mapper=FanOutMapper(
    upstream_mapper=StartOfWeekMapper(input_format="%Y-%m-%d"), window=WeekWindow())))
""",
    "two clocks whose keys meet once they are mapped": """
day = StartOfDayMapper()
with DAG("a", schedule=CronPartitionTimetable("0 0 * * *", timezone="UTC")):
    EmptyOperator(task_id="a", outlets=[RAW])
with DAG("b", schedule=CronPartitionTimetable("30 5 * * *", timezone="UTC")):
    EmptyOperator(task_id="a", outlets=[CLEAN])
uses("r", PartitionedAssetTimetable(assets=RAW & CLEAN, default_partition_mapper=day))
""",
    "a weekday clock and a rollup that does not wait for all": """
with DAG("a", schedule=CronPartitionTimetable("0 0 * * 1-5", timezone="UTC")):
    EmptyOperator(task_id="a", outlets=[RAW])
uses("r", PartitionedAssetTimetable(assets=RAW, default_partition_mapper=RollupMapper(
    upstream_mapper=StartOfWeekMapper(), window=WeekWindow(), wait_policy=MinimumCount(5))))
""",
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_without_a_fault_has_no_finding(tmp_path: Path, name: str) -> None:
    (tmp_path / "dags.py").write_text(HEAD + FOLDERS[name])
    report = lint(tmp_path)
    assert [(each.rule, each.problem) for each in report.findings] == []
    assert len(report.wiring.dag_ids) > 1
