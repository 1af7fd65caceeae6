"""What a task's code does to the events of each outlet, followed without running it."""

from __future__ import annotations

from pathlib import Path

import pytest

from feira_airflow.wiring.linting import lint

HEAD = """
from functools import partial
from airflow.sdk import DAG, Asset, AssetAlias, BaseOperator, Metadata, PartitionedAssetTimetable
from airflow.sdk import get_current_context, task

A, B = Asset("a"), Asset("b")

def keyed(name, asset):
    with DAG(name, schedule=PartitionedAssetTimetable(assets=asset)):
        task(task_id="build")(lambda: None)()

def plain(name, asset):
    with DAG(name, schedule=[asset]):
        task(task_id="build")(lambda: None)()

class Books:
    def __init__(self, event=None):
        self.event = event
    def give(self, event, keys):
        event.add_partitions(keys)
    def give_own(self, keys):
        self.event.add_partitions(keys)

def give(event, keys):
    event.add_partitions(keys)

give_k = partial(give, keys=["k"])
"""
TASK = """
with DAG("load", schedule=None):
    @task(outlets=[A, B])
    def emit(*, outlet_events):
        {body}
    emit()
"""


def found(tmp_path: Path, text: str) -> list[tuple[str, str | None]]:
    (tmp_path / "dags.py").write_text(HEAD + text)
    return sorted((each.rule, each.asset) for each in lint(tmp_path).findings)


CERTAIN = [
    "outlet_events[A].add_partitions(['k'])",
    "give(outlet_events[A], ['k'])",
    "give_k(outlet_events[A])",
    "Books().give(outlet_events[A], ['k'])",
    "Books(outlet_events[A]).give_own(['k'])",
    "event = outlet_events[A]; event.add_partitions('k')",
    "getattr(outlet_events[A], 'add_partitions')('k')",
    "get_current_context()['outlet_events'][A].add_partitions('k')",
    "outlet_events[Asset('a')].add_partitions('k')",
    "[outlet_events[each].add_partitions('k') for each in (A,)]",
    "add = outlet_events[A].add_partitions; add('k')",
    "(lambda event: event.add_partitions('k'))(outlet_events[A])",
    "outlet_events.for_asset(name='a', uri='a').add_partitions('k')",
]


@pytest.mark.parametrize("body", CERTAIN)
def test_a_key_is_given_to_the_one_outlet_that_the_code_names(tmp_path: Path, body: str) -> None:
    task = TASK.format(body=body)
    assert found(tmp_path, task + "keyed('of_a', A)\nplain('of_b', B)") == []
    assert found(tmp_path, task + "plain('of_a', A)\nkeyed('of_b', B)") == [
        ("keyed-event-plain-listener", "a"),
        ("plain-event-keyed-listener", "b"),
    ]


def test_a_loop_over_outlets_gives_each_its_key(tmp_path: Path) -> None:
    body = "for each in (A, B): outlet_events[each].add_partitions('k')"
    task = TASK.format(body=body)
    assert found(tmp_path, task + "keyed('of_a', A)\nkeyed('of_b', B)") == []
    assert len(found(tmp_path, task + "plain('of_a', A)\nplain('of_b', B)")) == 2


UNCERTAIN = [
    "if outlet_events: outlet_events[A].add_partitions('k')",
    "if not outlet_events: return\n        outlet_events[A].add_partitions('k')",
    "unknown = {}; unknown['f'](outlet_events[A])",
    "exec('pass', {'events': give_k}) or [].append(outlet_events)",
    "Books.made = outlet_events[A]",
]


@pytest.mark.parametrize("body", UNCERTAIN)
@pytest.mark.parametrize("kind", ["keyed", "plain"])
def test_what_cannot_be_followed_is_no_error_for_either_listener(
    tmp_path: Path, body: str, kind: str
) -> None:
    task = TASK.format(body=body)
    assert found(tmp_path, f"{task}{kind}('of_a', A)\nplain('of_b', B)") == []


ALIAS = """
with DAG("load", schedule=None):
    @task(outlets=[AssetAlias("any")])
    def emit(name="x", *, outlet_events):
        {body}
    emit(task(task_id="name")(lambda: "x")())
plain("report", A)
"""


@pytest.mark.parametrize(
    ("body", "level"),
    [
        ("outlet_events[AssetAlias('any')].add(B)", "error"),
        ("outlet_events[AssetAlias('any')].add(A)", None),
        ("outlet_events[AssetAlias('any')].add(Asset(name))", "warning"),
        ("yield Metadata(A, extra={}, alias=AssetAlias('any'))", None),
        ("yield Metadata(B, extra={}, alias=AssetAlias('any'))", "error"),
    ],
)
def test_an_alias_is_what_its_tasks_code_makes_of_it(
    tmp_path: Path, body: str, level: str | None
) -> None:
    (tmp_path / "dags.py").write_text(HEAD + ALIAS.format(body=body))
    levels = [each.level for each in lint(tmp_path).findings if each.rule == "no-emitter"]
    assert levels == ([level] if level else [])


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


def test_a_near_name_is_offered(tmp_path: Path) -> None:
    (tmp_path / "dags.py").write_text(
        HEAD + "O = Asset('s3://lake/orders')\nwith DAG('load', schedule=None):\n"
        "    task(task_id='t', outlets=[O])(lambda: None)()\nplain('of_o', Asset('s3a://lake/Orders/'))"
    )
    (one,) = (each for each in lint(tmp_path).findings if each.rule == "no-emitter")
    assert one.step.startswith("Did you mean s3://lake/orders?")


def test_code_that_never_ends_its_calls_is_not_followed_for_ever(tmp_path: Path) -> None:
    text = "def again(event): again(event)\n" + TASK.format(body="again(outlet_events[A])")
    assert found(tmp_path, text + "keyed('of_a', A)\nplain('of_b', B)") == []


STRAY = """
with DAG("load", schedule=None):
    @task{decorator}
    def emit(*, outlet_events):
        {body}
    emit()
with DAG("emit", schedule=None):
    task(task_id="a", outlets=[A])(lambda: None)()
plain("of_a", A)
"""


@pytest.mark.parametrize(
    ("decorator", "body", "asset"),
    [
        ("", "outlet_events[A].extra = {'rows': 1}", "a"),
        ("", "give(outlet_events[A], ['k'])", "a"),
        ("", "yield Metadata(A, extra={'rows': 1})", "a"),
        ("", "outlet_events[AssetAlias('any')].add(A)", "alias any"),
        (
            "(outlets=[AssetAlias('any')])",
            "outlet_events[AssetAlias('other')].add(A)",
            "alias other",
        ),
        ("", "print(outlet_events)", None),
        ("", "get_current_context()['task'].outlets.append(A); outlet_events[A].extra = {}", None),
        ("(outlets=[AssetAlias('any')])", "outlet_events[AssetAlias('any')].add(A)", None),
        ("(outlets=[AssetAlias('any')])", "yield Metadata(A, {}, AssetAlias('any'))", None),
    ],
)
def test_what_is_written_to_the_event_of_no_outlet_is_found(
    tmp_path: Path, decorator: str, body: str, asset: str | None
) -> None:
    strays = [
        each
        for each in found(tmp_path, STRAY.format(decorator=decorator, body=body))
        if each[0] == "stray-event"
    ]
    assert strays == ([("stray-event", asset)] if asset else [])


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
