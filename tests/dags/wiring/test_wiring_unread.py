"""What is read of a DAG file that does not import, and what nobody can tell because of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from feira_wiring.linting import lint
from feira_wiring.loading import cause_of
from feira_wiring.model import AssetId, Named
from feira_wiring.report import Finding
from feira_wiring.syntax import tree_of
from feira_wiring.unread import unread

HEAD = "from airflow.sdk import DAG, Asset, AssetAlias, asset, dag, task\nimport missing_package\n"
OPERATOR = "from airflow.providers.standard.operators.bash import BashOperator as B\n"
LISTENS = (
    "from airflow.sdk import DAG, Asset\nwith DAG('hear', schedule=[Asset('orders')]):\n    pass\n"
)
EMITS = (
    "from airflow.sdk import DAG, Asset, task\nwith DAG('load', schedule=None):\n"
    "    task(task_id='t', outlets=[Asset('orders')])(lambda: None)()\n"
)
ORDERS = AssetId("orders", "orders")


def found(tmp_path: Path, unimportable: str, other: str) -> dict[str, Finding]:
    (tmp_path / "dags_bad.py").write_text(unimportable)
    (tmp_path / "dags_good.py").write_text(other)
    return {each.rule: each for each in lint(tmp_path).findings}


@pytest.mark.parametrize(
    "emitter",
    [
        HEAD + OPERATOR + "B(task_id='t', outlets=[Asset('orders')])",
        "from airflow.datasets import Dataset\n# dag\n" + OPERATOR + "B(outlets=[Dataset('orders')])",
        "import airflow.datasets as d\n# dag\nX = {'outlets': d.Dataset('orders')}",
        HEAD + "A = Asset('orders')\n@task(outlets=A)\ndef t(): ...",
        HEAD + "import airflow.sdk\ntask(outlets=airflow.sdk.Asset('orders'))",
        HEAD + "import airflow.sdk as s\ntask(outlets=[s.Asset(uri='orders')])",
        HEAD + "t = task(lambda: 1)()\nt.operator.outlets.append(Asset('orders'))",
        HEAD + "t = task(lambda: 1)()\nt.operator.outlets = [Asset('x'), Asset('orders')]",
        HEAD + "A, B = Asset('x'), Asset('orders')\ntask(outlets=[B])",
        HEAD + "A = {'x': Asset('orders')}\ntask(outlets=[A['x']])",
        HEAD + "OUT = [Asset(n) for n in ('a', 'orders')]\ntask(outlets=OUT)",
        HEAD + "task(outlets=Asset('x') if missing_package else Asset('orders'))",
        HEAD + "task(outlets=[*[Asset('orders')]])",
        HEAD + "task(outlets=list((Asset('orders'),)))",
        HEAD + "task(outlets=[Asset.ref(name='orders')])",
        HEAD + "task(outlets=Asset('orders') if missing_package else Asset('x'))",
        HEAD + "task(outlets=Asset('x') or Asset('orders'))",
        HEAD + "task(outlets=Asset('orders') | Asset('x'))",
        HEAD + "task(outlets=[Asset('orders%s' % '')])",
        HEAD + "OUT = Asset('x')\nfor OUT in (Asset('orders'),):\n    task(outlets=[OUT])",
        "from airflow.sdk import *\nimport missing_package\n@asset(schedule=None)\ndef orders(): ...",
        "from airflow.datasets import *\n# dag\ntask(outlets=DatasetAll(Dataset('x'), Dataset('orders')))",
        HEAD + "task(outlets=Asset('x') | Asset('orders'))",
        HEAD + "OPTIONS = {'outlets': [Asset('orders')]}\ntask(**OPTIONS)",
        HEAD + "def more():\n    return {}\nX = task(task_id='t', **more())",
        HEAD + "task(outlets=[Asset('ord' + 'ers')])",
        HEAD + "PRE = 'ord'\ntask(outlets=[Asset(f'{PRE}ers')])",
        HEAD + "setattr(missing_package, 'outlets', [])",
        HEAD + "task(outlets=sorted([Asset('x')], key=len) @ Asset)",
        HEAD + "task(outlets=not Asset)",
        HEAD + "task(outlets=lambda: [Asset('x')])",
        HEAD + "@missing_package.emits\ndef f(): ...",
        HEAD + "NAME = 'orders'\nLIST = [Asset(NAME)]\n@task(outlets=LIST)\ndef t(): ...",
        HEAD + "@asset(schedule=None)\ndef orders(): ...",
        HEAD + "@asset(schedule=None, name='orders')\ndef other(): ...",
        HEAD + "for n in ('a', 'b'):\n    task(outlets=[Asset(n)])",
        HEAD + "task(outlets=[Asset(f'ord{missing_package.X}')])",
        HEAD + "task(outlets=[AssetAlias('any')])",
        HEAD + "task(outlets=missing_package.OUTLETS)",
        HEAD + "def make(out):\n    return task(outlets=out)",
        HEAD + OPERATOR + "class Own(B):\n    def __init__(self):\n        self.outlets = [Asset('orders')]",
        HEAD + "with DAG('d'):\n    missing_package.Operator(task_id='sets its own outlets')",
        HEAD + "def make():\n    return missing_package.Operator(task_id='is called elsewhere')",
        HEAD + "d = missing_package.make_dag()",
        HEAD + "from airflow.sdk import AssetWatcher\nA = Asset('orders', watchers=[AssetWatcher()])",
        "import airflow, dag  # no Python:\ndef (:",
        HEAD + "t = task(lambda: 1)()\nt.operator.outlets: list = [Asset('orders')]",
        HEAD + "t = task(lambda: 1)()\nt.operator.outlets += [Asset('orders')]",
        HEAD + "t = task(lambda: 1)()\nt.operator.outlets.extend([Asset('orders')])",
        HEAD + "t = task(lambda: 1)()\nt.operator.outlets.add(Asset('orders'))",
        HEAD + "def more(): return {}\nOPTIONS = {}\nOPTIONS = more()\nX = task(task_id='t', **OPTIONS)",
        HEAD + "class Own: ...\nOwn(**dict(x=1))",
        HEAD + "@asset(**dict(x=1))\ndef x(): ...",
        HEAD + "@asset\ndef orders(): ...",
        HEAD + "@asset(schedule=None, uri='orders')\ndef x(): ...",
        HEAD + "@asset(schedule=None)\ndef orders(): ...\n",
        HEAD + "OUT = [1]\nOUT = [OUT]\ntask(outlets=OUT)",
        HEAD + "task(outlets={Asset('orders')})",
        HEAD + "OUT = {n: Asset('orders') for n in 'a'}\ntask(outlets=OUT['a'])",
        HEAD + "task(outlets=(out := [Asset('orders')]))",
        HEAD + "task(outlets={Asset(n) for n in 'ab'})",
        HEAD + "task(outlets=[Asset()])",
        HEAD + "task(outlets=[Asset(**{})])",
        HEAD + "task(outlets=[Asset('x', 'orders')])",
        HEAD + "task(outlets=[Asset('x', uri='orders')])",
        HEAD + "task(outlets=AssetAny(Asset('x'), Asset('orders')))",
        HEAD + "task(outlets=tuple([Asset('orders')]))",
        HEAD + "def make(): return []\ntask(outlets=make())",
        HEAD + "def make(): return []\ntask(outlets=[make])",
        HEAD + "task(outlets=[UNKNOWN])",
        HEAD + "for each in [Asset('x')]:\n    task(outlets=[each])",
        HEAD + "N = 'x'\nN = 'y'\ntask(outlets=[Asset(N)])",
        HEAD + "N = 'x'\ndef make(N):\n    return task(outlets=[Asset(N)])",
        HEAD + "task(outlets=[Asset('orders/')])",
        HEAD + "task(outlets=[Asset('ORDERS')])",
        HEAD + "task(outlets=[Asset(f'{1:>3}')])",
        HEAD + "X = Y = Asset('orders')\ntask(outlets=[Y])",
        HEAD + "L = [Asset('x')]\nL += [Asset('orders')]\ntask(outlets=L)",
        HEAD + "def make(): return 1, 2\nA, B = make()\ntask(outlets=[B])",
        HEAD + "[A, B] = Asset('x'), Asset('orders')\ntask(outlets=[B])",
        HEAD + "def make(): return 1, 2\nB = Asset('x')\nA, B = make()\ntask(outlets=[B])",
        HEAD + "def make(): return 1, 2\nN = 'x'\nM, [N] = make()\ntask(outlets=[Asset(N)])",
        HEAD + "x = [missing_package.a().b]",
    ],
)  # fmt: skip
def test_what_an_unimportable_file_may_emit_is_not_missing(tmp_path: Path, emitter: str) -> None:
    by_rule = found(tmp_path, emitter, LISTENS)
    assert by_rule["no-emitter"].level == "note"
    assert "Cannot tell" in by_rule["no-emitter"].problem
    assert "dags_bad.py did not import, and may emit orders" in by_rule["no-emitter"].problem
    assert by_rule["no-emitter"].step.startswith("Fix what does not import")
    assert str(by_rule["no-emitter"].places[-1]) == f"{tmp_path}/dags_bad.py"
    assert by_rule["import-error"].level == "warning"


@pytest.mark.parametrize(
    "other",
    [
        HEAD + OPERATOR + "B(task_id='t', outlets=[Asset('rates')])",
        HEAD + "task(outlets=[Asset(f'rates_{missing_package.X}')])",
        HEAD + "task(outlets=[Asset('order'), Asset('orders_eu')])",
        HEAD + "A, B = Asset('x'), Asset('orders')\ntask(outlets=[A])",
        HEAD + "PRE = 'rat'\ntask(outlets=[Asset(f'{PRE}es')])",
        HEAD + "PRE = 'old_'\ntask(outlets=[Asset(f'{PRE}orders')])",
        HEAD + "OPTIONS = {'outlets': [Asset('rates')]}\ntask(**OPTIONS)",
        HEAD + "t = task(lambda: 1)()\nt.operator.inlets.append(Asset('orders'))",
        HEAD + "@asset(schedule=None, name='rates', uri='s3://b/rates')\ndef orders(): ...",
        HEAD + "@asset(schedule=Asset('orders'))\ndef rates(): ...",
        HEAD + "@asset\ndef rates(): ...\ntask(outlets=[rates])",
        HEAD + "with DAG('d', schedule='@daily'):\n    B = Asset('orders')  # only named",
        HEAD
        + "import pendulum\nimport pandas as pd\nDAG('d', start_date=pendulum.datetime(1, 1, 1))\npd.f()",
        HEAD + "with DAG('d', schedule=[Asset('orders')]):\n    pass",
        HEAD + "def later():\n    missing_package.thing()",
        HEAD + "LATER = lambda: missing_package.thing()",
        HEAD + "async def later():\n    missing_package.thing()",
        HEAD + "A = Asset('orders', extra={})",
        HEAD + "t = task(lambda: 1)()\nt.operator.outlets.remove(Asset('orders'))",
        HEAD + "t = task(lambda: 1)()\nt.operator.inlets += [Asset('orders')]",
        HEAD + "setattr('x', 'y')",
        HEAD + "print(**dict(x=1))",
        HEAD + "DAG('d', **dict(x=1))",
        HEAD + "task(outlets=None)\ntask(outlets='orders')",
        HEAD + "task(outlets=[Asset('x', 'y', 'orders')])",
        HEAD + "task(outlets=[Asset('x', group='orders')])",
        HEAD + "X: object = Asset('rates')\ntask(outlets=[X])",
        HEAD + "task(inlets=[X := Asset('orders')])\ntask(outlets=[Y := Asset('rates')])",
        HEAD + "L = []\nL += [Asset('rates')]\ntask(outlets=L)",
        HEAD + "def f(): ...\nf()",
        HEAD + "import os\nos.getenv('x')\nimport os.path\nos.path.join('x')",
        HEAD + "@task\ndef f(): ...\nf()",
        HEAD
        + "OPTIONS: dict = {}\nOPTIONS = {'outlets': [Asset('rates')]}\ntask(task_id='t', **OPTIONS)",
        HEAD + "task(outlets=[Asset('x')] + [Asset('y')])",
        HEAD + "task(task_id='t', outlets=AssetAll(Asset('x'), Asset('y')))",
        HEAD + "task(outlets=[Asset.ref(uri='rates')])",
        HEAD + "task(outlets=[Asset.ref(name='rates')])",
        HEAD + "task(outlets=[Asset(name='rates')])",
        HEAD + "import json\ntask(outlets=[json.loads('x').sdk.Asset('rates')])",
        HEAD + "X = Asset(**dict(name='x'))\nY = AssetAlias(**dict(name='y'))",
        HEAD + "from pandas import asset\n@asset\ndef orders(): ...",
        *(
            HEAD + f"task(outlets={kind}([Asset('rates')]))"
            for kind in ("list", "tuple", "set", "sorted")
        ),
        HEAD + "A = {'orders': Asset('x')}\ntask(outlets=[A['orders']])",
    ],
)
def test_what_an_unimportable_file_cannot_emit_is_still_an_error(
    tmp_path: Path, other: str
) -> None:
    assert found(tmp_path, other, LISTENS)["no-emitter"].level == "error"


@pytest.mark.parametrize(
    "listener",
    [
        "DAG('d', schedule=[Asset('orders')])",
        "DAG('d', schedule=Asset('orders') & Asset('x'))",
        "@dag(schedule=[Asset('orders')])\ndef d(): ...",
        "task(inlets=[Asset('orders')])",
        "DAG('d', **missing_package.options)",
        "DAG('d', schedule=missing_package.schedule())",
        "DAG('d', 'text', [Asset('orders')])",
        "D = dict(schedule_interval=[Asset('orders')])",
        "t = task(lambda: 1)()\nt.operator.inlets.append(Asset('orders'))",
        "t = task(lambda: 1)()\nt.operator.inlets = [Asset('orders')]",
        "@missing_package.makes_a_dag\ndef f(): ...",
        "@dag(**missing_package.options)\ndef f(): ...",
        "def make(): return None\nDAG('d', schedule=make())",
        "@asset(schedule=Asset('orders'))\ndef x(): ...",
        "OPTIONS = {'schedule': [Asset('orders')]}\nDAG('d', **OPTIONS)",
        "missing_package.make()",
        "def (:",
        "DAG('d', schedule=[Asset('x'), Asset('orders')])",
        "from airflow.sdk import AssetOrTimeSchedule as T\nDAG('d', timetable=T(assets=[Asset('orders')]))",
        "from airflow.timetables.datasets import DatasetOrTimeSchedule as T\n"
        "DAG('d', timetable=T(datasets=[Asset('orders')]))",
        "from airflow.sdk import *\nDAG('d', schedule=PartitionedAssetTimetable(assets=Asset('orders')))",
        "from airflow.sdk import PartitionedAssetTimetable as T\nDAG('d', schedule=T(assets=Asset('orders')))",
    ],
)
def test_what_an_unimportable_file_may_hear_is_not_unheard(tmp_path: Path, listener: str) -> None:
    unheard = found(tmp_path, HEAD + listener, EMITS)["no-listener"]
    assert unheard.level == "note"
    assert "dags_bad.py did not import, and may listen to orders" in unheard.problem


@pytest.mark.parametrize(
    "other",
    [
        "DAG('d', schedule=[Asset('rates')])",
        "DAG('d', [Asset('orders')])",
        "DAG('d', 'text', [Asset('rates')])",
        "OPTIONS = {'schedule': [Asset('rates')]}\nDAG('d', **OPTIONS)",
        "task(outlets=[Asset('orders')])",
        "from airflow.sdk import CronTriggerTimetable as C\nDAG('d', schedule=C('* * * * *', timezone='UTC'))",
        "import datetime\nDAG('d', schedule=datetime.timedelta(days=1))",
        "from dateutil.relativedelta import relativedelta\nDAG('d', schedule=relativedelta(days=1))",
        "import pendulum\nDAG('d', schedule=pendulum.duration(days=1))",
        "DAG('d', schedule=None)",
        "def f():\n    missing_package.g(task_id='t')",
        "print(inlet=[Asset('orders')])",
        "@asset(schedule=None)\ndef orders(): ...",
    ],
)
def test_what_an_unimportable_file_cannot_hear_is_unheard(tmp_path: Path, other: str) -> None:
    assert found(tmp_path, HEAD + other, EMITS)["no-listener"].level == "warning"


def test_an_alias_is_read_as_one_and_leaves_open_what_it_becomes(tmp_path: Path) -> None:
    file = tmp_path / "dags.py"
    file.write_text(HEAD + "task(outlets=[AssetAlias('any')])")
    read = unread(file, "dags.py", [tmp_path])
    assert (read.emits, read.emits_any) == ((Named("any", alias=True),), True)


def test_assets_of_a_module_beside_the_file_are_read_there(tmp_path: Path) -> None:
    (tmp_path / "assets.py").write_text(
        "from airflow.sdk import Asset\nBASE = 'ord'\nORDERS = Asset(BASE + 'ers')\n"
    )
    for text in ("from assets import ORDERS as X\n", "import assets\nX = assets.ORDERS\n"):
        file = tmp_path / "dags.py"
        file.write_text(f"{HEAD}{text}task(outlets=[X])")
        read = unread(file, "dags.py", [tmp_path])
        assert read.may_emit(ORDERS)
        assert not read.may_emit(AssetId("rates", "rates")), text


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("pkg/assets.py", "from .names import NAME"),
        ("pkg/sub/assets.py", "from ..names import NAME"),
        ("pkg/sub/deep/assets.py", "from ...names import NAME"),
    ],
)
def test_relative_imports_of_a_package_beside_the_file_are_followed(
    tmp_path: Path, path: str, line: str
) -> None:
    for folder in ("pkg", "pkg/sub", "pkg/sub/deep"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    (tmp_path / "pkg" / "names.py").write_text("NAME = 'orders'\n")
    (tmp_path / path).write_text(f"from airflow.sdk import Asset\n{line}\nX = Asset(NAME)\n")
    module = path.removesuffix(".py").replace("/", ".")
    (tmp_path / "dags.py").write_text(f"{HEAD}from {module} import X\ntask(outlets=[X])")
    read = unread(tmp_path / "dags.py", "dags.py", [tmp_path])
    assert read.may_emit(ORDERS)
    assert not read.may_emit(AssetId("rates", "rates"))


def test_a_name_is_followed_through_many_modules_and_not_for_ever(tmp_path: Path) -> None:
    """Each beside the file that imports it, in a folder below those that are named."""
    below = tmp_path / "below"
    below.mkdir()
    for n in range(15):
        (below / f"m{n}.py").write_text(f"from m{n + 1} import NAME, X\n")
    (below / "m15.py").write_text(f"{HEAD}NAME = 'orders'\nX = Asset(NAME)\n")
    for text in (
        "from m0 import NAME\ntask(outlets=[Asset(NAME)])",
        "from m0 import X\ntask(outlets=[X])",
    ):
        (below / "dags.py").write_text(HEAD + text)
        read = unread(below / "dags.py", "dags.py", [tmp_path])
        assert [read.may_emit(each) for each in (ORDERS, AssetId("rates"))] == [True, False], text
    (below / "m15.py").write_text("from m0 import NAME, X\n")
    read = unread(below / "dags.py", "dags.py", [tmp_path])
    assert read.emits_any
    (below / "dags.py").write_text(f"{HEAD}from m0 import NAME\ntask(outlets=[Asset(NAME)])")
    assert unread(below / "dags.py", "dags.py", [tmp_path]).emits == (Named(".*"),)


def test_modules_beside_the_file_are_read_as_far_as_they_import_one_another(tmp_path: Path) -> None:
    """Also in a circle, and where one cannot be parsed: then anything may be in it."""
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("from pkg.deep import D\nimport one\n")
    (tmp_path / "pkg" / "deep.py").write_text(HEAD + "D = DAG('d', schedule=[Asset('orders')])\n")
    (tmp_path / "one.py").write_text("import pkg\n")
    (tmp_path / "dags.py").write_text("import one\n")
    (tmp_path / "other.py").write_text("import json, pandas\n")
    read = unread(tmp_path / "dags.py", "dags.py", [tmp_path])
    assert (read.may_hear(ORDERS), read.hears_any, read.emits_any) == (True, False, False)
    assert not unread(tmp_path / "other.py", "other.py", [tmp_path]).may_hear(ORDERS)
    (tmp_path / "pkg" / "deep.py").write_text("def (:")
    (tmp_path / "dags.py").write_text(HEAD + "from pkg import deep as d\nd.make()\n")
    assert unread(tmp_path / "dags.py", "dags.py", [tmp_path]).emits_any


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("X = 'ord'\ntask(outlets=[Asset(f'{X!r}ers')])", "'ord'ers"),
        ("task(outlets=[Asset('orders/' + 'x')])", "orders/x"),
        ("task(outlets=[Asset('a.c')])", "a.c"),
        ("task(outlets=[Asset('/')])", "/"),
        ("task(outlets=[Asset('s3://b/x/')])", "s3://b/x"),
        ("task(outlets=[Asset(f's3://b/{1}/x')])", "s3://b/\n/x"),
    ],
)
def test_a_name_is_read_as_python_would_make_it(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / "dags.py").write_text(HEAD + text)
    read = unread(tmp_path / "dags.py", "dags.py", [tmp_path])
    assert (read.may_emit(AssetId(name, name)), read.emits_any) == (True, False)
    assert not read.may_emit(AssetId("abc", "abc"))
    assert not read.may_emit(AssetId(name, name, kind="alias"))


@pytest.mark.parametrize("listed", ["s3://lake/orders", "s3://lake/orders/"])
@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize(
    "text",
    [
        "task(outlets=[Asset('s3://lake/orders' + 'END')])",
        "BASE = 's3://lake/'\ntask(outlets=[Asset(BASE + 'ordersEND')])",
        "BASE = 's3://lake/'\ntask(outlets=[Asset(f'{BASE}ordersEND')])",
        "BASE = 's3://lake'\ntask(outlets=[Asset(f'{BASE}/{missing_package.TABLE}END')])",
        "task(outlets=[Asset('orders', uri='s3://lake/ordersEND')])",
    ],
)
def test_a_slash_at_the_end_of_a_uri_makes_no_other_asset(
    tmp_path: Path, text: str, end: str, listed: str
) -> None:
    (tmp_path / "dags.py").write_text(HEAD + text.replace("END", end))
    read = unread(tmp_path / "dags.py", "dags.py", [tmp_path])
    assert read.may_emit(AssetId(listed, listed.rstrip("/")))
    assert not read.may_emit(AssetId("s3://lakeorders", "s3://lakeorders"))


@pytest.mark.parametrize(
    "text",
    [
        b"x = (",
        b"x = '\0'",
        b"x = '\xff'",
        b"# coding: nope\n",
        b"x = a" + b".b" * 20_000,
        b"-" * 100_000,
    ],
    ids=range(6),
)
def test_a_file_that_python_cannot_parse_has_no_tree(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "dags.py").write_bytes(text)
    assert tree_of(tmp_path / "dags.py") is None
    assert tree_of(tmp_path) is None


def test_a_relative_import_from_outside_the_folders_is_not_looked_for(tmp_path: Path) -> None:
    dots = "." * (len(tmp_path.parents) + 3)
    (tmp_path / "dags.py").write_text(f"{HEAD}from {dots}names import X\ntask(outlets=[X])")
    assert unread(tmp_path / "dags.py", "dags.py", [tmp_path]).emits_any


def test_the_cause_is_named_with_the_line_of_the_users_file(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("\n\nimport not_there_at_all\n")
    (tmp_path / "dags.py").write_text("# airflow dag\nimport own\n")
    (one,) = lint(tmp_path).findings
    assert "ModuleNotFoundError: No module named 'not_there_at_all'" in one.problem
    assert [str(each) for each in one.places] == [f"{tmp_path}/own.py:3", f"{tmp_path}/dags.py"]


def test_a_syntax_error_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "dags.py").write_text("# airflow dag\nx = (\n")
    (one,) = lint(tmp_path).findings
    assert "SyntaxError: '(' was never closed" in one.problem
    assert str(one.places[0]) == f"{tmp_path}/dags.py:2"


def test_an_executor_that_is_not_configured_here_is_the_cause(tmp_path: Path) -> None:
    text = EMITS.replace("outlets", "executor='KubernetesExecutor', outlets")
    by_rule = found(tmp_path, text, LISTENS)
    assert by_rule["import-error"].level == "warning"
    assert "KubernetesExecutor" in by_rule["import-error"].problem
    assert by_rule["no-emitter"].level == "note"


def test_the_last_of_chained_exceptions_is_the_cause(tmp_path: Path) -> None:
    traceback = (
        'Traceback (most recent call last):\n  File "/x/a.py", line 1, in <module>\n    1/0\n'
        "ZeroDivisionError: division by zero\n\nThe above exception was the direct cause of the "
        "following exception:\n\nTraceback (most recent call last):\n"
        f'  File "{tmp_path}/dags.py", line 7, in <module>\n    raise Own from e\n'
        '  File "/lib/other.py", line 9, in f\n    raise X\n'
        "pkg.Own: first line\n  second line\n"
    )
    cause = cause_of(traceback, tmp_path)
    assert (cause.text, cause.at, cause.line) == (
        "pkg.Own: first line second line",
        f"{tmp_path}/dags.py",
        7,
    )


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("class Own(Exception): ...\nraise Own('why')", "dags.Own: why"),
        ("def again(): again()\nagain()", "RecursionError: maximum recursion depth exceeded"),
        ("raise ValueError('one\\n  two')", "ValueError: one two"),
        ("raise ValueError", "ValueError"),
    ],
)
def test_the_cause_is_what_the_author_wrote(tmp_path: Path, text: str, cause: str) -> None:
    (tmp_path / "dags.py").write_text(f"# airflow dag\n{text}\n")
    (one,) = lint(tmp_path).findings
    assert one.problem.endswith(f": {cause}")


def test_keys_that_may_come_from_an_unimportable_file_are_no_error(tmp_path: Path) -> None:
    """Two clocks that never meet, and a week that no clock fills: unless that file fills it."""
    clocks = """
from airflow.sdk import *
from airflow.sdk import DAG, Asset
from airflow.providers.standard.operators.empty import EmptyOperator

for name, cron in (("a", "0 0 * * *"), ("b", "30 5 * * *"), ("c", "0 0 * * 1-5")):
    with DAG(f"emit_{name}", schedule=CronPartitionTimetable(cron, timezone="UTC")):
        EmptyOperator(task_id="e", outlets=[Asset(name)])
both = DAG("both", schedule=PartitionedAssetTimetable(assets=Asset("a") & Asset("b")))
weekly = RollupMapper(upstream_mapper=StartOfWeekMapper(), window=WeekWindow())
week = DAG("week", schedule=PartitionedAssetTimetable(assets=Asset("c"), default_partition_mapper=weekly))
"""
    rules = ("keys-never-meet", "rollup-never-full")
    for unimportable, level in (("d", "error"), ("b", "note"), ("c", "note")):
        by_rule = found(tmp_path, HEAD + f"task(outlets=[Asset('{unimportable}')])", clocks)
        levels = [by_rule[rule].level for rule in rules]
        assert levels == [
            level if unimportable != "c" else "error",
            level if unimportable != "b" else "error",
        ], unimportable
