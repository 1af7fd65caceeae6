"""Outlets that an operator sets itself, for its mapped instances too, or changes while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.sdk.definitions._internal.contextmanager import DagContext

from feira_wiring.linting import lint

HEAD = """
from airflow.sdk import DAG, Asset, BaseOperator, task

A = Asset("a")

def plain(name, asset):
    with DAG(name, schedule=[asset]):
        task(task_id="build")(lambda: None)()
"""


def found(tmp_path: Path, text: str) -> list[tuple[str, str | None]]:
    (tmp_path / "dags.py").write_text(HEAD + text)
    return sorted((each.rule, each.asset) for each in lint(tmp_path).findings)


OPERATOR = """
class Publish(BaseOperator):
    def __init__(self, *, name, **more):
        super().__init__(**more)
        self.outlets = [Asset(name)]
    def execute(self, context): ...

with DAG("load", schedule=None):
    {task}
plain("of_a", A)
"""


@pytest.mark.parametrize(
    ("task", "missing"),
    [
        ("Publish(task_id='p', name='a')", []),
        ("Publish(task_id='p', name='b')", [("no-emitter", "a"), ("no-listener", "b")]),
        ("Publish.partial(task_id='p').expand(name=['a'])", []),
        ("Publish.partial(task_id='p').expand_kwargs([{'name': 'a'}])", []),
        ("Publish.partial(task_id='p').expand_kwargs(({'name': 'a'},))", []),
        ("Publish.partial(task_id='p', params={'x': 1}, retries=2).expand(name=('a',))", []),
        ("Publish.partial(task_id='p', outlets=[A]).expand(name=['a', 'a'])", []),
        (
            "Publish.partial(task_id='p').expand_kwargs([{'name': 'a'}, {'name': 'b'}])",
            [("no-listener", "b")],
        ),
        (
            "Publish.partial(task_id='p', outlets=[Asset('b')]).expand(name=['a'])",
            [("no-listener", "b")],
        ),
        (
            "Publish.partial(task_id='p').expand(name=['b'])",
            [("no-emitter", "a"), ("no-listener", "b")],
        ),
    ],
)
def test_outlets_that_an_operator_sets_itself_are_read_mapped_or_not(
    tmp_path: Path, task: str, missing: list[tuple[str, str]]
) -> None:
    assert found(tmp_path, OPERATOR.format(task=task)) == missing


@pytest.mark.parametrize(
    ("init", "certain"),
    [
        ("self.outlets = [Asset(name)]", False),
        ("self.outlets.append(Asset(name))", False),
        ("self.declare_own(name)", False),
        ("self.declare_own_by_class(name)", False),
        ("BOOK.declare(self, name)", False),
        ("setattr(self, 'outlets', [Asset(name)])", False),
        ("declare(self, name)", False),
        ("self.name = name", True),
    ],
)
@pytest.mark.parametrize("expand", ["expand(name=names)", "expand_kwargs(names)"])
@pytest.mark.parametrize(
    "head",
    [
        "super().__init__(**more)",
        "super().__init__(outlets=[], **more)",
        "BaseOperator.__init__(self, **more)",
    ],
)
def test_an_operator_whose_outlets_come_with_the_values_of_its_instances_is_uncertain(
    tmp_path: Path, init: str, certain: bool, head: str, expand: str
) -> None:
    text = f"""
def declare(task, name):
    task.add_outlets([Asset(name)])

class Book:
    def declare(self, task, name):
        declare(task, name)

BOOK = Book()

class Declares:
    @classmethod
    def declare_own_by_class(cls, name):
        cls.outlets = [Asset(name)]

class Publish(Declares, BaseOperator):
    def __init__(self, *, name, **more):
        {head}
        {init}
    def declare_own(self, name):
        self.outlets = [Asset(name)]
    def execute(self, context): ...

with DAG("load", schedule=None):
    names = task(task_id="names")(lambda: ["a"])()
    Publish.partial(task_id="p").{expand}
plain("report", A)
"""
    (tmp_path / "dags.py").write_text(HEAD + text)
    (one,) = lint(tmp_path).findings
    certain = certain and "outlets" not in head
    assert (one.rule, one.level) == ("no-emitter", "error" if certain else "warning")


def test_every_instance_of_a_mapped_operator_is_asked_for_its_outlets(tmp_path: Path) -> None:
    """Of two lists each with each; of very many, none is known."""
    text = """
class Publish(BaseOperator):
    def __init__(self, *, name, number, **more):
        super().__init__(**more)
        self.outlets = [Asset(f"{name}{number}")]
    def execute(self, context): ...

names, numbers = ["a", "b"], list(range(COUNT))
with DAG("load", schedule=None):
    Publish.partial(task_id="p").expand(name=names, number=numbers)
for each in ("a0", "b7", "c1"):
    plain(f"of_{each}", Asset(each))
"""
    heard = [("a0", "warning"), ("b7", "warning"), ("c1", "warning")]
    for count, missing in ((8, [("c1", "error")]), (501, heard)):
        (tmp_path / "dags.py").write_text(HEAD + text.replace("COUNT", str(count)))
        found = lint(tmp_path, select=["no-emitter"]).findings
        assert [(each.asset, each.level) for each in found] == missing


@pytest.mark.parametrize(
    ("body", "level"),
    [
        ("context['outlets'].append(A)", "warning"),
        ("context['task'].outlets.append(A)", "warning"),
        ("context['task'].outlets += [A]", "warning"),
        ("context['task'].add_outlets([A])", "warning"),
        ("setattr(context['task'], 'outlets', [A])", "warning"),
        ("add(context['task'], A)", "warning"),
        ("context['task'].outlets.extend([A])", "warning"),
        ("context['task'].outlets.insert(0, A)", "warning"),
        ("context['task'].outlets.remove(A)", "error"),
        ("[context['task'].outlets.append(A) for _ in 'a']", "warning"),
        ("setattr(context['task'], 'inlets', [A])", "error"),
        ("[].append(context['task'].outlets)", "error"),
        ("lines, rows = [], []; lines.append(1); rows.append(context['task'].outlets)", "error"),
        ("context['task'].inlets = context['task'].params = context['task'].outlets", "error"),
        ("print(context['outlets'], context['task'].outlets)", "error"),
        ("for each in context['task'].outlets: print(each)", "error"),
        ("outlets = []; print(outlets)", "error"),
    ],
)
def test_a_task_that_changes_its_outlets_while_it_runs_may_emit_anything(
    tmp_path: Path, body: str, level: str
) -> None:
    """Airflow reads the outlets after the task has run."""
    text = f"""
def add(task, asset):
    task.outlets = [asset]

with DAG("load", schedule=None):
    @task
    def emit(**context):
        {body}
    emit()
plain("report", A)
"""
    (tmp_path / "dags.py").write_text(HEAD + text)
    assert [(each.rule, each.level) for each in lint(tmp_path).findings] == [("no-emitter", level)]


@pytest.mark.parametrize(
    ("made", "level"),
    [
        ("Own(task_id='t')", "warning"),
        ("Own.partial(task_id='t').expand(name=['x'])", "warning"),
        ("ByHelp(task_id='t')", "warning"),
        ("Never(task_id='t')", "error"),
        ("EmptyOperator(task_id='t', pre_execute=hook)", "warning"),
        ("EmptyOperator(task_id='t', post_execute=hook)", "warning"),
        ("EmptyOperator.partial(task_id='t', pre_execute=hook).expand(doc=['x'])", "warning"),
        ("EmptyOperator.partial(task_id='t', post_execute=hook).expand(doc=['x'])", "warning"),
        ("EmptyOperator(task_id='t', pre_execute=print)", "error"),
    ],
)
def test_an_operator_or_a_hook_that_changes_outlets_may_emit_anything(
    tmp_path: Path, made: str, level: str
) -> None:
    text = """
from airflow.providers.standard.operators.empty import EmptyOperator
def hook(context, result=None):
    context["task"].outlets.append(A)
class Own(BaseOperator):
    def __init__(self, *, name="", **more):
        super().__init__(**more)
    def execute(self, context):
        self.outlets.append(A)
class ByHelp(BaseOperator):
    def execute(self, context):
        self.help()
    def help(self):
        self.outlets = [A]
class Never(BaseOperator):
    def execute(self, context): ...
    def help(self):
        self.outlets = [A]
with DAG("load", schedule=None):
    {made}
plain("report", A)
"""
    (tmp_path / "dags.py").write_text(HEAD + text.format(made=made))
    assert [(each.rule, each.level) for each in lint(tmp_path).findings] == [("no-emitter", level)]


def test_a_mapped_operator_that_is_made_to_be_asked_leaves_airflow_as_it_was(
    tmp_path: Path,
) -> None:
    (tmp_path / "dags.py").write_text(
        HEAD + OPERATOR.format(task="Publish.partial(task_id='p').expand(name=['a', 'a'])")
    )
    assert lint(tmp_path).findings == ()
    assert not DagContext.active


def test_a_mapped_operator_whose_outlets_are_not_known_writes_to_no_stray_event(
    tmp_path: Path,
) -> None:
    text = """
class Publish(BaseOperator):
    def __init__(self, *, name, **more):
        super().__init__(**more)
        self.outlets = [Asset(name)]
    def execute(self, context):
        context["outlet_events"][A].extra = {"rows": 1}

with DAG("load", schedule=None):
    names = task(task_id="names")(lambda: ["a"])()
    Publish.partial(task_id="p").expand(name=names)
"""
    assert [each for each in found(tmp_path, text) if each[0] == "stray-event"] == []


def test_a_deferred_operator_may_give_keys_where_it_goes_on(tmp_path: Path) -> None:
    """Whether it is deferred is not known before."""
    text = """
from airflow.sdk import PartitionedAssetTimetable

class Publish(BaseOperator):
    def execute(self, context): ...
    def execute_complete(self, context, event=None):
        context["outlet_events"][A].add_partitions("k")

with DAG("load", schedule=None):
    Publish(task_id="p", outlets=[A])
with DAG("report", schedule=PartitionedAssetTimetable(assets=A)):
    task(task_id="build")(lambda: None)()
plain("use", A)
"""
    assert found(tmp_path, text) == []


def test_a_mapped_operator_that_refuses_to_be_made_here_is_uncertain(tmp_path: Path) -> None:
    text = """
class Publish(BaseOperator):
    def __init__(self, *, name, **more):
        super().__init__(**more)
        if not self.has_dag():
            raise ValueError("only in a DAG")
        self.outlets = [Asset(name)]
    def execute(self, context): ...

with DAG("load", schedule=None):
    Publish.partial(task_id="p").expand(name=["a", "b"])
plain("report", A)
"""
    (tmp_path / "dags.py").write_text(HEAD + text)
    found = [(each.rule, each.level) for each in lint(tmp_path).findings]
    assert found == [("no-emitter", "warning")]


EMPTY = """
from airflow.providers.standard.operators.bash import BashOperator

class Publish(BaseOperator):
    def __init__(self, *, name, outlets=None, **more):
        super().__init__(outlets=outlets or [Asset(name)], **more)
    def execute(self, context): ...

with DAG("load", schedule=None{defaults}):
    {task}
with DAG("load_b", schedule=None):
    task(task_id="emit", outlets=[Asset("b")])(lambda: 0)()
"""
OTHER = ("no-listener", "b")


@pytest.mark.parametrize("of_the_dag", [False, True])
@pytest.mark.parametrize(
    ("made", "missing"),
    [
        ("BashOperator.partial(task_id='t'{}).expand(bash_command=['x'])", []),
        ("task(lambda n: n, task_id='t'{}).expand(n=[1])", []),
        ("Publish.partial(task_id='t'{}).expand(name=['a'])", [("no-listener", "a")]),
    ],
)
def test_a_mapped_task_may_be_given_none_for_outlets_and_inlets(
    tmp_path: Path, made: str, missing: list[tuple[str, str]], of_the_dag: bool
) -> None:
    given = {"outlets": None, "inlets": None}
    defaults = f", default_args={given}" if of_the_dag else ""
    own = "" if of_the_dag else ", outlets=None, inlets=None"
    text = EMPTY.format(defaults=defaults, task=made.format(own))
    assert found(tmp_path, text) == sorted([*missing, OTHER])
