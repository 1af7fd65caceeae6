"""The reusable parts import without the rest of Feira, and say what an Airflow user looks for."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import BaseHook, BaseNotifier, BaseOperator
from airflow.triggers.base import BaseTrigger

from feira_airflow.notifiers.deadline import run_deadlines

REPOSITORY = Path(__file__).resolve().parents[2]
CONTRACTS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]
# The list that import-linter holds; the blocker below holds it at run time too.
(PARTS,) = [
    contract["source_modules"]
    for contract in CONTRACTS["contracts"]
    if contract["name"] == "The reusable parts import nothing else of Feira"
]

BLOCKED = """
import importlib, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"feira", "feira_spark", "feira_local"}:
            raise ImportError(name)

sys.meta_path.insert(0, Blocker())
for part in sys.argv[1:]:
    for name in [name for name in sys.modules if name.startswith("feira_airflow")]:
        del sys.modules[name]
    importlib.import_module(part)
    print("imported", part)
try:
    importlib.import_module("feira_airflow.hooks.shop_api")
except ImportError as error:
    print("refused", str(error).partition(".")[0])
"""


def modules() -> list[str]:
    """The parts' modules, the example DAGs one by one."""
    source = REPOSITORY / "airflow" / "src"
    examples = sorted((source / "feira_airflow" / "example_dags").glob("example_*.py"))
    named = [part for part in PARTS if part != "feira_airflow.example_dags"]
    return named + [f"feira_airflow.example_dags.{path.stem}" for path in examples]


def test_each_part_imports_where_the_rest_of_feira_is_not_installed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, *modules()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = [line for line in done.stdout.splitlines() if line.startswith(("imported", "refused"))]
    # The last line shows that the blocker blocks: the shop's hook does need the rest.
    assert found == [*(f"imported {part}" for part in modules()), "refused feira"]


def parts() -> list[type]:
    """The classes that a DAG uses: hooks, notifiers, operators, sensors and triggers."""
    found: list[type] = []
    for name in PARTS:
        module = importlib.import_module(name)
        found += [
            each
            for each in vars(module).values()
            if inspect.isclass(each)
            and each.__module__ == name
            and issubclass(each, (BaseHook, BaseNotifier, BaseOperator, BaseTrigger))
        ]
    return found


def test_the_parts_are_these() -> None:
    assert sorted(part.__name__ for part in parts()) == [
        "AssetEventCheckOperator",
        "MailDeadlineNotifier",
        "MailFailureNotifier",
        "MailNoticeNotifier",
        "PagedApiHook",
        "PagedApiToS3Operator",
        "PartitionCheckOperator",
        "S3ManifestSensor",
        "S3ManifestTrigger",
        "SlackDeadlineNotifier",
        "SlackFailureNotifier",
        "SlackNoticeNotifier",
        "ValidateContractOperator",
        "WarehouseHook",
    ]


@pytest.mark.parametrize("part", [*parts(), run_deadlines], ids=lambda part: part.__name__)
def test_every_argument_of_a_part_is_in_its_docstring(part: Any) -> None:
    described = inspect.getdoc(part) or ""
    called = part.__init__ if inspect.isclass(part) else part
    for name, argument in inspect.signature(called).parameters.items():
        if name == "self" or argument.kind in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL):
            continue
        assert f":param {name}:" in described, f"{part.__name__} does not describe {name}"


@pytest.mark.parametrize("part", parts(), ids=lambda part: part.__name__)
def test_every_templated_field_is_the_providers_or_an_argument_that_says_so(part: type) -> None:
    if not issubclass(part, BaseOperator):
        return
    inherited = {field for base in part.__bases__ for field in getattr(base, "template_fields", ())}
    assert inherited <= set(part.template_fields)
    arguments = inspect.signature(part.__init__).parameters
    described = inspect.getdoc(part) or ""
    for field in part.template_fields:
        if field in inherited and field not in arguments:
            continue
        assert field in arguments, field
        described_as = described.split(f":param {field}:")[1].split(":param ")[0]
        assert "(templated" in described_as, field
