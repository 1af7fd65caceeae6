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


def test_a_plain_listener_waits_for_no_key(tmp_path: Path) -> None:
    text = """
emits("load_a", A, schedule=clock("0 0 * * 1"))
emits("load_b", B, schedule=clock("0 0 * * 2"))
listens("report", [A, B])
"""
    rules = {each.rule for each in found(tmp_path, text)}
    assert rules and "keys-never-meet" not in rules


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
        (f"'* * * * * */5', '{MINUTE}:%S'", "'0 0 * * *'", []),
        ("'0 0,12 * * *', '%p'", "'0 0 * * *'", ["keys-never-meet"]),  # two keys
        ("'0 0 * * *', 'all'", "'0 0 * * *'", []),  # one key proves nothing
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
        (
            "A & G",
            ["plain-event-keyed-listener", "two-emitters"],
        ),  # so does an alias, without a key
        ("A & H", ["keys-never-meet"]),  # from B alone, on another day
        ("B & H", []),
        ("A & J", ["keys-never-meet"]),  # from H
        ("B & J", []),
    ],
)
def test_keys_that_are_not_known_may_meet(
    tmp_path: Path, schedule: str, expected: list[str]
) -> None:
    """C runs where A and B meet, which is never; D runs for either, E for either or at will."""
    text = f"""
C, D, E, F, G, H, J = map(Asset, "CDEFGHJ")
X = Asset("x", extra={{"external": True}})
def keyed(assets):
    return PartitionedAssetTimetable(assets=assets)
Y = Asset("y", extra={{"external": True}})
emits("load_a", A, schedule=clock("0 0 * * 1"))
emits("load_b", B, schedule=clock("0 0 * * 2"))
emits("load_y", Y, schedule=clock("0 0 * * 3"))
emits("both", C, schedule=keyed(A & B))
emits("either", D, schedule=keyed(A | B))
emits("load_g", G, schedule=clock("0 0 * * 3"))
emits("by_b", H, schedule=keyed(B))
emits("by_h", J, schedule=keyed(H))
with DAG("resolve", schedule=None):
    @task(outlets=[AssetAlias("g")])
    def resolve(*, outlet_events):
        outlet_events[AssetAlias("g")].add(G)
    resolve()
with DAG("add", schedule=None):
    @task(outlets=[E])
    def add(*, outlet_events):
        outlet_events[E].add_partitions("2026-01-05")
    add()
listens("report", keyed({schedule}))
for each in (C, D, E, G, H, J):
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
        ("Asset.ref(uri='0') & A", "{A: DAY, B: DAY}", ["b"]),
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
    assert all(("by its URI" in each.problem) == (each.asset == "ref b") for each in ignored)


def test_each_listener_is_looked_at_whatever_is_found_of_those_before(tmp_path: Path) -> None:
    """Those before are plain, of an alias, of a key that comes later, or of one asset."""
    text = """
from airflow.sdk import AssetAlias
WRONG = StartOfMonthMapper()
MONTH = {"upstream_mapper": StartOfMonthMapper(input_format="%Y-%m-%d"), "window": MonthWindow()}
WIDE, FULL = FanOutMapper(max_downstream_keys=3, **MONTH), RollupMapper(**MONTH)
def keyed(name, assets, mapper=IdentityMapper(), **more):
    listens(name, PartitionedAssetTimetable(assets=assets, default_partition_mapper=mapper, **more))
emits("plainly", P := Asset("p"))
with DAG("aliased", schedule=clock("0 0 * * *")):
    @task(outlets=[AssetAlias("any")])
    def emit(*, outlet_events):
        outlet_events[AssetAlias("any")].add(P)
    emit()
emits("load", A, schedule=clock("0 0 * * *"))
emits("mondays", B, schedule=clock("0 0 * * 1"))
emits("tuesdays", C := Asset("c"), schedule=clock("0 0 * * 2"))
listens("a", [P])
keyed("b", AssetAlias("any"), WRONG, partition_mapper_config={Asset("x"): WRONG})
keyed("c", A, AllowedKeyMapper(["2026-06-01"]))
keyed("d", A)
keyed("e", A & B)
keyed("k", A, WRONG)
keyed("l", A, WIDE)
keyed("m", B, FULL)
keyed("n", B & C)
keyed("o", A, partition_mapper_config={Asset("x"): WRONG})
"""
    findings = [each for each in found(tmp_path, text) if each.rule != "two-emitters"]
    assert [(each.rule, {*each.dags} & {*"abcdeklmno"}) for each in findings] == [
        ("keyed-event-plain-listener", {"a"}),  # by the alias; another task sets it off
        ("unreadable-key", {"k"}),
        ("fan-out-limit", {"l"}),
        ("rollup-never-full", {"m"}),
        ("keys-never-meet", {"n"}),
        ("ignored-mapper", {"o"}),
    ]


def test_each_asset_of_a_listener_is_looked_at(tmp_path: Path) -> None:
    """Before the one whose window is never full come one that is not rolled up, and a reference."""
    text = """
FULL = RollupMapper(upstream_mapper=StartOfMonthMapper(input_format="%Y-%m-%d"), window=MonthWindow())
MONTH = StartOfMonthMapper(input_format="%Y-%m-%d")
emits("mondays", A, B, schedule=clock("0 0 * * 1"))
listens("report", PartitionedAssetTimetable(
    assets=Asset.ref(name="a") & A & B, partition_mapper_config={A: MONTH, B: FULL}))
"""
    findings = [each for each in found(tmp_path, text) if each.rule == "rollup-never-full"]
    assert [each.asset for each in findings] == ["b"]


def test_keys_that_never_meet_are_shown_two_of_each(tmp_path: Path) -> None:
    text = """
emits("load_a", A, schedule=clock("0 0 1 7 *"))
emits("load_b", B, schedule=clock("0 0 * * 1"))
listens("report", PartitionedAssetTimetable(
    assets=A & B, partition_mapper_config={A: FixedKeyMapper("x"), B: IdentityMapper()}))
"""
    assert found(tmp_path, text) == []  # one key proves nothing
    text = text.replace('FixedKeyMapper("x")', 'StartOfMonthMapper(input_format="%Y-%m-%d")')
    (one,) = found(tmp_path, text)
    assert "a has '2026-07', '2027-07'" in one.problem or "a has '2026-07';" in one.problem
    assert "b has '2025-12-29', '2026-01-05'." in one.problem


def test_the_limit_of_a_fan_out_is_named_and_counts_only_events_that_have_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
MONTH = FanOutMapper(upstream_mapper=StartOfMonthMapper(input_format="%Y-%m-%d"), window=MonthWindow(){own})
emits("load", A, schedule={clock})
listens("report", PartitionedAssetTimetable(assets=A, default_partition_mapper=MONTH))
"""
    own, clock = ", max_downstream_keys=30", 'clock("0 0 * * *")'
    (one,) = found(tmp_path, text.format(own=own, clock=clock))
    assert (one.rule, one.tasks, one.dags[1:]) == ("fan-out-limit", ("load.emit",), ("report",))
    assert "31 keys" in one.problem
    assert "its max_downstream_keys is 30." in one.problem
    assert found(tmp_path, text.format(own=own.replace("30", "31"), clock=clock)) == []
    monkeypatch.setenv("AIRFLOW__SCHEDULER__PARTITION_MAPPER_MAX_DOWNSTREAM_KEYS", "30")
    (one,) = found(tmp_path, text.format(own="", clock=clock))
    assert "[scheduler] partition_mapper_max_downstream_keys is 30." in one.problem
    (one,) = found(tmp_path, text.format(own=own, clock=None))
    assert one.rule == "plain-event-keyed-listener"


@pytest.mark.parametrize(
    ("cron", "mapper", "window", "expected"),
    [
        # Not even one year lies within the days that are listed.
        ("0 0 1 1 *", "StartOfYearMapper", "YearWindow", []),
        ("0 0 * * 1-5", "StartOfYearMapper", "YearWindow", ["rollup-never-full"]),
        ("0 0 1 * *", "StartOfYearMapper", "YearWindow", []),  # the window is of months
        # A day is brought its own key alone, and only the first of a month can be asked for a window.
        ("0 0 * * *", "StartOfDayMapper", "MonthWindow", ["rollup-never-full"]),
        ("0 0 * * *", "StartOfWeekMapper", "MonthWindow", ["rollup-never-full"]),
        # The window cannot be asked of a day.
        ("0 0 2-28 * *", "StartOfDayMapper", "MonthWindow", ["unreadable-key"]),
        # Nor can the mapper of a key with an hour.
        ("0 0 * * *", "StartOfMonthMapper", "MonthWindow", []),
        ("0 0 * * *', '%Y-%m-%dT%H", "StartOfMonthMapper", "MonthWindow", ["unreadable-key"]),
    ],
)
def test_a_rollup_is_judged_by_periods_that_are_whole(
    tmp_path: Path, cron: str, mapper: str, window: str, expected: list[str]
) -> None:
    text = f"""
emits("load", A, schedule=clock('{cron}'))
listens("report", PartitionedAssetTimetable(assets=A, default_partition_mapper=RollupMapper(
    upstream_mapper={mapper}(input_format="%Y-%m-%d"), window={window}())))
"""
    findings = found(tmp_path, text)
    assert [each.rule for each in findings] == expected
    # Of days that all come, a mapper of less than the window brings it too few.
    brought = [f"its {mapper} brings no period" in each.problem for each in findings]
    assert brought == [(cron, window) == ("0 0 * * *", "MonthWindow")] * len(expected)


def test_a_clock_that_cannot_list_its_keys_has_none_that_are_known() -> None:
    class Raises:
        partitioned = True

        def serialize(self) -> dict[str, str]:
            return {}

        def iter_partition_dagrun_infos(self, **days: object) -> None:
            raise NotImplementedError

    assert keys.listed_keys(Raises(), 1, 1) == ()


def test_an_event_of_a_watcher_or_without_a_key_is_given_one_where_that_can_be(
    tmp_path: Path,
) -> None:
    text = """
from airflow.providers.standard.triggers.file import FileDeleteTrigger
from airflow.sdk import AssetWatcher
W = Asset("w", watchers=[AssetWatcher(name="x", trigger=FileDeleteTrigger(filepath="/in/x"))])
emits("load", A)
listens("report", PartitionedAssetTimetable(assets=A))
listens("watch", PartitionedAssetTimetable(assets=W))
"""
    one, other = found(tmp_path, text)
    assert (one.rule, one.tasks) == ("plain-event-keyed-listener", ("load.emit",))
    assert one.step.startswith("Give the runs of load a key")
    assert (other.rule, other.tasks) == ("plain-event-keyed-listener", ())
    assert other.step.startswith("A watcher's events never have a key.")


def test_a_key_that_comes_only_later_is_one_that_the_mapper_can_read(tmp_path: Path) -> None:
    """Later than the samples, or than a year where those are years apart."""
    for cron, key, rules in (
        ("0 0 * * *", "2026-06-01", []),
        ("0 0 * * *", "1999-01-01", ["unreadable-key"]),
        ("0 0 1 1 *", "2028-01-01", []),
    ):
        text = f"""
emits("load", A, schedule=clock("{cron}"))
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
    assert "the clock of load never makes" in one.problem and "MinimumCount" in one.step


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
