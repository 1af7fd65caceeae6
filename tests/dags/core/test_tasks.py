"""What the tasks share: the day they are for, what is not tried again, and their defaults."""

from __future__ import annotations

import re
from datetime import date, timedelta
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.context import set_current_context

from checkout import REPOSITORY
from feira.core.errors import PermanentError, Remedy
from feira_airflow.core.defaults import default_args
from feira_airflow.core.next_steps import with_next_step
from feira_airflow.core.partitions import partition_day
from feira_airflow.core.permanent import permanent_errors_fail
from feira_airflow.sales import tasks as sales_tasks
from feira_airflow.summary import tasks as summary_tasks


def day_of_a_run(key: str | None) -> date:
    """The day that a task of a run with this partition key is for."""
    run: Any = SimpleNamespace(run_id="manual__1", partition_key=key)
    with set_current_context({"dag_run": run}):  # type: ignore[typeddict-item]
        return partition_day()


def test_a_tasks_day_is_its_runs_partition_key() -> None:
    assert day_of_a_run("2010-12-01") == date(2010, 12, 1)


@pytest.mark.parametrize("key", [None, ""])
def test_a_run_without_a_key_fails_for_good_and_says_how_to_start_one(key: str | None) -> None:
    with pytest.raises(AirflowFailException, match=r"manual__1 .*`partition_key`.*2010-12-01"):
        day_of_a_run(key)


@pytest.mark.parametrize(
    "key",
    ["2010-13-01", "2010-02-30", "2010-12-01T00:00:00", "01.12.2010", "2010-12-1", "sales", " "],
)
def test_a_key_that_is_no_day_fails_for_good_and_is_named(key: str) -> None:
    with pytest.raises(AirflowFailException, match=f"{key!r} is not a day"):
        day_of_a_run(key)


class Drift(PermanentError):
    """As the platform's own errors are derived."""


def test_what_another_try_cannot_fix_fails_for_good_with_its_own_message() -> None:
    cause = Drift("sales 2010-12-01: drift")
    with (
        pytest.raises(AirflowFailException, match="sales 2010-12-01: drift") as failure,
        permanent_errors_fail(),
    ):
        raise cause
    assert failure.value.__cause__ is cause


def test_any_other_error_is_left_to_the_retries() -> None:
    with pytest.raises(TimeoutError), permanent_errors_fail():
        raise TimeoutError


@pytest.mark.parametrize("module", [sales_tasks, summary_tasks])
def test_every_task_fails_at_once_where_no_retry_can_help(module: ModuleType) -> None:
    tasks = [
        each
        for name, each in vars(module).items()
        if isinstance(each, FunctionType) and each.__module__ == module.__name__
        if not name.startswith("_")
    ]
    assert len(tasks) >= 4
    for each in tasks:
        assert hasattr(each, "__wrapped__"), f"{each.__name__} has no permanent_errors_fail"


def test_the_defaults_are_three_retries_a_minute_apart_and_half_an_hour_a_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FEIRA_RETRY_DELAY", raising=False)
    stated = default_args("sales-data")
    notified = [type(callback).__name__ for callback in stated.pop("on_failure_callback")]
    assert notified == ["SlackFailureNotifier", "MailFailureNotifier"]
    assert stated == {
        "owner": "sales-data",
        "retries": 3,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(minutes=30),
    }


def test_a_laptop_shortens_the_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEIRA_RETRY_DELAY", "2.5")
    assert default_args("sales-data")["retry_delay"] == timedelta(seconds=2.5)


@pytest.mark.parametrize(
    ("remedy", "commands"),
    [
        (Remedy.RUN, ["feira run sales --day 2010-12-01"]),
        (Remedy.REFETCH, ["feira run sales --day 2010-12-01 --refetch"]),
        (Remedy.MIGRATE, ["feira migrate", "feira_spark.jobs.migrate"]),
    ],
)
def test_the_edge_names_the_command_that_fixes_an_error(
    remedy: Remedy, commands: list[str]
) -> None:
    error = PermanentError("no such table.").fixed_by(remedy, ("sales", "2010-12-01"))
    with pytest.raises(AirflowFailException) as failed, permanent_errors_fail():
        raise error
    assert re.findall(r"`([^`]+)`", str(failed.value))[: len(commands)] == commands
    assert with_next_step(PermanentError("no such table.")) == "no such table."


LOWER = ("shared/src", "spark/src", "airflow/provider/src", "airflow/wiring/src")


@pytest.mark.parametrize("layer", LOWER)
def test_no_layer_below_the_edge_names_a_command(layer: str) -> None:
    """What a message asks for is not done the same way on a laptop and in a deployment."""
    named = re.compile(r"\bfeira (?:run|up|down|backfill|migrate|show|verify|status)\b|--refetch\b")
    sources = sorted((REPOSITORY / layer).rglob("*.py"))
    assert sources
    assert [path.name for path in sources if named.search(path.read_text())] == []
