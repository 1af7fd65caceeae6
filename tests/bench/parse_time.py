"""How long a DAG file takes to parse, each in a Python of its own: with Airflow's import, and beside it.

Run as a program it measures the platform's DAG files and writes ``.bench/parse.json``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
TARGET = REPOSITORY / ".bench" / "parse.json"
RUNS = 5
# The DAG processor has imported Airflow's SDK once; a file costs what it brings beyond that.
PROGRAM = """
import importlib.util, json, sys, time
began = time.perf_counter()
import airflow.sdk
from airflow.sdk import dag, task, Param, Asset, CronPartitionTimetable
imported = time.perf_counter()
spec = importlib.util.spec_from_file_location("parsed_dag", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
ended = time.perf_counter()
print(json.dumps([ended - imported, ended - began]))
"""


def parse_times(folder: Path) -> list[dict[str, Any]]:
    """For each DAG file of a folder the median seconds of five parses, beside Airflow and with it.

    Raises CalledProcessError for a file that cannot be imported.
    """
    found = []
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "AIRFLOW_HOME": home}
        for file in sorted(folder.glob("*.py")):
            runs = [_parse(file, environment) for _ in range(RUNS)]
            found.append(
                {
                    "file": file.name,
                    "seconds": median(alone for alone, _ in runs),
                    "with_airflow_seconds": median(whole for _, whole in runs),
                }
            )
    return found


def _parse(file: Path, environment: dict[str, str]) -> tuple[float, float]:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(file)],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    alone, whole = json.loads(ended.stdout.strip().splitlines()[-1])
    return float(alone), float(whole)


def measure() -> list[dict[str, Any]]:
    """The platform's DAG files; prints their times and writes them for the page."""
    found = parse_times(REPOSITORY / "airflow" / "dags")
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(found, indent=1))
    for file in found:
        print(
            f"{file['file']}: {file['seconds']:.2f} s beside Airflow, "
            f"{file['with_airflow_seconds']:.1f} s with its import"
        )
    return found


if __name__ == "__main__":
    measure()
