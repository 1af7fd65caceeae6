"""A process that has the tests' libraries loaded and forks for each run of pytest.

Most of a short run of tests is the loading of libraries, which no mutant changes. What a mutant may be of
is loaded by the fork alone.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO, Any

import pytest

# None may load the platform's own code, or start a thread.
_LIBRARIES = (
    "boto3",
    "hypothesis.strategies",
    "moto.s3.urls",
    "moto.server",
    "open_data_contract_standard.model",
    "orjson",
    "pandas",
    "pgpq",
    "psycopg.rows",
    "pyarrow.compute",
    "pyarrow.csv",
    "pyarrow.parquet",
    "pydantic",
    "requests",
    "s3fs",
    "sqlglot",
    "yaml",
)
# What the tests of the wiring linter import, by the time that it takes.
_AIRFLOW = (
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
)


@dataclass(frozen=True)
class Trace:
    """Seconds of each test by its id, and the ids of the tests that run a line, by file and line."""

    seconds: dict[str, float]
    lines: dict[str, dict[str, list[str]]]


class ForkedTests:
    """Runs pytest in forks of one process, in the working directory and environment of its start."""

    def __init__(self, with_airflow: bool) -> None:
        self._home = tempfile.mkdtemp(prefix="feira-mutants-")
        self._server = subprocess.Popen(
            [sys.executable, __file__, *(["airflow"] if with_airflow else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(_airflow_settings(self._home) if with_airflow else {})},
        )

    def run(
        self,
        arguments: list[str],
        seconds: float,
        *,
        bytecode: bool = False,
        only: Sequence[str] = (),
    ) -> tuple[int | None, str]:
        """Exit code and output; no code where it ran longer than ``seconds`` and was killed.

        ``bytecode``: keep it for later runs. Never of a mutant: two within a second look alike.
        ``only``: the ids of the tests to run, in their order.
        """
        return self._ask(arguments, seconds, {"bytecode": bytecode, "only": list(only)})

    def trace(self, arguments: list[str], seconds: float, paths: list[str]) -> Trace | str:
        """What each test takes, and which lines of these files it runs; the output where one fails."""
        written = Path(self._home, "trace.json")
        written.unlink(missing_ok=True)
        code, output = self._ask(arguments, seconds, {"traced": paths, "to": str(written)})
        if code is None:
            return f"{output}\nlonger than {seconds:.0f} seconds"
        return Trace(**json.loads(written.read_text())) if code == 0 else output

    def _ask(
        self, arguments: list[str], seconds: float, options: dict[str, object]
    ) -> tuple[int | None, str]:
        sender, receiver = self._server.stdin, self._server.stdout
        assert sender is not None and receiver is not None
        output, temporary = Path(self._home, "output.txt"), f"{self._home}/tests"
        everything = [*arguments, f"--basetemp={temporary}"]
        _send(sender, [everything, seconds, str(output), options])
        code: int | None = json.loads(receiver.readline())
        shutil.rmtree(temporary, ignore_errors=True)
        return code, output.read_text(errors="replace")

    def close(self) -> None:
        """Ends the process."""
        if self._server.stdin is not None:
            self._server.stdin.close()
        self._server.wait(30)
        shutil.rmtree(self._home, ignore_errors=True)


def _airflow_settings(home: str) -> dict[str, str]:
    """As tests/dags/conftest.py makes them."""
    return {
        "AIRFLOW_HOME": home,
        "FEIRA_TEST_AIRFLOW_HOME": home,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__CORE__XCOM_BACKEND": "feira_airflow.core.xcom.PathOnlyXCom",
    }


def _send(to: IO[str], message: object) -> None:
    to.write(json.dumps(message) + "\n")
    to.flush()


def _serve(with_airflow: bool) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    sys.dont_write_bytecode = True
    plugins = {each.module for each in entry_points(group="pytest11")}
    for name in (*_LIBRARIES, *sorted(plugins), *(_AIRFLOW if with_airflow else ())):
        # What is not there, the fork does not need.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # What is loaded is never garbage, and no fork need look.
    gc.collect()
    gc.freeze()
    sys.path.insert(0, str(Path.cwd()))
    for request in sys.stdin:
        arguments, seconds, output, options = json.loads(request)
        sys.dont_write_bytecode = not options.get("bytecode")
        child = os.fork()
        if child == 0:
            _run_and_exit(arguments, output, options)
        _send(answers, _ended(child, seconds))


class _InOrder:
    """A pytest plugin that keeps these tests alone, in this order."""

    def __init__(self, ids: list[str]) -> None:
        self._place = {each: place for place, each in enumerate(ids)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._place),
            key=lambda item: self._place[item.nodeid],
        )


class _Tracer:
    """A pytest plugin that measures, with coverage, what each test runs."""

    def __init__(self, paths: list[str]) -> None:
        import coverage

        self._paths, self._seconds = paths, dict[str, float]()
        self._coverage = coverage.Coverage(data_file=None, config_file=False, include=paths)
        self._coverage.start()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._coverage.switch_context(item.nodeid)
        began = time.monotonic()
        yield
        self._seconds[item.nodeid] = time.monotonic() - began
        self._coverage.switch_context("")

    def write(self, to: str) -> None:
        self._coverage.stop()
        data = self._coverage.get_data()
        lines = {
            path: {
                line: [each for each in contexts if each]
                for line, contexts in data.contexts_by_lineno(str(Path(path).resolve())).items()
            }
            for path in self._paths
        }
        Path(to).write_text(json.dumps({"seconds": self._seconds, "lines": lines}))


def _run_and_exit(arguments: list[str], output: str, options: dict[str, Any]) -> None:
    code = 1
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(written, 1)
        os.dup2(written, 2)
        tracer = _Tracer(options["traced"]) if "traced" in options else None
        order = _InOrder(options["only"]) if options.get("only") else None
        code = int(pytest.main(arguments, [each for each in (tracer, order) if each is not None]))
        if tracer is not None:
            tracer.write(options["to"])
        sys.stdout.flush()
    finally:
        os._exit(code)


def _ended(child: int, seconds: float) -> int | None:
    deadline = time.monotonic() + seconds
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        late = time.monotonic() > deadline
        if pid or late:
            # Also what the tests have left running, so that it does not hold up the next.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if late:
            os.waitpid(child, 0)
            return None
        time.sleep(0.01)


if __name__ == "__main__":
    _serve(sys.argv[1:] == ["airflow"])
