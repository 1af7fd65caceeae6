"""Rules about the keys of clocks and mappers: what meets, what is full, what is used."""

from __future__ import annotations

from pathlib import Path

import pytest
from wiring_text import found

from feira_wiring import keys, reading

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
        ("A & Y", []),  # a clock emits it too
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
Y = Asset("y", extra={{"external": True}})
emits("load_a", A, schedule=clock("0 0 * * 1"))
emits("load_b", B, schedule=clock("0 0 * * 2"))
emits("load_y", Y, schedule=clock("0 0 * * 3"))
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


def test_a_rollup_names_a_period_that_is_not_the_first_of_the_listing(tmp_path: Path) -> None:
    text = """
emits("load", A, schedule=clock("0 0 1-20 * *"))
listens("report", PartitionedAssetTimetable(assets=A, default_partition_mapper=RollupMapper(
    upstream_mapper=StartOfMonthMapper(input_format="%Y-%m-%d"), window=MonthWindow())))
"""
    (one,) = found(tmp_path, text)
    assert (one.rule, one.level) == ("rollup-never-full", "error")
    assert "'2026-02' lacks 8, such as '2026-02-21'" in one.problem


def test_keys_are_listed_for_a_year_alone_where_the_dag_above_never_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of eleven years they would all be listed for nothing, for each DAG below."""
    listed: list[int] = []
    kept = keys.listed_keys
    monkeypatch.setattr(
        reading,
        "listed_keys",
        lambda clock, days, most: listed.append(days) or kept(clock, days, most),
    )
    text = """
C = Asset("c")
emits("load_a", A, schedule=clock("0 5 * * *"))
emits("load_b", B, schedule=clock("0 6 * * 1", "%Y-%m"))
emits("never", C, schedule=PartitionedAssetTimetable(assets=A & B))
listens("report", PartitionedAssetTimetable(assets=A & C))
"""
    (one,) = (each for each in found(tmp_path, text) if each.rule == "keys-never-meet")
    assert one.dags[0] == "never"
    listed.clear()
    text = text.replace('"0 6 * * 1", "%Y-%m"', '"0 6 * * *", "%Y-%m-%d %H"')
    (one,) = (each for each in found(tmp_path, text) if each.rule == "keys-never-meet")
    assert max(listed) == 400
