"""Runs a mutant's tests in a fork of this process, which has Airflow imported.

For tests that take less time than Airflow's import. What is mutated must not be imported here.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from cosmic_ray.work_item import TestOutcome

# What the tests of the wiring linter import, by the time that it takes.
_LOADED = (
    "aiosmtpd.controller",
    "airflow.dag_processing.dagbag",
    "airflow.dag_processing.importers",
    "airflow.providers.amazon.aws.assets.s3",
    "airflow.providers.common.io.assets.file",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.operators.empty",
    "airflow.providers.standard.operators.python",
    "airflow.providers.standard.operators.trigger_dagrun",
    "airflow.providers.standard.sensors.external_task",
    "airflow.sdk",
    "airflow.serialization.serialized_objects",
    "boto3",
    "hypothesis.strategies",
    "open_data_contract_standard.model",
    "orjson",
    "psycopg",
    "pyarrow",
    "pytest",
    "requests",
)


def load() -> None:
    """Imports what the tests need, once; with Airflow's settings as tests/dags/conftest.py makes them."""
    if "airflow" in sys.modules:
        return
    home = tempfile.mkdtemp(prefix="feira-mutants-")
    os.environ |= {
        "AIRFLOW_HOME": home,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__CORE__XCOM_BACKEND": "feira_airflow.xcom.PathOnlyXCom",
    }
    sys.dont_write_bytecode = True
    sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)  # the checkout's own sources
    for name in _LOADED:
        importlib.import_module(name)


def run_tests(command: str, timeout: float) -> tuple[TestOutcome, str]:
    """As cosmic-ray's own: what became of the mutant, and what the tests printed.

    ``command`` ends in pytest's arguments; the limit is in seconds.
    """
    load()
    arguments = command.partition(" -m pytest ")[2].split()
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            _child(arguments, output.fileno())
        until = time.monotonic() + timeout
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                break
            if time.monotonic() > until:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return TestOutcome.KILLED, "timeout"
            time.sleep(0.01)
        with contextlib.suppress(ProcessLookupError):  # what the tests have left running
            os.killpg(child, signal.SIGKILL)
        output.seek(0)
        text = output.read().decode(errors="replace")
    return TestOutcome.SURVIVED if status == 0 else TestOutcome.KILLED, text


def _child(arguments: list[str], output: int) -> None:
    code = 70
    try:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        import pytest

        basetemp = tempfile.mkdtemp(prefix="mutant-")
        code = int(pytest.main([*arguments, "--assert=plain", f"--basetemp={basetemp}"]))
        sys.stdout.flush()
        _remove(Path(basetemp))
    finally:
        os._exit(code)


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
