"""DAG files for the tests of the wiring linter's rules, and what is found in them."""

from __future__ import annotations

from pathlib import Path

from feira_wiring.linting import lint
from feira_wiring.report import Finding

HEAD = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import *
from airflow.sdk import DAG, Asset, BaseOperator, task

A, B = Asset("a"), Asset("b")

def emits(name, *outlets, schedule=None):
    with DAG(name, schedule=schedule):
        EmptyOperator(task_id="emit", outlets=list(outlets))

def listens(name, schedule):
    with DAG(name, schedule=schedule):
        EmptyOperator(task_id="build")

def clock(cron, key_format="%Y-%m-%d"):
    return CronPartitionTimetable(cron, timezone="UTC", key_format=key_format)
"""


def found(tmp_path: Path, text: str) -> list[Finding]:
    (tmp_path / "dags.py").write_text(HEAD + text)
    return list(lint(tmp_path).findings)
