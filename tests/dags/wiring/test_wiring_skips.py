"""Tasks that can be skipped: by what they are, what they are given, and what their code raises or exits with."""

from __future__ import annotations

from pathlib import Path

import pytest
from wiring_text import found

CYCLE = """
from functools import partial
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import ExternalPythonOperator, PythonOperator
from airflow.sdk import BaseSensorOperator, SkipMixin
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, DownstreamTasksSkipped

class NothingNew(AirflowSkipException): ...
class Broken(AirflowFailException): ...

class WaitForFile(BaseSensorOperator):
    def poke(self, context): return False

class SensorReadings(BaseOperator):
    def execute(self, context): ...

class StopIfOld(BaseOperator, SkipMixin):
    def execute(self, context): self.skip(context["ti"], [])

COMMAND = "test -f /data/new || exit 99"

def raises(kind):
    def look():
        raise kind
    return look

def new():
    if COMMAND: raise NothingNew
def broken():
    raise Broken
def below():
    raise DownstreamTasksSkipped(tasks=[])

with DAG("again", schedule=[A]):
    {task}
    EmptyOperator(task_id="emit", outlets=[A])
"""
DECORATED = "@task.bash\n    def look(): {}\n    look()"
MAPPED = "BashOperator.partial(task_id='t'{}).expand({})"


@pytest.mark.parametrize(
    ("task", "level"),
    [
        ("pass", "error"),
        ("WaitForFile(task_id='t', soft_fail=True)", "warning"),
        ("WaitForFile.partial(task_id='t').expand(timeout=[1])", "warning"),
        ("SensorReadings(task_id='t')", "error"),
        ("StopIfOld(task_id='t')", "warning"),
        ("StopIfOld.partial(task_id='t').expand(doc=['a'])", "warning"),
        ("PythonOperator(task_id='t', python_callable=new)", "warning"),
        ("PythonOperator(task_id='t', python_callable=broken)", "error"),
        ("PythonOperator(task_id='t', python_callable=below)", "warning"),
        ("PythonOperator(task_id='t', python_callable=raises(NothingNew))", "warning"),
        ("PythonOperator(task_id='t', python_callable=raises(Broken))", "error"),
        ("ExternalPythonOperator(task_id='t', python='p', python_callable=broken)", "error"),
        ("ExternalPythonOperator(task_id='t', python='p', python_callable=broken, skip_on_exit_code=9)", "warning"),
        ("ExternalPythonOperator(task_id='t', python='p', python_callable=broken, skip_on_exit_code=99)", "warning"),
        ("BashOperator(task_id='t', bash_command='bin/check')", "error"),
        ("BashOperator(task_id='t', bash_command='bin/check', skip_on_exit_code=[3])", "warning"),
        ("BashOperator(task_id='t', bash_command='bin/check', skip_on_exit_code=99)", "warning"),
        ("BashOperator(task_id='t', bash_command='exit 99', skip_on_exit_code=None)", "error"),
        ("BashOperator(task_id='t', bash_command='a || exit  99')", "warning"),
        ("BashOperator(task_id='t', bash_command='exit 990')", "error"),
        (MAPPED.format("", "bash_command=['a', 'exit 99']"), "warning"),
        (MAPPED.format(", bash_command='a'", "skip_on_exit_code=[1, 2]"), "warning"),
        (MAPPED.format(", skip_on_exit_code=None", "bash_command=['exit 99']"), "error"),
        (MAPPED.format(", skip_on_exit_code=7", "bash_command=['a']"), "warning"),
        (DECORATED.format("return 'true'"), "error"),
        (DECORATED.format("return 'test -f /new || exit 99'"), "warning"),
        (DECORATED.format("return f'test -f {A.name} || exit 99'"), "warning"),
        (DECORATED.format("return COMMAND"), "warning"),
    ],
)  # fmt: skip
def test_a_cycle_is_an_error_only_where_nothing_can_be_skipped(
    tmp_path: Path, task: str, level: str
) -> None:
    (one,) = found(tmp_path, CYCLE.replace("{task}", task))
    assert (one.rule, one.level) == ("cycle", level)


TWO = """
with DAG("load", schedule=None):
    {above}
    both = [EmptyOperator(task_id=each, outlets=[A]) for each in ("full", "changed")]
    {order}
listens("report", [A])
"""


@pytest.mark.parametrize(
    ("above", "order", "says"),
    [
        ("pass", "pass", "Each of them sets off report"),
        (
            "which = task.branch(lambda: 'full', task_id='which')()",
            "which >> both",
            "Each of them that is not skipped sets off report",
        ),
    ],
)
def test_two_emitters_that_may_exclude_each_other_are_not_said_to_run_both(
    tmp_path: Path, above: str, order: str, says: str
) -> None:
    (one,) = found(tmp_path, TWO.format(above=above, order=order))
    assert (one.rule, one.consequence.startswith(says)) == ("two-emitters", True)
    assert ("Where a branch lets one of them run" in one.step) is (above != "pass")
