"""Both sides of what decides a rule's level: certain or not, near or far, here or elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from feira_airflow.wiring.finding import Finding
from feira_airflow.wiring.linting import lint

HEAD = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import *
from airflow.sdk import DAG, Asset, BaseOperator, task

A, B = Asset("a"), Asset("b")

def emits(name, *outlets, schedule=None):
    with DAG(name, schedule=schedule):
        EmptyOperator(task_id="emit", outlets=list(outlets))

def listens(name, schedule):
    with DAG(name, schedule=schedule):
        EmptyOperator(task_id="build")

def clock(cron, key_format="%Y-%m-%d"):
    return CronPartitionTimetable(cron, timezone="UTC", key_format=key_format)
"""


def found(tmp_path: Path, text: str) -> list[Finding]:
    (tmp_path / "dags.py").write_text(HEAD + text)
    return list(lint(tmp_path).findings)


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


@pytest.mark.parametrize(
    ("above", "trigger", "level", "ends"),
    [
        ("pass", START, "error", "without end."),
        ("EmptyOperator(task_id='first')", START, "error", "without end."),
        ("task.short_circuit(lambda: True, task_id='whether')()", START, "warning", "is skipped."),
        ("pass", MAPPED, "warning", "is skipped."),
    ],
)
def test_a_cycle_that_a_skipped_task_can_end_is_a_warning(
    tmp_path: Path, above: str, trigger: str, level: str, ends: str
) -> None:
    (one,) = found(tmp_path, TRIGGERS.format(above=above, trigger=trigger))
    assert (one.rule, one.level) == ("cycle", level)
    assert one.consequence.endswith(ends)


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
        ("A", False),
    ],
)
def test_a_cycle_says_whether_anything_begins_it(
    tmp_path: Path, schedule: str, begins: bool
) -> None:
    text = f"emits('refresh', A, schedule={schedule})\nemits('load', B)"
    (one,) = (each for each in found(tmp_path, text) if each.rule == "cycle")
    assert one.consequence.startswith("Each run makes the next, without end")
    assert one.consequence.endswith("makes the first.") != begins


# keys that meet only in another year


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("0 0 1 1 *", "0 0 * * 1", []),  # the next 1 January that is a Monday is in 2029
        ("0 0 1 * *", "0 0 * * 1", []),  # the first of a month that is a Monday is in June
        ("0 0 1 * *", "0 0 2 * *", ["keys-never-meet"]),
        ("0 0 * * 1", "0 0 * * 2", ["keys-never-meet"]),
        # Without a key in the first weeks.
        ("0 0 1 7 *", "0 0 2 * *", ["keys-never-meet"]),
        ("0 0 1 7 *", "0 0 1 4,7 *", []),
        ("0 0 1 7 *", "0 0 * * 1", []),  # a Monday in 2030
        ("0 0 29 2 *", "0 0 1 3 *", ["keys-never-meet"]),
        ("0 0 29 2 *", "0 0 * * 0", []),  # a Sunday in 2032
    ],
)
def test_clocks_are_followed_over_years_before_they_are_said_never_to_meet(
    tmp_path: Path, one: str, other: str, expected: list[str]
) -> None:
    text = f"""
emits("load_a", A, schedule=clock("{one}"))
emits("load_b", B, schedule=clock("{other}"))
listens("report", PartitionedAssetTimetable(assets=A & B))
"""
    assert [each.rule for each in found(tmp_path, text)] == expected


MINUTE = "%Y-%m-%dT%H:%M"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (f"'*/15 * * * *', '{MINUTE}'", f"'7 5 * * *', '{MINUTE}'", ["keys-never-meet"]),
        (f"'*/15 * * * *', '{MINUTE}'", f"'15 5 * * *', '{MINUTE}'", []),
        (f"'* * * * *', '{MINUTE}'", "'0 * * * *', '%Y-%m-%dT%H'", ["keys-never-meet"]),
        (f"'* * * * *', '{MINUTE}'", f"'0 * * * *', '{MINUTE}'", []),
        ("'0 * * * *', '%Y-%m-%dT%H'", "'0 0 * * *'", ["keys-never-meet"]),
        (f"'*/5 * * * *', '{MINUTE}'", f"'0 0 1 7 *', '{MINUTE}'", []),  # too many to be listed
    ],
)
def test_clocks_that_tick_too_often_for_years_are_compared_over_days(
    tmp_path: Path, one: str, other: str, expected: list[str]
) -> None:
    text = f"""
emits("load_a", A, schedule=clock({one}))
emits("load_b", B, schedule=clock({other}))
listens("report", PartitionedAssetTimetable(assets=A & B))
"""
    assert [each.rule for each in found(tmp_path, text)] == expected


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("A & B", ["keys-never-meet"]),
        ("A | B", []),
        ("A & (B | C)", []),  # what is wrong is reported of the DAG that emits C
        ("A & (B | D)", []),
        ("A & (B | E)", []),  # whose keys are added by its task
        ("A & (B | F)", ["no-emitter"]),
        ("A & (B | X)", []),
    ],
)
def test_keys_that_are_not_known_may_meet(
    tmp_path: Path, schedule: str, expected: list[str]
) -> None:
    """C runs where A and B meet, which is never; D runs for either, E for either or at will."""
    text = f"""
C, D, E, F = map(Asset, "CDEF")
X = Asset("x", extra={{"external": True}})
def keyed(assets):
    return PartitionedAssetTimetable(assets=assets)
emits("load_a", A, schedule=clock("0 0 * * 1"))
emits("load_b", B, schedule=clock("0 0 * * 2"))
emits("both", C, schedule=keyed(A & B))
emits("either", D, schedule=keyed(A | B))
with DAG("add", schedule=None):
    @task(outlets=[E])
    def add(*, outlet_events):
        outlet_events[E].add_partitions("2026-01-05")
    add()
listens("report", keyed({schedule}))
for each in (C, D, E):
    listens(f"use_{{each.name}}", keyed(each))
"""
    reported = [each for each in found(tmp_path, text) if "report" in each.dags]
    assert [each.rule for each in reported] == expected


def test_keys_come_through_every_dag_between_however_long_the_way(tmp_path: Path) -> None:
    """The keys that meet come by the longer way: the DAG at its end has others before."""
    text = """
C, D = Asset("c"), Asset("d")
def keyed(assets):
    return PartitionedAssetTimetable(assets=assets)
emits("load_a", A, schedule=clock("0 0 * * 1"))
emits("load_b", B, schedule=clock("0 0 * * 2"))
emits("between", C, schedule=keyed(B))
emits("either", D, schedule=keyed(A | C))
listens("report", keyed(D & B))
"""
    assert found(tmp_path, text) == []


def test_in_a_circle_no_key_is_known(tmp_path: Path) -> None:
    text = """
C, D = Asset("c"), Asset("d")
def keyed(assets):
    return PartitionedAssetTimetable(assets=assets)
emits("load_a", A, schedule=clock("0 0 * * 1"))
emits("one", C, schedule=keyed(A | D))
emits("two", D, schedule=keyed(C))
emits("load_b", B, schedule=clock("0 0 * * 2"))
listens("report", keyed(D & B))
"""
    assert {each.rule for each in found(tmp_path, text)} == {"cycle"}


# mappers


@pytest.mark.parametrize(
    ("schedule", "config", "named"),
    [
        ("A & B", "{A: DAY, B: DAY}", []),
        ("A & B", "{A: DAY, Asset('c'): DAY, B: DAY}", ["c"]),
        ("A & B", "{A: DAY, Asset('c'): DAY, Asset('d'): DAY}", ["c", "d"]),
        ("Asset.ref(uri=B.uri) & A", "{A: DAY, B: DAY}", []),
        ("Asset.ref(name='b') & A", "{A: DAY, B: DAY}", []),
        ("A & B", "{Asset.ref(name='b'): DAY, A: DAY}", []),
        ("A & B", "{Asset.ref(uri='b'): DAY, A: DAY}", ["ref b"]),
        ("A & B & AssetAlias('any')", "{A: DAY, Asset('c'): DAY}", []),
    ],
)
def test_a_mapper_is_used_for_an_asset_that_is_scheduled_by_its_name(
    tmp_path: Path, schedule: str, config: str, named: list[str]
) -> None:
    text = f"""
from airflow.sdk import AssetAlias
DAY = StartOfDayMapper(input_format="%Y-%m-%d")
emits("load", A, B, schedule=clock("0 0 * * *"))
listens("report", PartitionedAssetTimetable(assets={schedule}, partition_mapper_config={config}))
"""
    ignored = [each for each in found(tmp_path, text) if each.rule == "ignored-mapper"]
    assert [each.asset for each in ignored] == named


def test_a_key_that_comes_only_later_is_one_that_the_mapper_can_read(tmp_path: Path) -> None:
    for key, rules in (("2026-06-01", []), ("1999-01-01", ["unreadable-key"])):
        text = f"""
emits("load", A, schedule=clock("0 0 * * *"))
listens("report", PartitionedAssetTimetable(
    assets=A, default_partition_mapper=AllowedKeyMapper(["{key}"])))
"""
        assert [each.rule for each in found(tmp_path, text)] == rules


def test_of_a_cycle_only_the_tasks_that_close_it_are_named(tmp_path: Path) -> None:
    text = """
emits("one", A, Asset("report"), schedule=B)
emits("two", B, schedule=A)
emits("three", B, schedule=[Asset("other", extra={"external": True})])
"""
    (one,) = (each for each in found(tmp_path, text) if each.rule == "cycle")
    assert (one.tasks, one.dags) == (("one.emit", "two.emit"), ("one", "two"))


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
