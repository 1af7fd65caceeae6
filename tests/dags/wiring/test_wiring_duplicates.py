"""DAGs of one id: in two files, by an import or not, and in one file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from feira_wiring.linting import lint
from feira_wiring.report import Finding
from feira_wiring.suppression import fingerprint

MAKES_ORDERS = "from airflow.sdk import asset\n@asset(schedule='@daily')\ndef orders(): ...\n"
IMPORTS_ORDERS = (
    "from airflow.sdk import DAG\nfrom {module} import orders\n"
    "with DAG('{dag_id}', schedule=[orders]): ...\n"
)
LOADS = "from airflow.sdk import DAG, Asset, task\n" + (
    "with DAG('load', schedule=None):\n"
    "    task(task_id='{task}', outlets=[Asset('{asset}')])(lambda: 0)()\n"
)


def duplicates(folder: Path, files: dict[str, str]) -> list[Finding]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    found = lint(folder).findings
    assert {each.rule for each in found} <= {"duplicate-dag"}, found
    return list(found)


def places(finding: Finding, folder: Path) -> list[str]:
    return [str(each).removeprefix(f"{folder}/") for each in finding.places]


@pytest.mark.parametrize("producer", ["a_producers", "producers", "z_producers"])
def test_each_file_that_imports_an_asset_has_its_dag_too_in_whatever_order(
    tmp_path: Path, producer: str
) -> None:
    importers = {
        f"{name}.py": IMPORTS_ORDERS.format(module=producer, dag_id=name)
        for name in ("consumer", "reader")
    }
    found = duplicates(tmp_path, {f"{producer}.py": MAKES_ORDERS} | importers)
    home = f"{producer}.py:2"
    assert sorted(places(each, tmp_path) for each in found) == [
        ["consumer.py", home],
        ["reader.py", home],
    ]
    for each in found:
        assert (each.level, each.dags) == ("error", ("orders",))
        assert f"imports {tmp_path}/{producer}.py" in each.problem
        assert "Asset.ref(name='orders')" in each.step and "Exception" not in each.problem


def test_a_module_that_can_be_imported_once_in_a_process_fails_no_file(tmp_path: Path) -> None:
    """As one that registers a metric or a table: Airflow has a process for each file."""
    once = "import sys\nif hasattr(sys, 'registered_once'):\n    raise ValueError('twice')\nsys.registered_once = 1\n"
    files = {
        f"{name}.py": f"import helper\nfrom airflow.sdk import DAG\ndag = DAG({name!r}, schedule=None)\n"
        for name in ("a", "b", "c")
    }
    try:
        assert duplicates(tmp_path, files | {"helper.py": once}) == []
        del sys.registered_once  # type: ignore[attr-defined]
        broken = "import helper\nfrom airflow.sdk import DAG\nraise KeyError('d')\n"
        (tmp_path / "d.py").write_text(broken)
        report = lint(tmp_path)
        assert ([each.rule for each in report.findings], report.dags) == (["import-error"], 3)
    finally:
        vars(sys).pop("registered_once", None)


def test_a_module_that_is_no_dag_file_makes_its_dag_one_of_each_importer(tmp_path: Path) -> None:
    """In a folder without __init__.py too, which Python would go on to know it by."""
    importers = {
        f"{name}.py": IMPORTS_ORDERS.format(module="parts.made", dag_id=name) for name in "ab"
    } | {"c.py": "from parts import made\n# a dag of airflow\n"}
    found = duplicates(
        tmp_path, {"parts/made.py": MAKES_ORDERS, ".airflowignore": "parts/"} | importers
    )
    assert [places(each, tmp_path) for each in found] == [["b.py", "a.py"], ["c.py", "a.py"]]
    assert all(f"Both import {tmp_path}/parts/made.py" in each.problem for each in found)


def test_an_imported_dag_hides_nothing_and_a_second_one_of_its_id_does(tmp_path: Path) -> None:
    hears = (
        "from airflow.sdk import DAG, Asset\nD = DAG('hear', schedule=Asset('a') | Asset('b'))\n"
    )
    one, two = LOADS.format(task="one", asset="a"), LOADS.format(task="two", asset="b")
    (tmp_path / "x").mkdir()
    for name, text in {"one": one, "two": two, "hears": hears}.items():
        (tmp_path / "x" / f"{name}.py").write_text(text)
    found = {each.rule: each for each in lint(tmp_path / "x").findings}
    assert set(found) == {"duplicate-dag", "no-emitter"}
    assert found["duplicate-dag"].step == "Give one of them another dag_id."
    assert (found["no-emitter"].level, found["no-emitter"].asset) == ("note", "b")
    assert "x/two.py could not be read in full, and may emit b" in found["no-emitter"].problem


def test_two_dags_of_one_id_in_one_file_are_named_and_always_the_same_is_judged(
    tmp_path: Path,
) -> None:
    text = LOADS.format(task="b", asset="a") + LOADS.format(task="a", asset="a")
    hears = "\nD = DAG('hear', schedule=Asset('a'))\n"
    (one,) = duplicates(tmp_path, {"dags.py": text + hears})
    assert (one.dags, places(one, tmp_path)) == (("load",), ["dags.py"])
    assert f"{tmp_path}/dags.py makes more than one DAG with the id load." == one.problem
    kept = lint(tmp_path).wiring
    assert kept is not None and [str(each) for each in kept.emitters] == ["load.a"]


def test_a_dag_that_is_opened_twice_is_one(tmp_path: Path) -> None:
    text = "from airflow.sdk import DAG\nwith DAG('d', schedule=None) as d: ...\nwith d: ...\nagain = d\n"
    assert duplicates(tmp_path, {"dags.py": text}) == []


def test_a_duplicate_is_known_by_its_dag_wherever_the_folder_lies(tmp_path: Path) -> None:
    files = {"a.py": MAKES_ORDERS, "b.py": IMPORTS_ORDERS.format(module="a", dag_id="b")}
    (one,) = duplicates(tmp_path / "one", files)
    (two,) = duplicates(tmp_path / "two", files)
    assert one.problem != two.problem
    assert fingerprint(one) == fingerprint(two)
