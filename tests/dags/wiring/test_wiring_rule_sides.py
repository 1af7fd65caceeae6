"""Both sides of what decides a rule's level: certain or not, near or far, here or elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.sdk import Asset
from wiring_text import HEAD, found

from feira_wiring.expressions import Expressions
from feira_wiring.linting import lint
from feira_wiring.report import Finding
from feira_wiring.rules.declarations import Spellings


def levels(findings: list[Finding]) -> list[tuple[str, str]]:
    return sorted((each.rule, each.level) for each in findings)


# cycle

TRIGGERS = """
emits("load", A)
with DAG("report", schedule=[A]):
    {above}
    {trigger}
"""
START = 'TriggerDagRunOperator(task_id="start", trigger_dag_id="load")'
MAPPED = 'TriggerDagRunOperator.partial(task_id="start", trigger_dag_id="load").expand(conf=[{}])'

IN_GROUP = f"""
    @task
    def day(): return []
    @task_group
    def each_day(conf):
        {START}
    each_day.expand(conf={{}})
"""


@pytest.mark.parametrize(
    ("above", "trigger", "level", "ends"),
    [
        ("pass", START, "error", "without end."),
        ("EmptyOperator(task_id='first')", START, "error", "without end."),
        ("task.short_circuit(lambda: True, task_id='whether')()", START, "warning", "is skipped."),
        ("task.sensor(lambda: True, task_id='wait')()", START, "warning", "is skipped."),
        ("pass", MAPPED, "error", "without end."),
        ("pass", MAPPED.replace("[{}]", "[]"), "warning", "is skipped."),
        ("pass", IN_GROUP.format("[1, 2]"), "error", "without end."),
        ("pass", IN_GROUP.format("day()"), "warning", "is skipped."),
    ],
)
def test_a_cycle_that_a_skipped_task_can_end_is_a_warning(
    tmp_path: Path, above: str, trigger: str, level: str, ends: str
) -> None:
    (one,) = found(tmp_path, TRIGGERS.format(above=above, trigger=trigger))
    assert (one.rule, one.level) == ("cycle", level)
    assert one.consequence.endswith(ends)


SKIPS = """
import airflow.sdk.exceptions as exceptions
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, AirflowSkipException as Skip

def day():
    return open("/day").read()

def until_the_last(context=None):
    if not day():
        raise Skip

class Page(BaseOperator):
    def execute(self, context):
        self.fetch()
    def fetch(self):
        until_the_last()

with DAG("crawl", schedule=[A]):
    {tasks}
"""
FETCH = "EmptyOperator(task_id='fetch', outlets=[A])"


@pytest.mark.parametrize(
    ("tasks", "skipped"),
    [
        (FETCH, False),
        (f"EmptyOperator(task_id='first') >> {FETCH}", False),
        (f"task.short_circuit(day, task_id='more')() >> {FETCH}", True),
        (f"task.branch(day, task_id='more')() >> {FETCH}", True),
        (f"task.sensor(day, task_id='wait')() >> {FETCH}", True),
        ("task.short_circuit(day, task_id='more', outlets=[A])()", False),
        (f"task(until_the_last, task_id='more')() >> {FETCH}", True),
        ("task(until_the_last, task_id='fetch', outlets=[A])()", True),
        ("task(lambda: until_the_last(), task_id='fetch', outlets=[A])()", True),
        ("@task(outlets=[A])\n    def f(): raise AirflowSkipException\n    f()", True),
        ("@task(outlets=[A])\n    def f(): raise exceptions.AirflowSkipException\n    f()", True),
        ("@task(outlets=[A])\n    def f(): raise AirflowFailException\n    f()", False),
        ("Page(task_id='fetch', outlets=[A])", True),
        ("task(day, task_id='fetch', outlets=[A], pre_execute=until_the_last)()", True),
        ("task(day, task_id='fetch', outlets=[A], pre_execute=print)()", False),
        ("task.skip_if(day)(task(day, task_id='fetch', outlets=[A]))()", True),
        ("task.run_if(day)(task(day, task_id='fetch', outlets=[A]))()", True),
        ("task.run_if(day)(task(day, task_id='fetch', outlets=[A])).expand_kwargs([{}])", True),
        ("EmptyOperator(task_id='fetch', outlets=[A], trigger_rule='one_failed')", True),
        ("EmptyOperator(task_id='fetch', outlets=[A], trigger_rule='all_done')", False),
        ("BashOperator(task_id='b', bash_command='get || exit 99', outlets=[A])", True),
        ("BashOperator(task_id='b', bash_command='get || exit 98', outlets=[A])", False),
        (
            "BashOperator(task_id='b', bash_command='exit 3', skip_on_exit_code=3, outlets=[A])",
            True,
        ),
        ("task(lambda n: n, task_id='f', outlets=[A]).expand(n=[1, 2])", False),
        ("task(lambda n: n, task_id='f', outlets=[A]).expand(n=task(day)())", True),
        ("task(lambda n: n, task_id='f', outlets=[A]).expand(n={'x': 1})", False),
        ("task(lambda n, m: n, task_id='f', outlets=[A]).expand(n=[1], m=task(day)())", True),
        ("task(lambda n: n, task_id='f', outlets=[A]).expand(n=[*range(1001)])", False),
        ("task(lambda n: n, task_id='f', outlets=[A]).expand_kwargs([{'n': 1}])", False),
        (
            "task_group(group_id='g')(lambda n: task(day, task_id='f', outlets=[A])()).expand(n=[1, 2])",
            False,
        ),
        (
            "task_group(group_id='g')(lambda n: task(day, task_id='f', outlets=[A])()).expand(n=task(day)())",
            True,
        ),
        (
            "task_group(group_id='g')(lambda n: task(lambda m: m, task_id='f', outlets=[A])(n)).expand(n=[1])",
            False,
        ),
    ],
)
def test_a_cycle_of_assets_that_a_skipped_task_can_end_is_a_warning(
    tmp_path: Path, tasks: str, skipped: bool
) -> None:
    (one,) = (each for each in found(tmp_path, SKIPS.format(tasks=tasks)) if each.rule == "cycle")
    assert one.level == ("warning" if skipped else "error")
    assert ("until a task of it is skipped" in one.consequence) == skipped


@pytest.mark.parametrize(
    ("more", "level"),
    [
        ("task.run_if(day)(task(day, task_id='more'))() >> ", "warning"),
        ("task(until_the_last, task_id='more')() >> ", "warning"),
        ("task(day, task_id='more')() >> ", "error"),
    ],
)
def test_a_trigger_below_a_task_that_its_own_code_skips_ends_a_cycle(
    tmp_path: Path, more: str, level: str
) -> None:
    text = SKIPS.format(tasks=more + START.replace("load", "crawl"))
    (one,) = (each for each in found(tmp_path, text) if each.rule == "cycle")
    assert one.level == level


def test_a_skipped_task_ends_no_cycle_that_goes_on_without_it(tmp_path: Path) -> None:
    """Nor one that never begins."""
    aside = """
with DAG("aside", schedule=[A]):
    task.short_circuit(lambda: True, task_id="more")() >> EmptyOperator(task_id="t", outlets=[B])
"""
    cycle = "emits('load', A, schedule=B | A)" + aside
    (one,) = (each for each in found(tmp_path, cycle) if each.rule == "cycle")
    assert (one.level, sorted(one.dags)) == ("error", ["aside", "load"])


def test_a_cycle_that_never_begins_is_an_error_though_a_task_can_be_skipped(tmp_path: Path) -> None:
    text = SKIPS.replace("[A]", "A & B").format(
        tasks=f"task.short_circuit(day, task_id='more')() >> {FETCH}"
    )
    (one,) = (each for each in found(tmp_path, text) if each.rule == "cycle")
    assert (one.level, "never makes a first run" in one.consequence) == ("error", True)


@pytest.mark.parametrize(
    ("code", "level"),
    [
        ("outlet_events[B].add_partitions('k')", "error"),
        ("if outlet_events: outlet_events[B].add_partitions('k')", "warning"),
    ],
)
def test_a_cycle_through_an_event_that_may_have_no_key_is_a_warning(
    tmp_path: Path, code: str, level: str
) -> None:
    text = f"""
with DAG("load", schedule=[A]):
    @task(outlets=[B])
    def emit(*, outlet_events):
        {code}
    emit()
with DAG("back", schedule=PartitionedAssetTimetable(assets=B)):
    {START}
"""
    cycles = [each for each in found(tmp_path, text) if each.rule == "cycle"]
    assert [each.level for each in cycles] == [level]


def test_only_what_is_within_a_cycle_decides_whether_it_ends(tmp_path: Path) -> None:
    """Not a trigger out of it, or into it, that may be skipped."""
    text = f"""
emits("load", A)
with DAG("report", schedule=[A]):
    {START}
    {MAPPED.replace("load", "end").replace("start", "out")}
with DAG("into", schedule=None):
    {MAPPED}
with DAG("end", schedule=None):
    EmptyOperator(task_id="t")
"""
    (one,) = found(tmp_path, text)
    assert (one.rule, one.level, one.tasks) == ("cycle", "error", ("load.emit", "report.start"))


def test_each_of_several_cycles_is_reported_once(tmp_path: Path) -> None:
    text = """
C, D, E, F = map(Asset, "cdef")
emits("0", F)
emits("a", A, schedule=B | F)
emits("b", B, schedule=A)
emits("c", C, schedule=D)
emits("d", D, schedule=C)
emits("e", E, schedule=E)
"""
    cycles = [each for each in found(tmp_path, text) if each.rule == "cycle"]
    assert [sorted(each.dags) for each in cycles] == [["a", "b"], ["c", "d"], ["e"]]


def test_a_cycle_with_very_many_ways_round_is_shown_by_a_shortest_one(tmp_path: Path) -> None:
    """Each of 40 DAGs sets off the next by either of two others: 2^40 ways, all of one length."""
    text = """
for n in range(40):
    here, ways = Asset(f"a{n}"), [Asset(f"{side}{n}") for side in "lr"]
    emits(f"at{n}", *ways, schedule=here)
    for side, way in zip("lr", ways):
        emits(f"{side}{n}", Asset(f"a{(n + 1) % 40}"), schedule=way)
"""
    (one,) = (each for each in found(tmp_path, text) if each.rule == "cycle")
    way = one.problem.removesuffix(" trigger one another.").split(" → ")
    assert len(one.dags) == 120
    assert way == [dag for n in range(40) for dag in (f"at{n}", f"l{n}")] + ["at0"]


def test_the_asset_of_a_cycle_is_the_one_that_its_problem_names(tmp_path: Path) -> None:
    (one,) = (each for each in found(tmp_path, "emits('load', B, A, schedule=A | B)"))
    assert (one.rule, one.asset) == ("cycle", "b")
    assert "load listens to b, which it emits itself" in one.problem


def test_a_dag_that_triggers_itself_is_a_cycle_and_one_that_triggers_another_is_none(
    tmp_path: Path,
) -> None:
    (one,) = found(tmp_path, f"with DAG('load', schedule=None):\n    {START}")
    assert (one.rule, one.level, one.problem) == ("cycle", "error", "load triggers itself.")
    text = f"emits('load')\nwith DAG('report', schedule=None):\n    {START}"
    assert found(tmp_path, text) == []


@pytest.mark.parametrize(
    ("schedule", "begins"),
    [
        ("A | B", True),
        ("A | Asset('crm', extra={'external': True})", True),
        (
            "AssetOrTimeSchedule(assets=A, timetable=CronTriggerTimetable('@daily', timezone='UTC'))",
            True,
        ),
        ("A", False),
    ],
)
def test_a_cycle_says_whether_anything_begins_it(
    tmp_path: Path, schedule: str, begins: bool
) -> None:
    text = "from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable\n"
    text += f"emits('refresh', A, schedule={schedule})\nemits('load', B)"
    (one,) = (each for each in found(tmp_path, text) if each.rule == "cycle")
    assert one.consequence.startswith("Each run makes the next, without end")
    assert one.consequence.endswith("makes the first.") != begins


# missing-dag


@pytest.mark.parametrize(
    ("target", "expected"),
    [("load", []), ("lod", [("missing-dag", "warning")]), ("{{ params.dag }}", [])],
)
def test_a_trigger_is_of_a_dag_of_the_folder_or_missing(
    tmp_path: Path, target: str, expected: list[tuple[str, str]]
) -> None:
    text = f"emits('load')\nwith DAG('report', schedule=None):\n    {START.replace('load', target)}"
    findings = found(tmp_path, text)
    assert levels(findings) == expected
    assert all(each.step.startswith("Did you mean load?") for each in findings)


def test_every_dag_that_a_mapped_trigger_starts_is_looked_for(tmp_path: Path) -> None:
    text = """
emits("load")
with DAG("report", schedule=None):
    TriggerDagRunOperator.partial(task_id="start").expand(trigger_dag_id=["load", "gone"])
    TriggerDagRunOperator.partial(task_id="more").expand_kwargs([{"trigger_dag_id": "off"}])
"""
    assert [each.tasks for each in found(tmp_path, text)] == [("report.start",), ("report.more",)]


def test_a_missing_dag_is_a_note_where_a_file_did_not_import(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("from airflow.sdk import dag\nimport no_such_package\n")
    findings = found(tmp_path, f"with DAG('report', schedule=None):\n    {START}")
    assert levels(findings) == [("import-error", "warning"), ("missing-dag", "note")]


# runs that are given a key or none

GUARDS = """
def of(run):
    if not run.partition_key:
        raise ValueError

import functools, types

@functools.wraps(of)
def wrapped(run): ...
cached = functools.lru_cache(of)
partly = functools.partial(of)
namespace = {}
exec("def made_at_run_time(run): print(run)", namespace)
made_at_run_time = namespace["made_at_run_time"]

def closed(run):
    inner = lambda: run.partition_key
    return inner()

def held():
    guard = of
    def inner(run): guard(run)
    return inner

held = held()

class Guard:
    @classmethod
    def made(cls, run):
        of(run)
    @staticmethod
    def of(run):
        of(run)
    def check(self, run):
        return self.of(run)
    def other(self, run): ...

class Called:
    def __call__(self, run):
        of(run)

class Made:
    def __init__(self, run):
        of(run)

GUARD, CALLED = Guard(), Called()
books = types.ModuleType("books")
books.keep, books.KEEPER = of, GUARD
"""


@pytest.mark.parametrize(
    ("body", "guarded"),
    [
        ("of(dag_run)", True),
        ("GUARD.check(dag_run)", True),
        ("Guard().check(dag_run)", True),
        ("Guard.of(dag_run)", True),
        ("(lambda: GUARD)().check(dag_run)", True),
        ("Guard.made(dag_run)", True),
        ("CALLED(dag_run)", True),
        ("books.keep(dag_run)", True),
        ("books.KEEPER.check(dag_run)", True),
        ("books.other(dag_run)", False),
        ("Made(dag_run)", True),
        ("wrapped(dag_run)", True),
        ("cached(dag_run)", True),
        ("held(dag_run)", True),
        ("closed(dag_run)", True),
        ("print(key=dag_run) or dict(partition_key=1)", True),
        ("[getattr(dag_run, 'partition_key') for _ in 'a']", True),
        ("made_at_run_time(dag_run)", False),
        ("'the partition_key of a run'", False),
        ("GUARD.other(dag_run)", False),
        ("print(dag_run)", False),
    ],
)
def test_a_task_that_looks_at_its_runs_key_by_whichever_way_is_a_guard(
    tmp_path: Path, body: str, guarded: bool
) -> None:
    text = f"""{GUARDS}
with DAG("load", schedule=PartitionedAtRuntime()):
    @task(outlets=[A])
    def emit(dag_run=None):
        {body}
    emit()
listens("report", PartitionedAssetTimetable(assets=A))
"""
    rules = [each.rule for each in found(tmp_path, text)]
    assert rules == ([] if guarded else ["runtime-key"])


@pytest.mark.parametrize(
    ("made", "guarded"),
    [
        ("Own(task_id='t', outlets=[A])", True),
        ("Own.partial(task_id='t', outlets=[A]).expand(name=['x'])", True),
        ("BashOperator(task_id='t', bash_command='echo {{ partition_key }}', outlets=[A])", True),
        ("BashOperator(task_id='t', bash_command='echo {{ ds }}', outlets=[A])", False),
        ("EmptyOperator(task_id='t', pre_execute=of_context, outlets=[A])", True),
        ("EmptyOperator(task_id='t', post_execute=of_context, outlets=[A])", True),
        (
            "EmptyOperator.partial(task_id='t', pre_execute=of_context, outlets=[A]).expand(doc=['x'])",
            True,
        ),
        ("EmptyOperator(task_id='t', outlets=[A])", False),
        ("EmptyOperator(task_id='t', outlets=[A]); Own(task_id='before')", True),
    ],
)
def test_an_operator_a_hook_or_a_template_that_looks_at_its_runs_key_is_a_guard(
    tmp_path: Path, made: str, guarded: bool
) -> None:
    text = f"""{GUARDS}
from airflow.providers.standard.operators.bash import BashOperator
def of_context(context, result=None):
    of(context["dag_run"])
class Own(BaseOperator):
    def __init__(self, *, name="", **more):
        super().__init__(**more)
    def execute(self, context):
        self.check(context["dag_run"])
    def check(self, run):
        of(run)
with DAG("load", schedule=PartitionedAtRuntime()):
    {made}
listens("report", PartitionedAssetTimetable(assets=A))
"""
    rules = {each.rule for each in found(tmp_path, text)} - {"two-emitters"}
    assert rules == (set() if guarded else {"runtime-key"})


# operators that set their own outlets


OPERATOR = """
class Publish(BaseOperator):
    def __init__(self, *, name, **more):
        super().__init__(**more)
        {line}
    def execute(self, context): ...

with DAG("load", schedule=None):
    names = task(task_id="names")(lambda: ["a"])()
    Publish.partial(task_id="publish").expand(name=names)
listens("report", [A])
"""


@pytest.mark.parametrize(
    ("line", "level"),
    [("self.outlets = [Asset(name)]", "warning"), ("self.name = name", "error")],
)
def test_outlets_that_are_known_only_at_run_time_make_a_missing_emitter_uncertain(
    tmp_path: Path, line: str, level: str
) -> None:
    (one,) = found(tmp_path, OPERATOR.format(line=line))
    assert (one.rule, one.level) == ("no-emitter", level)


# names that are nearly those of others


@pytest.mark.parametrize(
    ("name", "others", "offered"),
    [
        ("s3://lake/ordres", {"s3://lake/orders", "s3://lake/rates"}, "s3://lake/orders"),
        ("s3a://lake/orders", {"s3://lake/orders"}, "s3://lake/orders"),
        ("postgresql://db/Orders/", {"postgres://db/orders"}, "postgres://db/orders"),
        ("gcs://lake/orders", {"gs://lake/orders"}, "gs://lake/orders"),
        ("orders", {"orders"}, None),
        ("orders", {"orders", "Orders "}, "Orders "),
        ("orders", {"", "customers"}, None),
        ("orders", set(), None),
    ],
)
def test_a_name_that_is_nearly_another_is_offered(
    name: str, others: set[str], offered: str | None
) -> None:
    assert Spellings(others).hint(name) == (f"Did you mean {offered}? " if offered else "")


@pytest.mark.parametrize(
    ("emitted", "heard", "offered"),
    [
        ("Asset('one', uri='s3://lake/orders')", "Asset('two', uri='s3://lake/ordres')", "s3://lake/orders"),
        ("Asset('orders', uri='s3://lake/1')", "Asset('ordres', uri='feira://two')", "orders"),
        ("Asset('one', uri='s3://lake/1')", "Asset('two', uri='feira://two')", None),
        ("AssetAlias('orders')", "AssetAlias('ordres')", None),
    ],
)  # fmt: skip
def test_an_asset_whose_name_or_uri_is_nearly_that_of_what_is_emitted_is_offered_it(
    tmp_path: Path, emitted: str, heard: str, offered: str | None
) -> None:
    text = f"emits('load', {emitted})\nlistens('report', [{heard}])"
    (one,) = (each for each in found(tmp_path, text) if each.rule == "no-emitter")
    assert one.step.startswith(f"Did you mean {offered}? " if offered else "Add it to")


# listeners of plain events


def test_each_listener_of_plain_events_is_reported_but_those_with_a_clock(tmp_path: Path) -> None:
    text = """
from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable
emits("load", A, B)
listens("a_clock", AssetOrTimeSchedule(
    assets=A, timetable=CronTriggerTimetable("@daily", timezone="UTC")))
listens("b_plain", [A])
listens("c_both", A & B)
listens("d_other", [Asset("crm", extra={"external": True})])
"""
    (tmp_path / "dags.py").write_text(HEAD + text)
    merged = lint(tmp_path, enable=["merged-events"]).findings
    assert [(each.dags, each.asset) for each in merged] == [
        (("b_plain", "load"), "a"),
        (("c_both", "load"), "a"),
    ]
    assert "c_both listens to a and b without" in merged[1].problem


def test_each_listener_that_begins_paused_is_reported(tmp_path: Path) -> None:
    text = """
emits("load", A)
for name, paused in (("a", False), ("b", True), ("c", None), ("d", True)):
    with DAG(name, schedule=[A], is_paused_upon_creation=paused):
        EmptyOperator(task_id="use")
"""
    (tmp_path / "dags.py").write_text(HEAD + text)
    findings = lint(tmp_path, enable=["paused-listener"]).findings
    assert [each.dags for each in findings] == [("b",), ("d",)]


# watchers, expressions, templates, empty schedules

WATCHED = """
from airflow.providers.standard.triggers.file import FileDeleteTrigger
from airflow.sdk import AssetWatcher
def watched(*names):
    return Asset("w", watchers=[
        AssetWatcher(name=name, trigger=FileDeleteTrigger(filepath=f"/in/{name}")) for name in names])
"""


@pytest.mark.parametrize(
    ("wiring", "lost"),
    [
        ("listens('one', [watched('x')])", []),
        ("listens('one', [watched('x')])\nlistens('two', [watched('x')])", []),
        ("listens('one', [watched('x')])\nlistens('two', [watched('y')])", ["one", "two"]),
        (
            "listens('nil', [A])\nlistens('one', [watched('x')])\nlistens('two', [watched('y')])",
            ["one", "two"],
        ),
        ("listens('one', [watched('x', 'y')])\nlistens('two', [watched('y')])", ["two", "one"]),
        ("listens('one', [watched('x')])\nlistens('two', [Asset('w')])", ["two", "one"]),
        ("listens('one', [watched('x')])\nlistens('two', [Asset.ref(name='w')])", []),
        ("listens('one', [watched('x')])\nemits('two', Asset('w'))", ["two", "one"]),
        ("emits('one', watched('x'))\nemits('two', Asset('w'))", []),
        ("listens('one', [Asset('w')])\nlistens('two', [Asset('w')])", []),
    ],
)
def test_a_declaration_takes_watchers_away_where_the_asset_is_scheduled(
    tmp_path: Path, wiring: str, lost: list[str]
) -> None:
    findings = [each for each in found(tmp_path, WATCHED + wiring) if each.rule == "lost-watcher"]
    assert [list(each.dags) for each in findings] == ([lost] if lost else [])


@pytest.mark.parametrize(
    ("outlet", "text", "named"),
    [
        ("A & B", "a & b", "a, b"),
        ("A | (B & Asset('c'))", "a | (b & c)", "a, b, c"),
        ("(A | B) & Asset('c', uri='s3://b/c')", "(a | b) & c", "a, b, c"),
        ("AssetAlias('x') | Asset.ref(name='y')", "x | y", "x, y"),
        ("Asset.ref(uri='s3://b/y') & A", "s3://b/y & a", "s3://b/y, a"),
    ],
)
def test_the_assets_of_an_expression_are_named_for_the_outlets(
    tmp_path: Path, outlet: str, text: str, named: str
) -> None:
    (one,) = found(tmp_path, f"emits('load', {outlet})")
    assert (one.rule, one.tasks) == ("expression-outlet", ("load.emit",))
    assert f"the expression {text} as" in one.problem
    assert one.step == f"Name the assets one by one: outlets=[{named}]."


def test_an_expression_is_no_asset() -> None:
    with pytest.raises(TypeError, match="AssetAll"):
        Expressions([]).asset(Asset("a") & Asset("b"))


@pytest.mark.parametrize(
    ("asset", "templates"),
    [
        ("Asset('o/{{ ds }}')", 1),
        ("Asset('o', uri='s3://b/{{ ds }}')", 1),
        ("Asset('o {{ ds }}', uri='s3://b/o')", 1),
        ("Asset('o', uri='s3://b/{ds}')", 0),
    ],
)
def test_a_template_is_found_in_the_name_or_the_uri(
    tmp_path: Path, asset: str, templates: int
) -> None:
    text = f"O = {asset}\nemits('load', A, O)\nlistens('report', A & O)"
    findings = found(tmp_path, text)
    assert [each.rule for each in findings] == ["template-asset"] * templates
    assert all((each.tasks, each.dags[1:]) == (("load.emit",), ("report",)) for each in findings)


def test_an_empty_list_is_a_schedule_without_a_run_and_a_clock_or_none_is_not(
    tmp_path: Path,
) -> None:
    text = """
from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable
listens("a_empty", [])
listens("b_none", None)
listens("c_daily", "@daily")
"""
    (one,) = found(tmp_path, text)
    assert (one.rule, one.dags) == ("empty-schedule", ("a_empty",))


def test_both_declarations_of_assets_that_conflict_are_named(tmp_path: Path) -> None:
    text = """
emits("0", A)
emits("one", Asset("orders", uri="s3://b/one"))
with DAG("two", schedule="@daily"):
    EmptyOperator(task_id="read", inlets=[Asset("orders", uri="s3://b/two")])
"""
    (one,) = (each for each in found(tmp_path, text) if each.rule == "asset-conflict")
    assert one.dags == ("one", "two")
    assert "orders (s3://b/one) and orders (s3://b/two) are 2 assets of one name" in one.problem
    assert "a DAG that listens to it never runs" in one.consequence


# who emits, who listens


def test_an_asset_that_is_read_or_terminal_or_heard_needs_no_listener(tmp_path: Path) -> None:
    text = """
T, R, H, N = Asset("t", extra={"terminal": True}), Asset("r"), Asset("h"), Asset("n")
emits("load", T, R, H, N)
listens("report", [H])
with DAG("use", schedule="@daily"):
    EmptyOperator(task_id="read", inlets=[R])
with DAG("own", schedule="@daily"):
    EmptyOperator(task_id="both", inlets=[N], outlets=[N])
"""
    findings = [(each.rule, each.asset) for each in found(tmp_path, text)]
    assert findings == [("no-listener", "n")]


@pytest.mark.parametrize(
    "target", ["{{ params.x }}", "{% if params.x %}a{% else %}b{% endif %}", "a{# which #}"]
)
def test_the_name_of_a_dag_that_is_rendered_is_not_known(tmp_path: Path, target: str) -> None:
    text = f"with DAG('poll'):\n    TriggerDagRunOperator(task_id='t', trigger_dag_id={target!r})\n"
    assert found(tmp_path, text) == []


@pytest.mark.parametrize(
    ("schedule", "says"),
    [
        ("[A]", "it makes no run of report, and logs nothing."),
        ("A & B", "it makes no run of report, and logs nothing."),
        ("A | B", "it makes no run of report for it, only its other assets make runs, and"),
        (
            "AssetOrTimeSchedule(timetable=CronTriggerTimetable('0 0 * * *', timezone='UTC'), assets=[A])",
            "it makes no run of report for it, only its clock makes runs, and",
        ),
    ],
)
def test_a_keyed_event_is_not_said_to_hinder_what_else_makes_runs(
    tmp_path: Path, schedule: str, says: str
) -> None:
    text = f"emits('load', A, schedule=clock('0 0 * * *'))\nemits('more', B)\nlistens('report', {schedule})"
    (one,) = (each for each in found(tmp_path, text) if each.rule == "keyed-event-plain-listener")
    assert says in one.consequence
