"""Folders as they are written elsewhere, each with all that there is to find in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from feira_wiring.linting import lint

HEAD = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import *
from airflow.sdk import DAG, Asset, AssetAlias, AssetOrTimeSchedule, AssetWatcher
from airflow.sdk import CronTriggerTimetable, asset, task

def emits(name, outlets, schedule):
    with DAG(name, schedule=schedule):
        EmptyOperator(task_id="emit", outlets=outlets)

def uses(name, schedule, **more):
    with DAG(name, schedule=schedule, **more):
        EmptyOperator(task_id="use")

def clock(cron, timezone="UTC", **more):
    return CronPartitionTimetable(cron, timezone=timezone, **more)

def keyed(assets, mapper=IdentityMapper(), **more):
    return PartitionedAssetTimetable(assets=assets, default_partition_mapper=mapper, **more)
"""

FOLDERS: dict[str, tuple[str, list[tuple[str, str, str]]]] = {
    "assets in a loop": (
        """
TABLES = {t: Asset(f"postgres://db/shop/public/{t}") for t in ("orders", "items")}
for t, a in TABLES.items():
    with DAG(f"load_{t}", schedule="@daily"):
        EmptyOperator(task_id="load", outlets=[a])
emits("mart", [Asset("mart", extra={"terminal": True})], list(TABLES.values()))
""",
        [],
    ),
    "assets in class attributes, DAGs by a factory": (
        """
class Assets:
    RAW = Asset("raw")
    CLEAN = Asset("clean")
class Factory:
    out = [Assets.CLEAN]
    def build(self, name, schedule):
        with DAG(name, schedule=schedule) as d:
            @task(outlets=self.out)
            def go(): ...
            go()
        return d
d1 = Factory().build("clean", [Assets.RAW])
emits("raw", Assets.RAW, "@daily")
uses("use", [Assets.CLEAN])
""",
        [],
    ),
    "references by name and by URI": (
        """
emits("emit", [Asset(name="x", uri="s3://b/x")], "@daily")
uses("n", Asset.ref(name="x"))
uses("u", [Asset.ref(uri="s3://b/x")])
""",
        [],
    ),
    "several assets of one function": (
        """
@asset.multi(schedule=clock("0 0 * * *"), outlets=[Asset("one"), Asset("two")])
def both(self, context, outlet_events):
    outlet_events[Asset("one")].extra = {"a": 1}
uses("n", [Asset("one")])
uses("k", keyed(Asset("two")))
""",
        [("keyed-event-plain-listener", "error", "one")],
    ),
    "outlets by override": (
        """
@task
def t(): ...
with DAG("e", schedule="@daily"):
    t.override(outlets=[Asset("a")])()
    t.override(task_id="z", outlets=[Asset("b")]).expand_kwargs([{}, {}])
uses("n", [Asset("a"), Asset("b")])
""",
        [],
    ),
    "outlets by default_args": (
        """
a = Asset("a")
uses("e", "@daily", default_args={"outlets": [a]})
uses("z", [a])
""",
        [],
    ),
    "decorated tasks of every kind": (
        """
a = Asset("a")
with DAG("e", schedule=None):
    @task.virtualenv(requirements=["x"], outlets=[a])
    def go(): return 1
    go()
    @task.external_python(python="/usr/bin/python3", outlets=[Asset("b")])
    def go2(): return 1
    go2()
    @task.bash(outlets=[Asset("c")])
    def go3(): return "echo"
    go3()
    @task.sensor(outlets=[Asset("d")])
    def go4(): return True
    go4()
    @task.short_circuit(outlets=[Asset("f")])
    def go5(): return True
    go5()
uses("z", [a, Asset("b"), Asset("c"), Asset("d"), Asset("f")])
""",
        [],
    ),
    "either and both, nested": (
        """
a, b, c, d = map(Asset, "abcd")
emits("e", [a, c], "@daily")
uses("n", [a | b])
uses("m", (a & (b | c)) | d)
uses("o", ((a & b) | (c & d)))
""",
        [
            ("no-emitter", "error", "b"),
            ("no-emitter", "error", "d"),
            ("no-emitter", "warning", "b"),
            ("no-emitter", "warning", "b"),
            ("no-emitter", "warning", "d"),
        ],
    ),
    "an alias that is spelled otherwise": (
        """
with DAG("e", schedule="@daily"):
    @task(outlets=[AssetAlias("exports")])
    def go(*, outlet_events): outlet_events[AssetAlias("exports")].add(Asset("s3://b/k"))
    go()
uses("z", [AssetAlias("export")])
""",
        [("no-emitter", "error", "alias export")],
    ),
    "a clock beside assets has no key": (
        """
a = Asset("a")
emits("e", [Asset("b")], AssetOrTimeSchedule(timetable=CronTriggerTimetable("0 0 * * *", timezone="UTC"), assets=[a]))
uses("z", keyed(Asset("b")))
""",
        [("no-emitter", "warning", "a"), ("plain-event-keyed-listener", "error", "b")],
    ),
    "a text as an outlet": (
        """
a = Asset("a")
emits("e", ["a"], "@daily")
uses("z", [a])
""",
        [("no-emitter", "error", "a")],
    ),
    "a slash at the end of a URI": (
        """
emits("e", [Asset("s3://bucket/key/")], "@daily")
emits("q", [Asset("S3://Bucket/Key")], "@daily")
uses("z", [Asset("s3://bucket/key")])
""",
        [
            ("asset-conflict", "error", "s3://bucket/key"),
            ("no-emitter", "error", "s3://bucket/key"),
            ("no-listener", "warning", "S3://Bucket/Key"),
            ("no-listener", "warning", "s3://bucket/key/"),
        ],
    ),
    "watchers of two names": (
        """
from airflow.providers.standard.triggers.file import FileDeleteTrigger
def w(n): return Asset("w", watchers=[AssetWatcher(name=n, trigger=FileDeleteTrigger(filepath="/tmp/" + n))])
uses("z", [w("one")])
uses("y", [w("two")])
""",
        [("lost-watcher", "error", "w"), ("two-emitters", "warning", "w")],
    ),
    "a watched asset among the inlets": (
        """
from airflow.providers.standard.triggers.file import FileDeleteTrigger
w = Asset("w", watchers=[AssetWatcher(name="x", trigger=FileDeleteTrigger(filepath="/tmp/x"))])
uses("z", [w])
with DAG("y", schedule=w | Asset("o")):
    EmptyOperator(task_id="r", inlets=[w])
emits("o", [Asset("o")], "@daily")
""",
        [],
    ),
    "events with a key and without": (
        """
a = Asset("a")
emits("e1", [a], "@daily")
emits("e2", [a], clock("0 0 * * *"))
uses("z", [a])
uses("k", keyed(a))
""",
        [
            ("keyed-event-plain-listener", "error", "a"),
            ("plain-event-keyed-listener", "error", "a"),
            ("two-emitters", "warning", "a"),
        ],
    ),
    "keys of two parts": (
        """
a, b = Asset("a"), Asset("b")
C = clock("0 0 * * *", timezone="UTC", key_format="%Y-%m-%d|eu")
emits("e1", [a, b], C)
uses("k", keyed(a,
    mapper=ProductMapper(StartOfDayMapper(input_format="%Y-%m-%d"), AllowedKeyMapper(["eu", "us"]))))
uses("k2", keyed(b, mapper=ProductMapper(StartOfDayMapper(input_format="%Y-%m-%d"), AllowedKeyMapper(["us"]))))
""",
        [("unreadable-key", "error", "b")],
    ),
    "one key for all": (
        """
a, b = Asset("a"), Asset("b")
emits("e2", [a], clock("0 0 * * *"))
emits("k2", [b], keyed(a, mapper=FixedKeyMapper("all")))
uses("k3", keyed(a & b))
""",
        [],
    ),
    "a task that raises without a key to give": (
        """
a = Asset("a")
with DAG("e", schedule=None):
    @task(outlets=[a])
    def go(n=1, *, outlet_events):
        if n < 0:
            raise ValueError(n)
        outlet_events[a].add_partitions([str(n)])
    go()
uses("k", keyed(a))
""",
        [],
    ),
    "a task that is skipped without a key to give": (
        """
from airflow.sdk.exceptions import AirflowSkipException
a = Asset("a")
with DAG("e", schedule=None):
    @task(outlets=[a])
    def go(n=1, *, outlet_events):
        keys = [k for k in range(n)]
        if not keys:
            raise AirflowSkipException
        outlet_events[a].add_partitions([str(k) for k in keys])
    go()
uses("k", [a])
""",
        [("keyed-event-plain-listener", "error", "a")],
    ),
    "asset functions of which one is plain": (
        """
@asset(schedule=clock("0 0 * * *"))
def raw(context, self): ...
@asset(schedule=keyed(raw), uri="s3://x/clean")
def clean(raw): ...
@asset(schedule=clean)
def mart(): ...
""",
        [("keyed-event-plain-listener", "error", "clean"), ("no-listener", "warning", "mart")],
    ),
    "a month that fits and one that does not": (
        """
a = Asset("a")
emits("e", [a], clock("0 0 1 * *"))
uses("k2", keyed(a,
    FanOutMapper(upstream_mapper=StartOfMonthMapper(), window=MonthWindow(), max_downstream_keys=30)))
""",
        [("fan-out-limit", "error", "a")],
    ),
    "five minutes of each hour": (
        """
a = Asset("a")
emits("e", [a], clock("*/5 * * * *"))
uses("m", keyed(a, RollupMapper(upstream_mapper=StartOfHourMapper(), window=HourWindow())))
""",
        [("rollup-never-full", "error", "a")],
    ),
    "hours of the day and an offset of the zone": (
        """
a = Asset("a")
emits("e", [a], clock("0 * * * *", timezone="Europe/Lisbon"))
uses("m", keyed(a,
    RollupMapper(upstream_mapper=StartOfDayMapper(timezone='Europe/Lisbon'), window=DayWindow())))
""",
        [],
    ),
    "a year of days": (
        """
a = Asset("a")
emits("e", [a], clock("0 0 * * *"))
uses("m", keyed(a, RollupMapper(upstream_mapper=StartOfYearMapper(), window=YearWindow())))
""",
        [],
    ),
    "all but two days of a week": (
        """
a = Asset("a")
emits("e", [a], clock("0 0 * * 1-5"))
uses("m", keyed(a,
    RollupMapper(upstream_mapper=StartOfWeekMapper(), window=WeekWindow(), wait_policy=MinimumCount(-2))))
""",
        [],
    ),
    "segments": (
        """
a = Asset("a")
with DAG("e", schedule=None):
    @task(outlets=[a])
    def go(*, outlet_events): outlet_events[a].add_partitions(["eu","us"])
    go()
uses("m", keyed(a, RollupMapper(upstream_mapper=FixedKeyMapper("all"), window=SegmentWindow(["eu","us"]))))
""",
        [],
    ),
    "days of weeks, weeks of days": (
        """
a, b = Asset("a"), Asset("b")
emits("e", [a], clock("0 * * * *"))
emits("d", [b], keyed(a, RollupMapper(upstream_mapper=StartOfDayMapper(), window=DayWindow())))
uses("w", keyed(b,
    RollupMapper(upstream_mapper=StartOfWeekMapper(input_format="%Y-%m-%d"), window=WeekWindow())))
""",
        [],
    ),
    "clocks that meet by the week and not by the day": (
        """
a, b = Asset("a"), Asset("b")
emits("e", [a], clock("0 6 * * 1"))
emits("e2", [b], clock("0 6 * * 3"))
uses("w", keyed(a & b, mapper=StartOfWeekMapper()))
uses("d", keyed(a & b, mapper=StartOfDayMapper()))
uses("o", keyed(a | b, mapper=StartOfDayMapper()))
""",
        [("keys-never-meet", "error", "a")],
    ),
    "zones whose midnights have one name": (
        """
a, b = Asset("a"), Asset("b")
emits("ea", [a], clock("0 0 * * *", timezone="Europe/Lisbon"))
emits("eb", [b], clock("0 0 * * *", timezone="America/New_York"))
uses("m", keyed(a & b))
""",
        [],
    ),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_all_that_is_wrong_in_a_folder_is_found_and_nothing_else(tmp_path: Path, name: str) -> None:
    text, expected = FOLDERS[name]
    (tmp_path / "dags.py").write_text(HEAD + text)
    found = [(each.rule, each.level, str(each.asset)) for each in lint(tmp_path).findings]
    assert sorted(found) == expected
