"""What docs/aws.md has a deployment install is all that its DAGs import."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from checkout import REPOSITORY
from wheels import PYTHON, add_libraries, install

DAGS = sorted((REPOSITORY / "airflow" / "dags").glob("*.py"))
PACKAGES = ("feira", "feira_spark", "feira_airflow", "feira_provider", "feira_wiring")
# Tasks import when they run: so every module, and not only what a DAG's file imports.
IMPORTED = """
import importlib, pkgutil, runpy, sys
from pathlib import Path

dags = sys.argv[sys.argv.index("--") + 1 :]
for name in sys.argv[1 : sys.argv.index("--")]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        if not module.name.endswith("__main__") and ".example_dags" not in module.name:
            print(importlib.import_module(module.name).__file__)
for path in dags:
    runpy.run_path(path)
"""


@pytest.mark.slow
def test_what_the_page_installs_holds_every_module_of_the_dags(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "aws.md").read_text()
    (command,) = re.findall(r"pip install --no-deps ([^`]+)`", page)
    site = install(tmp_path, *command.split())
    add_libraries(site)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "PYTHON"))}
    done = subprocess.run(
        [PYTHON, "-c", IMPORTED, *PACKAGES, "--", *map(str, DAGS)],
        env=kept
        | {
            "PYTHONPATH": str(site),
            "AIRFLOW_HOME": str(tmp_path / "airflow"),
            "FEIRA_REPOSITORY": str(REPOSITORY),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    modules = [Path(line) for line in done.stdout.splitlines() if line.endswith(".py")]
    assert len(modules) > 100 and all(each.is_relative_to(site) for each in modules)
