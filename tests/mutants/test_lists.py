"""The lists of `make mutants` are true to the sources: a moved file or a rewritten line is noticed here,
and not an hour into a run."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any

import pytest

from checkout import REPOSITORY

HERE = Path(__file__).parent
LISTED: dict[str, Any] = tomllib.loads((HERE / "modules.toml").read_text())
MODULES: list[dict[str, Any]] = LISTED["modules"]
SURVIVORS: list[dict[str, str]] = tomllib.loads((HERE / "survivors.toml").read_text())["survivors"]


@pytest.mark.parametrize("module", MODULES, ids=[each["path"] for each in MODULES])
def test_a_module_its_tests_and_its_planted_faults_are_there(module: dict[str, Any]) -> None:
    text = (REPOSITORY / module["path"]).read_text()
    assert {fault["find"]: text.count(fault["find"]) for fault in module.get("planted", [])} == {
        fault["find"]: 1 for fault in module.get("planted", [])
    }
    tests = LISTED["tests"].get(str(module["tests"]), module["tests"])
    files = [test.partition("::")[0] for test in tests if test.startswith("tests/")]
    assert files
    assert [file for file in files if not (REPOSITORY / file).exists()] == []


def test_no_module_is_listed_twice() -> None:
    paths = [each["path"] for each in MODULES]
    assert sorted(set(paths)) == sorted(paths)


@pytest.mark.parametrize(
    "survivor", SURVIVORS, ids=[f"{each['module']}:{each['function']}" for each in SURVIVORS]
)
def test_a_survivors_function_is_there_and_its_module_is_mutated(survivor: dict[str, str]) -> None:
    assert survivor["module"] in {each["path"] for each in MODULES}
    named = {
        node.name
        for node in ast.walk(ast.parse((REPOSITORY / survivor["module"]).read_text()))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    }
    assert survivor["function"] in {"", *named}
    assert survivor["reason"]
