"""Reading a DAG folder: what is reported of files, where it points, what it leaves behind."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from feira_wiring.linting import lint
from feira_wiring.places import dag_line
from feira_wiring.reading import read_folders
from feira_wiring.report import FolderUnreadable, Report
from python_calls import calls

WIRING = Path(__file__).parent / "folders"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FolderUnreadable, match=r"/dagz does not exist"):
        read_folders([tmp_path / "dagz"])


def test_a_folder_without_a_dag_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.py").write_text("# no dag of airflow\n")
    with pytest.raises(FolderUnreadable, match="contains no DAG"):
        read_folders([tmp_path])


def test_one_file_is_a_folder_of_one() -> None:
    wiring = read_folders([WIRING / "cycle" / "broken" / "dags.py"])
    assert wiring.dag_ids == ("refresh_prices", "refresh_stock")


def test_a_file_that_cannot_be_imported_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text((WIRING / "no-listener" / "broken" / "dags.py").read_text())
    (tmp_path / "bad.py").write_text("from airflow.sdk import dog\n# a dag\n")
    by_rule = {each.rule: each for each in lint(tmp_path).findings}
    assert set(by_rule) == {"import-error", "no-listener"}
    failed = by_rule["import-error"]
    assert failed.level == "warning"
    assert [str(each) for each in failed.places] == [f"{tmp_path}/bad.py:1"]
    assert "cannot import name 'dog'" in failed.problem


def test_two_dags_of_one_name_are_named_with_both_files(tmp_path: Path) -> None:
    text = (WIRING / "no-listener" / "terminal" / "dags.py").read_text()
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(text)
    (one,) = lint(tmp_path).findings
    assert (one.rule, one.level) == ("duplicate-dag", "error")
    assert all(each in one.problem for each in ("load_orders", "/a.py", "/b.py"))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.py").rename(tmp_path / name / "dags.py")
    (one,) = lint([tmp_path / "a", tmp_path / "b"]).findings
    assert one.rule == "duplicate-dag"
    assert all(each in one.problem for each in ("load_orders", "/a/dags.py"))
    assert one.places[0].file == f"{tmp_path}/b/dags.py"


def test_dag_files_may_import_what_lies_beside_them_and_leave_nothing_behind(
    tmp_path: Path,
) -> None:
    for name, asset in (("one", "a"), ("two", "b")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "beside.py").write_text(f"NAME = {asset!r}\n")
        (folder / "dags.py").write_text(
            "from airflow.sdk import Asset, DAG\nfrom beside import NAME\n"
            "with DAG('report', schedule=Asset(NAME)):\n    pass\n"
        )
    assert [each.name for each in read_folders([tmp_path / "one"]).assets] == ["a"]
    assert [each.name for each in read_folders([tmp_path / "two"]).assets] == ["b"]
    assert "beside" not in sys.modules
    assert not [each for each in sys.path if each.startswith(str(tmp_path))]


def test_each_of_several_folders_imports_what_lies_beside_its_own_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "beside.py").write_text(f"NAME = 'of_{name}'\n")
        (tmp_path / name / f"dags_{name}.py").write_text(
            "from airflow.sdk import Asset, DAG\nfrom beside import NAME\n"
            f"D = DAG({name!r}, schedule=Asset(NAME))\n"
        )
    folders = [tmp_path / "one", tmp_path / "two"]
    heard = {each.dag_id: str(*each.assets) for each in read_folders(folders).listeners}
    assert heard == {"one": "of_one", "two": "of_two"}


def test_a_place_is_named_as_its_folder_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "dags.py").write_text(
        "from airflow.sdk import DAG, Asset\nD = DAG('hear', schedule=Asset('orders'))\n"
    )
    (tmp_path / "two").symlink_to(tmp_path / "one")
    monkeypatch.chdir(tmp_path)
    for folder, named in (
        (Path("one"), "one/dags.py:2"),
        (Path("two"), "two/dags.py:2"),
        (Path("one/dags.py"), "one/dags.py:2"),
        (tmp_path / "one", f"{tmp_path}/one/dags.py:2"),
    ):
        (one,) = lint(folder).findings
        assert [str(each) for each in one.places] == [named]


def test_a_link_that_leads_back_cannot_be_listed(tmp_path: Path) -> None:
    (tmp_path / "dags.py").write_text("from airflow.sdk import DAG\nD = DAG('d', schedule=None)\n")
    (tmp_path / "again").symlink_to(tmp_path)
    with pytest.raises(FolderUnreadable, match=f"{tmp_path}.*recursive.*link"):
        read_folders([tmp_path])


def test_a_dag_file_that_removes_modules_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "# airflow dag\nimport sys\n"
        "for name in [each for each in sys.modules if each.startswith(('json', 'feira_airflow'))]:\n"
        "    del sys.modules[name]\n"
    )
    (tmp_path / "b.py").write_text("from airflow.sdk import DAG\nD = DAG('d', schedule=None)\n")
    before = sys.modules["feira_wiring.model"]
    assert lint(tmp_path).dags == 1
    assert sys.modules["feira_wiring.model"] is before


def test_what_a_dag_file_prints_does_not_come_between_the_findings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dags.py").write_text(
        "from airflow.sdk import DAG\nprint('loading')\nwith DAG('quiet', schedule=None):\n    pass\n"
    )
    read_folders([tmp_path])
    assert "loading" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            # A decorated function and a decorated task.
            "from airflow.sdk import Asset, dag, task\n"
            "@dag(schedule=None)\ndef load():\n"
            "    @task(outlets=[Asset('a')])\n    def emit(): ...\n    emit()\nload()\n",
            {"load.emit": 4},
        ),
        (
            # A name that is not the function's; an operator in a group; two DAGs with a same task.
            "from airflow.providers.standard.operators.empty import EmptyOperator\n"
            "from airflow.sdk import DAG, Asset, TaskGroup, dag, task\n"
            "with DAG('web', schedule=None):\n    with TaskGroup('all'):\n"
            "        EmptyOperator(task_id='emit', outlets=[Asset('a')])\n"
            "@dag(dag_id='shop', schedule=None)\ndef load():\n"
            "    EmptyOperator(task_id='emit', outlets=[Asset('b')])\nload()\n",
            {"web.all.emit": 5, "shop.emit": 8},
        ),
        (
            # A function that is defined elsewhere, named where it is made a task.
            "import json\nfrom airflow.sdk import Asset, dag, task\n"
            "@dag(schedule=None)\ndef load():\n"
            "    task(outlets=[Asset('a')])(json.dumps)('x')\nload()\n",
            {"load.dumps": 5},
        ),
    ],
)
def test_a_task_is_found_where_it_is_written(
    tmp_path: Path, text: str, lines: dict[str, int]
) -> None:
    (tmp_path / "dags.py").write_text(text)
    wiring = read_folders([tmp_path])
    assert {str(each): each.place.line for each in wiring.emitters if each.place} == lines


def test_lines_of_many_dags_in_one_file_are_found_in_one_walk(tmp_path: Path) -> None:
    text = "from airflow.sdk import DAG, Asset, task\n" + "".join(
        f"with DAG('d{n}', schedule=None):\n    task(task_id='t', outlets=[Asset('a{n}')])(lambda: 0)()\n"
        for n in range(300)
    )
    (tmp_path / "dags.py").write_text(text)
    wiring = read_folders([tmp_path])
    assert [
        each.place.line for each in wiring.emitters if each.dag_id == "d299" and each.place
    ] == [601]
    dag_line(tmp_path / "dags.py", "d0")
    lines: list[int | None] = []
    made = calls(lambda: lines.extend(dag_line(tmp_path / "dags.py", f"d{n}") for n in range(300)))
    assert lines == [2 * n + 2 for n in range(300)]
    assert made < 300 * 100


def test_a_dag_that_is_generated_has_a_file_and_no_line(tmp_path: Path) -> None:
    (tmp_path / "dags.py").write_text(
        "from airflow.sdk import DAG, Asset\n"
        "for region in ('eu', 'us'):\n"
        "    globals()[region] = DAG(f'report_{region}', schedule=Asset('orders'))\n"
    )
    places = [each.place for each in read_folders([tmp_path]).listeners]
    assert [(place.file, place.line) for place in places if place] == [
        (str(tmp_path / "dags.py"), None)
    ] * 2


def test_each_dag_of_a_file_that_airflow_cannot_store_is_reported(tmp_path: Path) -> None:
    (tmp_path / "dags.py").write_text(
        "from airflow.sdk import DAG\n"
        "from airflow.timetables.base import Timetable\n"
        "class Unregistered(Timetable):\n    pass\n"
        "for name in ('one', 'two'):\n"
        "    globals()[name] = DAG(name, schedule=Unregistered())\n"
    )
    errors = [each.error for each in read_folders([tmp_path]).failures]
    assert [each.partition(":")[0] for each in errors] == ["one", "two"]


def test_a_folder_that_is_named_twice_or_lies_in_another_is_read_once(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "dags.py").write_text((WIRING / "no-listener" / "broken" / "dags.py").read_text())
    for folders in ([inner, inner], [tmp_path, inner], [inner, tmp_path]):
        report = lint(folders)
        assert (report.dags, [each.rule for each in report.findings]) == (1, ["no-listener"])


def test_assets_meet_across_folders(tmp_path: Path) -> None:
    for name, text in (
        ("one", "@asset(schedule=None)\ndef orders(): ...\n"),
        ("two", "D = DAG('hear', schedule=Asset('orders'))\n"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dags.py").write_text(
            f"from airflow.sdk import DAG, Asset, asset\n{text}"
        )
    one, two = tmp_path / "one", tmp_path / "two"
    assert [each.rule for each in lint(one).findings] == ["no-listener"]
    assert [each.rule for each in lint(two).findings] == ["no-emitter"]
    assert lint([one, two]).findings == ()


def test_four_times_the_dags_take_four_times_the_calls(tmp_path: Path) -> None:
    """One chain, in which keys travel through every DAG: the search for them was cubic."""
    few, many = (_calls_for_a_chain(tmp_path / str(length), length) for length in (40, 160))
    assert 3 * few < many < 4.5 * few


def _calls_for_a_chain(folder: Path, length: int) -> int:
    folder.mkdir()
    head = (
        "from airflow.sdk import *\nfrom airflow.sdk import DAG, Asset, task\n"
        "def dag(n, schedule):\n    with DAG(f'd{n}', schedule=schedule):\n"
        "        task(task_id='t', outlets=[Asset(f'a{n}')])(lambda: None)()\n"
    )
    clock = "dag(0, CronPartitionTimetable('0 0 * * *', timezone='UTC'))\n"
    for n in range(length):
        keyed = f"dag({n}, PartitionedAssetTimetable(assets=Asset('a{n - 1}')))\n"
        (folder / f"dag_{n}.py").write_text(head + (keyed if n else clock))
    reports: list[Report] = []
    made = calls(lambda: reports.append(lint(folder)))
    (report,) = reports
    assert (report.dags, [each.rule for each in report.findings]) == (length, ["no-listener"])
    return made


def test_each_dag_file_finds_the_process_as_the_first_one_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_changes.py").write_text(
        "# airflow dag\nimport os, sys\nos.chdir('/')\nos.environ['LEFT'] = '1'\nsys.path.clear()\n"
    )
    (tmp_path / "b_looks.py").write_text(
        "# airflow dag\nimport os, sys\n"
        f"assert os.getcwd() == {str(tmp_path)!r}\nassert 'LEFT' not in os.environ\nassert sys.path\n"
        "from airflow.sdk import DAG\nD = DAG('looks', schedule=None)\n"
    )
    report = lint(tmp_path)
    assert (report.dags, report.findings) == (1, ())


@pytest.mark.parametrize(
    ("text", "rule", "cause"),
    [
        ("raise KeyboardInterrupt", "ends-process", "KeyboardInterrupt"),
        ("import sys\nsys.exit(3)", "ends-process", "SystemExit: 3"),
        ("raise TypeError('x')", "import-error", "TypeError: x"),
        ("raise ValueError('SystemExit')", "import-error", "ValueError: SystemExit"),
        ("raise __import__('airflow').sdk.exceptions.AirflowTaskTimeout('late')", "import-hangs", "late"),
        ("raise ValueError('x' * 500)", "import-error", "x" * 388 + " …"),
        ("raise ValueError('x' * 388)", "import-error", "x" * 388),
    ],
)  # fmt: skip
def test_how_a_file_fails_decides_the_rule(
    tmp_path: Path, text: str, rule: str, cause: str
) -> None:
    (tmp_path / "dags.py").write_text(f"# airflow dag\nimport airflow.sdk.exceptions\n{text}\n")
    (one,) = lint(tmp_path).findings
    assert (one.rule, one.problem.endswith(cause)) == (rule, True), one.problem


def test_a_file_that_was_lost_before_is_not_loaded_again(tmp_path: Path) -> None:
    file = tmp_path / "dags.py"
    file.write_text(f"# airflow dag\nopen({str(tmp_path / 'loaded')!r}, 'w')\n")
    started: list[str] = []
    (one,) = lint(
        tmp_path, lost={str(file): ("hung", "no end after 2 s")}, started=started.append
    ).findings
    assert (one.rule, one.problem.endswith("no end after 2 s")) == ("import-hangs", True)
    assert (started, (tmp_path / "loaded").exists()) == ([""], False)


ODD = """
from airflow.sdk import DAG, Asset, BaseOperator, task

class Odd(BaseOperator):
    @property
    def only_watches(self):
        raise RuntimeError("not while it is parsed")
    def execute(self, context): ...

with DAG("odd", schedule=[Asset("a")]):
    Odd(task_id="t", outlets=[Asset("b")])
"""


def test_a_dag_that_cannot_be_read_is_named_and_the_others_are_linted(tmp_path: Path) -> None:
    """Nothing of it counts as read: that it emits may be, and its schedule is not judged."""
    (tmp_path / "odd.py").write_text(ODD)
    (tmp_path / "dags.py").write_text(
        "from airflow.sdk import DAG, Asset\nD = DAG('hear', schedule=Asset('b'))\n"
    )
    report = lint(tmp_path)
    assert [(each.rule, each.level, each.asset) for each in report.findings] == [
        ("unread-dag", "warning", None),
        ("no-emitter", "note", "b"),
    ]
    unread, no_emitter = report.findings
    assert (report.dags, unread.dags) == (2, ("odd",))
    assert "odd: RuntimeError: not while it is parsed" in unread.problem
    assert [each.file for each in unread.places] == [f"{tmp_path}/odd.py"]
    assert f"{tmp_path}/odd.py could not be read in full" in no_emitter.problem
