"""The spark-submit entry points, as a shell calls them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, time
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from feira.core.errors import PermanentError, Remedy
from feira.core.landing.store import LandingError
from feira.core.settings import LakeSettings
from feira_spark.core.branches import MovedError
from feira_spark.core.publish import AuditError
from feira_spark.jobs import publish_sales, transform_sales, validate_sales
from feira_spark.jobs.run import run
from feira_spark.sales import day as steps
from sales_lines import DAY, FakeFeed, line

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

OF = ("sales", "2010-12-01")
JOBS = ("validate_sales", "transform_sales", "publish_sales")


def job(name: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"feira_spark.jobs.{name}", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith("FEIRA_")}
        | {"COLUMNS": "200", "NO_COLOR": "1"}
        | env,
    )


@pytest.mark.parametrize("name", JOBS)
def test_help_names_the_day_and_shows_a_call(name: str) -> None:
    done = job(name, "--help")
    assert done.returncode == 0, done.stderr
    assert "--day" in done.stdout
    assert f"python -m feira_spark.jobs.{name} --day 2010-12-01" in done.stdout


@pytest.mark.parametrize("name", JOBS)
def test_a_day_that_is_none_is_refused_and_named(name: str) -> None:
    done = job(name, "--day", "2010-13-01")
    assert done.returncode == 2
    assert "2010-13-01" in done.stderr


@pytest.mark.parametrize("name", JOBS)
def test_without_a_lake_the_error_names_the_setting(name: str) -> None:
    done = job(name, "--day", "2010-12-01")
    assert done.returncode == 1
    assert "FEIRA_LAKE is ''" in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermanentError("gone."), ["gone."]),
        (PermanentError("gone.").fixed_by(Remedy.MIGRATE), ["python -m feira_spark.jobs.migrate"]),
        (PermanentError("gone.").fixed_by(Remedy.RUN, OF), [*OF, "Trigger the DAG"]),
        (
            PermanentError("gone.").fixed_by(Remedy.REFETCH, OF),
            [*OF, "trigger the DAG", "`refetch`"],
        ),
        (LandingError("gone."), ["gone."]),
        (MovedError("gone."), ["gone."]),
        (AuditError("gone."), ["gone."]),
    ],
)
def test_a_job_ends_with_the_message_and_the_next_step_of_what_no_try_can_fix(
    error: Exception,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["job"])
    with pytest.raises(SystemExit) as ended:
        run(fails)
    assert ended.value.code == 1
    printed = capsys.readouterr().err
    assert printed.startswith("gone.") and len(printed.splitlines()) == 1
    assert all(each in printed for each in said)


def test_a_day_goes_to_the_fact_by_its_jobs_alone_and_leaves_nothing_staged(
    empty_lake: SparkSession,
    lake: LakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    @contextmanager
    def session(name: str) -> Iterator[SparkSession]:
        yield empty_lake

    own, midnight = replace(lake, root=f"{lake.root}/{uuid4().hex}"), datetime.combine(DAY, time())
    for name, value in own.to_env().items():
        monkeypatch.setenv(name, value)
    steps.land(FakeFeed([[line(), line(line_number=2)]]), own, DAY, requested_by="run")
    for each in (validate_sales, transform_sales, publish_sales):
        monkeypatch.setattr(each, "job_session", session)
        each.main(midnight)
    validated, _, published, metadata = capsys.readouterr().out.splitlines()
    assert validated == f"sales {DAY}: 0.00 % of 2 lines invalid (limit 5 %)"
    assert published == "inserted 2, updated 0, deleted 0" and "/sales/fact/" in metadata
    assert empty_lake.sql("SHOW TABLES IN lake.staging").collect() == []


def test_a_migration_names_the_setting_that_it_lacks() -> None:
    done = job("migrate")
    assert done.returncode == 2
    assert "--warehouse" in done.stderr and "FEIRA_WAREHOUSE" in done.stderr
    done = job("migrate", FEIRA_WAREHOUSE="host=127.0.0.1 port=1")
    assert done.returncode == 1
    assert "FEIRA_LAKE is ''" in done.stderr and "Traceback" not in done.stderr
