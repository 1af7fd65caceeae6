"""How much CPU the wiring linter takes for a folder of many DAGs, beside Airflow's own import.

``python tests/bench/bench_linter.py [DAGS]`` prints seconds of CPU. Aim: 400 DAGs in 10 s.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import tempfile
import time
from pathlib import Path

HEAD = """
from airflow.sdk import *
from airflow.sdk import DAG, Asset, task

def own(asset, keys):
    asset.add_partitions(keys)

def body(*, outlet_events=None):
    own
"""
FIRST = """
with DAG("dag_{n}", schedule=CronPartitionTimetable("0 0 * * *", timezone="UTC"),
         is_paused_upon_creation=False):
    task(task_id="emit", outlets=[Asset("a_{n}")])(body)()
"""
NEXT = """
with DAG("dag_{n}", schedule=PartitionedAssetTimetable(assets=Asset("a_{before}"),
         default_partition_mapper=IdentityMapper()), is_paused_upon_creation=False):
    task(task_id="emit", outlets=[Asset("a_{n}")])(body)()
"""


def write(folder: Path, dags: int, chain: int = 400) -> None:
    """One DAG a file, in chains: each listens to the one before it, by its key."""
    for n in range(dags):
        text = FIRST if n % chain == 0 else NEXT
        (folder / f"dag_{n:04}.py").write_text(HEAD + text.format(n=n, before=n - 1))


def main(dags: int) -> None:
    from feira_wiring.home import airflow_home

    with airflow_home(), tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        from feira_wiring.linting import lint

        imported = time.process_time()
        write(Path(folder), dags)
        with cProfile.Profile() if "--profile" in sys.argv else tempfile.TemporaryFile() as profile:
            begun_lint = time.process_time()
            report = lint(Path(folder))
            spent = time.process_time() - begun_lint
        print(
            f"{report.dags} DAGs: {spent:.1f} s of CPU; Airflow's import {imported - begun:.1f} s"
        )
        if isinstance(profile, cProfile.Profile):
            pstats.Stats(profile).sort_stats("cumulative").print_stats(45)


if __name__ == "__main__":
    main(int(next(iter(sys.argv[1:2]), "400")))
