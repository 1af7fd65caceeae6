"""Which tests a saved file asks for: by mirrored folders, imports and names, and never from a list."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from feira.core.settings import repository_root
from feira_local.cli import app
from feira_local.cli import loop as command
from feira_local.loop.saved_tests import (
    Layer,
    is_temporary,
    layer_named,
    layers,
    mark_passed,
    saved,
    stamp,
    wanted_tests,
)
from feira_local.stack.errors import StackError

FILES = {
    "spark/src/geo_spark/core/session.py": "",
    "spark/src/geo_spark/core/rules.py": "from geo_spark.core import session",
    "spark/src/geo_spark/geo/areas.py": "from geo_spark.core.rules import rule",
    "spark/src/geo_spark/geo/places.py": "",
    "tests/spark/core/test_rules.py": "from geo_spark.core.rules import rule",
    "tests/spark/core/test_other.py": "import json",
    "tests/spark/geo/test_areas.py": "def test():\n    from geo_spark.geo import areas",
    "tests/spark/geo/test_patched.py": "patch('geo_spark.geo.places.find')",
    "tests/spark/geo/conftest.py": "",
    "tests/spark/conftest.py": "",
    "shared/contracts/geo/geo.areas.odcs.yaml": "",
    "shared/contracts/geo/kinds.yaml": "",
    "tests/shared/core/test_contracts.py": "",
    "tests/shared/core/test_load.py": "TABLE = 'geo.areas'",
    "tests/shared/core/test_lake.py": "TABLE = 'geo.places'",
    "infra/dbt/models/marts/by_area.sql": "",
    "tests/infra/test_one.py": "ref('by_area')",
    "tests/infra/test_two.py": "ref('by_area_and_day')",
    "airflow/dags/geo_etl.py": "",
    "tests/dags/core/test_graphs.py": "DAGS = ['geo_etl']",
    "tests/dags/core/test_xcom.py": "",
    "tests/e2e/test_whole.py": "",
    "tilt/Tiltfile": "",
    "tests/local/loop/test_tiltfile.py": "FILE = 'Tiltfile'",
    "tests/local/shop/test_shop.py": "",
}

SLOW = "import pytest\n@pytest.mark.slow\ndef test_it():\n    assert False\n"
SKIPPED = 'import pytest\npytest.skip("none here", allow_module_level=True)\n'


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, (1000, 1000))
    return tmp_path


def asked(repository: Path, path: str) -> list[str]:
    (layer,) = (
        each
        for each in layers(repository).values()
        if any((repository / path).is_relative_to(folder) for folder in each.watched)
    )
    return [test.stem for test in wanted_tests(layer, repository / path)]


@pytest.mark.parametrize(
    ("path", "tests"),
    [
        ("spark/src/geo_spark/core/rules.py", ["test_rules"]),
        # Nobody's test imports it: those of what imports it.
        ("spark/src/geo_spark/core/session.py", ["test_rules"]),
        ("spark/src/geo_spark/geo/areas.py", ["test_areas"]),
        ("spark/src/geo_spark/geo/places.py", ["test_patched"]),
        ("tests/spark/geo/test_areas.py", ["test_areas"]),
        ("tests/spark/geo/conftest.py", ["test_areas", "test_patched"]),
        ("tests/spark/conftest.py", ["test_other", "test_rules", "test_areas", "test_patched"]),
        ("shared/contracts/geo/geo.areas.odcs.yaml", ["test_contracts", "test_load"]),
        ("shared/contracts/geo/kinds.yaml", ["test_contracts"]),
        ("infra/dbt/models/marts/by_area.sql", ["test_one"]),
        ("airflow/dags/geo_etl.py", ["test_graphs"]),
        ("tilt/Tiltfile", ["test_tiltfile"]),
    ],
)
def test_a_saved_file_asks_for_its_own_tests(path: str, tests: list[str], repository: Path) -> None:
    assert asked(repository, path) == tests


def test_a_new_pipelines_folder_is_found_by_its_place(repository: Path) -> None:
    new = {
        "spark/src/geo_spark/stock/levels.py": "",
        "tests/spark/stock/test_levels.py": "from geo_spark.stock.levels import level",
    }
    for name, text in new.items():
        (repository / name).parent.mkdir(parents=True)
        (repository / name).write_text(text)
    assert asked(repository, "spark/src/geo_spark/stock/levels.py") == ["test_levels"]


def test_a_file_that_no_test_knows_asks_for_all_of_its_part(repository: Path) -> None:
    (repository / "spark/src/geo_spark/geo/new.py").write_text("")
    assert asked(repository, "spark/src/geo_spark/geo/new.py") == ["test_areas", "test_patched"]


def test_a_file_that_is_half_written_is_no_error(repository: Path) -> None:
    (repository / "spark/src/geo_spark/core/rules.py").write_text("def rule(:\n\0")
    (repository / "tests/spark/core/test_other.py").write_text("import (")
    assert asked(repository, "spark/src/geo_spark/core/rules.py") == ["test_rules"]


def test_only_folders_that_mirror_a_source_are_layers(repository: Path) -> None:
    assert set(layers(repository)) == {"spark", "shared", "infra", "dags", "local"}
    with pytest.raises(StackError, match=r"layer 'e2e' .*dags, "):
        layer_named(repository, "e2e")


def test_every_source_of_the_checkout_asks_for_some_test_and_no_module_for_a_whole_layer() -> None:
    for layer in layers(repository_root()).values():
        for path in layer.files():
            found = wanted_tests(layer, path)
            assert found, path
            assert all(test.is_relative_to(layer.tests) for test in found)
    shared: Layer = layers(repository_root())["shared"]
    put_once = repository_root() / "shared/src/feira/core/landing/put_once.py"
    assert [test.stem for test in wanted_tests(shared, put_once)] == ["test_put_once"]


def test_what_git_ignores_is_never_what_was_saved() -> None:
    for line in (repository_root() / ".gitignore").read_text().split():
        name = line.strip("/").rpartition("/")[2].replace("*", "x")
        assert is_temporary(name), line


def stems(repository: Path, name: str = "spark") -> list[str]:
    return [path.stem for path in saved(repository, layer_named(repository, name))]


def test_what_was_saved_since_the_tests_passed_is_tested_again_until_they_do(
    repository: Path,
) -> None:
    layer = layer_named(repository, "spark")
    areas, places = (repository / f"spark/src/geo_spark/geo/{it}.py" for it in ("areas", "places"))
    # Before the first time it is what was saved last, with what one "save all" wrote beside it.
    os.utime(areas, (2000, 2000))
    os.utime(places, (1999, 1999))
    assert stems(repository) == ["areas", "places"]
    mark_passed(repository, layer, began=2001)
    assert stems(repository) == []
    os.utime(areas, (2002, 2002))
    assert stems(repository) == ["areas"]
    os.utime(places, (2003, 2003))  # the tests of areas have failed meanwhile
    assert stems(repository) == ["areas", "places"]
    # Saved while the tests ran: not what they ran on.
    mark_passed(repository, layer, began=2002.5)
    assert stems(repository) == ["places"]
    assert stems(repository, "infra") == ["by_area", "test_one", "test_two"]


@pytest.mark.parametrize(
    ("change", "asking"),
    [
        ("mv spark/src/geo_spark/geo/areas.py spark/src/geo_spark/geo/regions.py", ["regions"]),
        ("mv spark/src/geo_spark/geo spark/src/geo_spark/land", ["areas", "places"]),
        ("mv tests/spark/core/test_rules.py tests/spark/geo/", ["test_rules"]),
        ("mv elsewhere.py spark/src/geo_spark/geo/", ["elsewhere"]),
        ("cp -p elsewhere.py spark/src/geo_spark/geo/places.py", ["places"]),
        ("mv elsewhere.py spark/src/geo_spark/geo/places.py", ["places"]),
        # Neither is saved, nor is it another.
        ("rm spark/src/geo_spark/geo/areas.py", []),
        ("chmod -R u+x spark tests", []),
        ("cp -pR spark copy && rm -r spark && mv copy spark", []),
    ],
)
def test_a_file_with_an_old_time_asks_for_tests_where_it_is_new_and_only_there(
    change: str, asking: list[str], repository: Path
) -> None:
    (repository / "elsewhere.py").write_text("")
    os.utime(repository / "elsewhere.py", (900, 900))
    mark_passed(repository, layer_named(repository, "spark"), began=2000)
    subprocess.run(change, shell=True, check=True, cwd=repository)
    assert stems(repository) == asking
    mark_passed(repository, layer_named(repository, "spark"), began=2000)
    assert stems(repository) == []


def test_a_note_that_a_kill_cut_short_is_as_none(repository: Path) -> None:
    layer = layer_named(repository, "spark")
    mark_passed(repository, layer, began=2000)
    note = stamp(repository, layer)
    note.write_text(note.read_text()[:-9])
    areas = repository / "spark/src/geo_spark/geo/areas.py"
    os.utime(areas, (1500, 1500))
    assert stems(repository) == ["areas"]


def test_an_editors_file_beside_it_is_not_what_was_saved(repository: Path) -> None:
    mark_passed(repository, layer_named(repository, "spark"), began=2000)
    for name in (".areas.py.swp", "areas.py~", "__pycache__/areas.cpython-311.pyc"):
        path = repository / "spark/src/geo_spark/geo" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert stems(repository) == []


def test_a_link_that_leads_nowhere_and_a_file_that_is_gone_again_were_not_saved(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = layer_named(repository, "spark")
    mark_passed(repository, layer, began=2000)
    (repository / "spark/src/geo_spark/geo/linked.py").symlink_to("nowhere.py")
    (repository / "spark/src/geo_spark/geo/circle.py").symlink_to("circle.py")
    (repository / "tests/spark/geo/test_linked.py").symlink_to("nowhere.py")
    gone = repository / "spark/src/geo_spark/geo/gone.py"
    files = [*layer.files(), gone]
    monkeypatch.setattr(Layer, "files", lambda _: files)
    assert stems(repository) == []
    areas = repository / "spark/src/geo_spark/geo/areas.py"
    os.utime(areas, (2002, 2002))
    assert stems(repository) == ["areas"]
    assert "test_linked" not in [it.stem for it in wanted_tests(layer, areas)]
    assert "test_linked" not in [it.stem for it in layer.test_files]


@pytest.fixture
def here(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That repository is the checkout of the commands."""
    monkeypatch.setenv("FEIRA_REPOSITORY", str(repository))
    assert repository_root() == repository
    return repository


def test_the_command_runs_them_and_notes_only_a_pass(here: Path) -> None:
    layer = layer_named(here, "spark")
    mark_passed(here, layer, began=2000)
    test = here / "tests/spark/geo/test_patched.py"
    test.write_text("def test_it():\n    assert False\n")
    run = CliRunner()
    failed = run.invoke(app, ["test", "spark", "--json"])
    assert failed.exit_code == 1
    told = json.loads(failed.stdout)
    assert told == {
        "layer": "spark",
        "saved": ["tests/spark/geo/test_patched.py"],
        "tests": ["tests/spark/geo/test_patched.py"],
        "passed": False,
    }
    test.write_text("def test_it():\n    assert True\n")
    passed = run.invoke(app, ["test", "spark", "--json"])
    assert passed.exit_code == 0
    assert json.loads(passed.stdout)["passed"] is True
    nothing = run.invoke(app, ["test", "spark"])
    assert nothing.exit_code == 0
    assert "Nothing was saved in spark" in nothing.stdout


def test_a_file_whose_tests_are_all_slow_is_passed_and_said_to_be_so(here: Path) -> None:
    layer = layer_named(here, "spark")
    mark_passed(here, layer, began=2000)
    test = here / "tests/spark/geo/test_patched.py"
    test.write_text(SLOW)
    (test.parent / "test_not_here.py").write_text(SKIPPED)
    ran = CliRunner().invoke(app, ["test", "spark"])
    assert ran.exit_code == 0
    assert "test_patched.py" in ran.stdout and "make test-slow" in ran.stdout
    assert saved(here, layer) == []


def test_files_that_hold_no_test_are_no_slow_ones_and_fail(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    layer = layer_named(here, "spark")
    mark_passed(here, layer, began=2000)
    folder = here / "tests/spark/geo"
    for name, text in {
        "test_patched.py": "",
        "test_helper.py": "def check_it():\n    assert False\n",
        "test_held.py": "class TestIt:\n    at = 1\n",
        "test_some.py": "def test_it():\n    assert True\n",
        "test_late.py": SLOW,
        "test_not_here.py": SKIPPED,
    }.items():
        (folder / name).write_text(text)
    ran = CliRunner().invoke(app, ["test", "spark", "--json"])
    assert (ran.exit_code, json.loads(ran.stdout)["passed"]) == (1, False)
    (named,) = re.findall(r"ERROR: (.*): no test in it", capfd.readouterr().err)
    assert [Path(each).name for each in named.split(", ")] == [
        "test_held.py",
        "test_helper.py",
        "test_patched.py",
    ]
    assert folder / "test_patched.py" in saved(here, layer)


def test_all_wanted_tests_a_layer_are_run_when_asked_for(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[list[str]] = []
    monkeypatch.setattr(command, "_pytest", lambda _, files: asked_for.append(files) or 0)
    mark_passed(here, layer_named(here, "infra"), began=9e9)
    assert CliRunner().invoke(app, ["test", "infra", "--all"]).exit_code == 0
    assert asked_for == [["tests/infra/test_one.py", "tests/infra/test_two.py"]]
