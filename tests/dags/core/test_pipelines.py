"""Pipelines are found by their place, keep apart, and what is made from their declarations is current."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from airflow.sdk import Asset

import feira_airflow
from feira.core.by_place import declarations
from feira.core.contracts import contracts
from feira_airflow.core import pools
from feira_airflow.core.dag_pages import pages
from feira_airflow.core.pipelines import (
    Pipeline,
    PipelineError,
    Pool,
    pipelines,
    require_apart,
)

REPOSITORY = Path(__file__).resolve().parents[3]
SOURCE = Path(feira_airflow.__path__[0])


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[str]]]:
    """Makes a package ``shop`` of folders, each with the text of its pipeline.py; gives their names."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def made(**folders: str | None) -> list[str]:
        for name, text in {"": None, **folders}.items():
            folder = tmp_path / "shop" / name
            folder.mkdir(parents=True)
            (folder / "__init__.py").touch()
            if text is not None:
                (folder / "pipeline.py").write_text(
                    f"from feira_airflow.core.pipelines import Pipeline\n{text}\n"
                )
        importlib.invalidate_caches()
        return [
            each.name
            for each in declarations(
                [str(tmp_path / "shop")], "shop", "pipeline", Pipeline, PipelineError
            )
        ]

    yield made
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


def test_a_folder_with_a_declaration_is_a_pipeline(package: Callable[..., list[str]]) -> None:
    def text(name: str) -> str:
        return f"PIPELINE = Pipeline(name={name!r}, owner='o', dags=('{name}_dag',))"

    assert package(fraud=text("fraud"), core=None, alerts=text("alerts")) == ["alerts", "fraud"]


@pytest.mark.parametrize(
    "text",
    ["", "PIPELINE = 'fraud'", "PIPELINE = Pipeline(name='frauds', owner='o', dags=())"],
    ids=["none", "another type", "another name"],
)
def test_a_declaration_that_does_not_name_its_folder_is_refused(
    package: Callable[..., list[str]], text: str
) -> None:
    with pytest.raises(PipelineError, match=r"shop\.fraud\.pipeline must hold .*name='fraud'"):
        package(fraud=text)


ONE = Pipeline(
    "one",
    "o",
    dags=("d",),
    emits=(Asset("a"),),
    tables=("t.t",),
    pools=(Pool("p", 1, "why"),),
    connections=(("c", "what"),),
)


@pytest.mark.parametrize(
    ("other", "thing"),
    [
        (Pipeline("two", "o", dags=("d",)), "DAG d"),
        (Pipeline("two", "o", dags=(), emits=(Asset("a"),)), "asset a"),
        (Pipeline("two", "o", dags=(), tables=("t.t",)), "table t.t"),
        (Pipeline("two", "o", dags=(), pools=(Pool("p", 2, "why"),)), "pool p"),
        (Pipeline("two", "o", dags=(), connections=(("c", "what"),)), "connection c"),
    ],
)
def test_what_two_pipelines_declare_is_refused_by_both_their_names(
    other: Pipeline, thing: str
) -> None:
    require_apart([ONE])
    with pytest.raises(PipelineError, match=f"^{thing} .* one .* two"):
        require_apart([ONE, other])


def test_a_pool_of_the_core_is_no_pipelines() -> None:
    with pytest.raises(PipelineError, match=r"pool spark .* core .* two"):
        require_apart([Pipeline("two", "o", dags=(), pools=(Pool("spark", 1, "why"),))])


def test_every_table_has_one_pipeline() -> None:
    written = [table for pipeline in pipelines() for table in pipeline.tables]
    assert sorted(written) == sorted(contracts())


def test_every_pool_has_slots_and_a_reason() -> None:
    assert {pool.name for pool in pools.pools()} >= {"shop_api", "spark", "warehouse"}
    for pool in pools.pools():
        assert pool.slots > 0 and len(pool.description) > 20, pool.name


def test_the_page_of_every_dag_is_current_and_there_is_no_other() -> None:
    written = {
        path.stem: path.read_text(encoding="utf-8")
        for path in (REPOSITORY / "docs" / "dags").glob("*.md")
    }
    assert written == pages(), "write them anew: feira docs"


def imported(path: Path) -> set[str]:
    """Full names of what a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def test_a_pipeline_takes_of_another_its_declaration_alone_and_the_core_of_none() -> None:
    folders = {pipeline.name for pipeline in pipelines()}
    for folder in [*folders, "core"]:
        for path in (SOURCE / folder).rglob("*.py"):
            for name in imported(path):
                parts = name.split(".")
                if parts[0] != "feira_airflow" or len(parts) < 3:
                    continue
                if parts[1] in folders - {folder}:
                    assert folder != "core" and parts[2] == "pipeline", f"{path}: {name}"


def test_a_dag_file_takes_of_another_pipeline_its_declaration_alone() -> None:
    for pipeline in pipelines():
        for dag_id in pipeline.dags:
            for name in imported(REPOSITORY / "airflow" / "dags" / f"{dag_id}.py"):
                parts = name.split(".")
                others = {each.name for each in pipelines()} - {pipeline.name}
                if parts[0] == "feira_airflow" and len(parts) > 2 and parts[1] in others:
                    assert parts[2] == "pipeline", f"{dag_id}: {name}"
