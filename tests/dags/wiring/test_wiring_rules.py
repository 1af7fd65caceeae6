"""Each rule finds the DAG folder that breaks it, and nothing in the one that does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from feira_wiring.linting import lint
from feira_wiring.report import Finding, NoSuchRule
from feira_wiring.rules import RULES

WIRING = Path(__file__).parent / "folders"
BROKEN = sorted(path for path in WIRING.glob("*/*broken"))
FIXED = sorted(path for path in WIRING.glob("*/*fixed"))
OFF = [rule.id for rule in RULES if not rule.on]

HEAD = """
from airflow.sdk import *
from airflow.sdk import DAG, Asset, AssetAlias, AssetOrTimeSchedule, CronTriggerTimetable, asset
from airflow.sdk import dag, task

ORDERS = Asset("orders", uri="feira://orders")
RATES = Asset("rates", uri="feira://rates")

def emits(name, *outlets, schedule=PartitionedAtRuntime()):
    with DAG(name, schedule=schedule, is_paused_upon_creation=False):
        task(task_id="emit", outlets=list(outlets))(lambda partition_key=None: None)()

def listens(name, schedule, is_paused_upon_creation=False, **more):
    with DAG(name, schedule=schedule, is_paused_upon_creation=is_paused_upon_creation, **more):
        task(task_id="build")(lambda: None)()

def keyed(assets, **more):
    return PartitionedAssetTimetable(assets=assets, **more)
"""


def found(tmp_path: Path, wiring: str) -> list[Finding]:
    """What the rules find in a DAG file that ends with these lines."""
    (tmp_path / "dags.py").write_text(HEAD + wiring)
    return list(lint(tmp_path, enable=OFF).findings)


def rules(findings: list[Finding]) -> list[str]:
    return [each.rule for each in findings]


def test_every_rule_has_a_folder_that_breaks_it_and_one_that_does_not() -> None:
    ids = {rule.id for rule in RULES}
    assert {path.parent.name for path in BROKEN} == ids | {"import-error"}
    assert {path.parent.name for path in FIXED} == ids


def _asked(folder: Path) -> list[str]:
    """A rule that is off is asked for in the folders that are about it alone."""
    return [rule for rule in OFF if rule == folder.parent.name]


# Of each broken folder: the asset, the DAGs and the tasks that its finding names.
NAMED: dict[str, tuple[str | None, str, str]] = {
    "asset-conflict/broken": (
        "shop_orders", "load_shop load_web report_shop report_web", "load_shop.emit load_web.emit"
    ),
    "cycle/broken": ("prices", "refresh_prices refresh_stock", "refresh_prices.build refresh_stock.build"),
    "cycle/trigger_broken": ("orders", "load_orders report", "load_orders.emit report.start"),
    "empty-schedule/broken": (None, "report", ""),
    "expression-outlet/broken": (None, "load_orders", "load_orders.emit"),
    "fan-out-limit/broken": ("orders", "load_orders report", "load_orders.emit"),
    "ignored-mapper/broken": ("rates", "report", ""),
    "import-error/broken": (None, "", ""),
    "keyed-event-plain-listener/broken": ("orders", "load_orders report", "load_orders.emit"),
    "keys-never-meet/broken": ("orders", "report load_orders load_rates", "load_orders.emit load_rates.emit"),
    "lost-watcher/broken": ("orders", "report", ""),
    "merged-events/broken": ("orders", "report load_orders", "load_orders.emit"),
    "missing-dag/broken": (None, "load_orders", "load_orders.start"),
    "no-emitter/broken": ("rates", "report", ""),
    "no-listener/broken": ("orders", "load_orders", "load_orders.emit"),
    "paused-listener/broken": ("orders", "report", ""),
    "paused-listener/default_broken": ("orders", "report", ""),
    "plain-event-keyed-listener/broken": ("orders", "load_orders report", "load_orders.emit"),
    "plain-event-keyed-listener/watcher_broken": ("file", "report", ""),
    "rollup-never-full/broken": ("orders", "load_orders report", "load_orders.emit"),
    "runtime-key/broken": ("orders", "load_orders report", "load_orders.emit"),
    "stray-event/alias_broken": ("alias any_rates", "load_rates", "load_rates.emit"),
    "stray-event/broken": ("rates", "load_orders", "load_orders.emit"),
    "stray-event/no_outlets_broken": ("rates", "load_rates", "load_rates.emit"),
    "template-asset/broken": ("feira://orders/{{ ds }}", "load_orders report", "load_orders.emit"),
    "two-emitters/broken": ("orders", "load_shop load_web report", "load_shop.emit load_web.emit"),
    "two-emitters/mapped_broken": ("orders", "load_orders report", "load_orders.load"),
    "unreadable-key/broken": ("orders", "load_orders report", "load_orders.emit"),
    "unreadable-key/rollup_broken": ("orders", "load_orders report", "load_orders.emit"),
    "unstable-asset/broken": ("orders", "load_orders report", "load_orders.emit"),
    "wrong-terminal-mark/broken": ("orders", "report", ""),
}  # fmt: skip


@pytest.mark.parametrize("folder", BROKEN, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_broken_folder_breaks_its_rule_alone(folder: Path) -> None:
    findings = lint(folder, enable=_asked(folder)).findings
    rules = {each.rule for each in findings}
    # Nothing emits for a listener where the outlet is an expression.
    assert rules - ({"no-emitter"} if folder.parent.name == "expression-outlet" else set()) == {
        folder.parent.name
    }
    for each in findings:
        assert each.places and each.consequence and each.step
        assert all(place.line for place in each.places) or each.rule == "import-error"
    (of_the_rule,) = (each for each in findings if each.rule == folder.parent.name)
    named = of_the_rule.asset, " ".join(of_the_rule.dags), " ".join(of_the_rule.tasks)
    assert named == NAMED[f"{folder.parent.name}/{folder.name}"]


@pytest.mark.parametrize("folder", FIXED, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_fixed_folder_breaks_no_rule(folder: Path) -> None:
    findings = {each.rule for each in lint(folder, enable=_asked(folder)).findings}
    assert findings == set()


def test_a_rule_that_is_disabled_finds_nothing() -> None:
    report = lint(WIRING / "cycle" / "broken", ["cycle"])
    assert report.findings == ()


def test_a_rule_that_does_not_exist_cannot_be_disabled() -> None:
    with pytest.raises(NoSuchRule, match=r"rule cycles\. .*no-emitter, no-listener"):
        lint(WIRING / "cycle" / "broken", ["cycles"])


def test_an_import_error_cannot_be_disabled() -> None:
    with pytest.raises(NoSuchRule):
        lint(WIRING / "import-error" / "broken", ["import-error"])


# no-emitter


def test_an_alternative_that_nobody_emits_is_a_warning(tmp_path: Path) -> None:
    (one,) = found(tmp_path, "emits('load', ORDERS)\nlistens('report', keyed(ORDERS | RATES))")
    assert (one.rule, one.level, one.asset) == ("no-emitter", "warning", "rates")
    assert one.consequence == "report runs for its other assets only."


def test_a_listener_that_a_clock_sets_off_too_is_a_warning(tmp_path: Path) -> None:
    schedule = "AssetOrTimeSchedule(assets=RATES, timetable=CronTriggerTimetable('@daily', timezone='UTC'))"
    (one,) = found(tmp_path, f"listens('report', {schedule})")
    assert (one.rule, one.level) == ("no-emitter", "warning")
    assert "only the clock makes runs of report" in one.consequence


def test_what_an_alias_may_turn_out_to_be_is_a_warning(tmp_path: Path) -> None:
    load = """
with DAG('load', schedule=PartitionedAtRuntime()):
    @task(outlets=[AssetAlias('any')])
    def emit(name, *, outlet_events, partition_key=None):
        outlet_events[AssetAlias('any')].add(Asset(name))
    emit(task(task_id='name')(lambda: 'rates')())
"""
    (one,) = found(tmp_path, f"{load}\nlistens('report', keyed(RATES))")
    assert (one.rule, one.level) == ("no-emitter", "warning")
    assert "unless a task emits it through an alias" in one.consequence


def test_an_alias_that_no_task_has_is_an_error(tmp_path: Path) -> None:
    (one,) = found(tmp_path, "listens('report', keyed(AssetAlias('any')))")
    assert (one.rule, one.level, one.asset) == ("no-emitter", "error", "alias any")


def test_an_external_asset_needs_no_emitter(tmp_path: Path) -> None:
    external = "Asset('crm', uri='feira://crm', extra={'external': True})"
    assert found(tmp_path, f"listens('report', keyed({external}))") == []


def test_an_asset_of_another_uri_is_named(tmp_path: Path) -> None:
    wiring = "emits('load', ORDERS)\nlistens('report', keyed(Asset('orders', uri='s3://orders')))"
    by_rule = {each.rule: each for each in found(tmp_path, wiring)}
    assert set(by_rule) == {"no-emitter", "no-listener", "asset-conflict"}
    assert "What is emitted is orders (feira://orders" in by_rule["no-emitter"].step


@pytest.mark.parametrize("ref", ["Asset.ref(name='orders')", "Asset.ref(uri=ORDERS.uri)"])
def test_a_reference_is_the_asset_that_it_refers_to(tmp_path: Path, ref: str) -> None:
    assert found(tmp_path, f"emits('load', ORDERS)\nlistens('report', keyed({ref}))") == []


def test_a_reference_to_nothing_has_no_emitter(tmp_path: Path) -> None:
    (one,) = found(tmp_path, "listens('report', keyed(Asset.ref(name='odrers')))")
    assert (one.rule, one.asset) == ("no-emitter", "ref odrers")


def test_a_watcher_that_is_not_started_emits_nothing() -> None:
    (one,) = lint(WIRING / "no-emitter" / "watcher_by_reference").findings
    assert (one.rule, one.level) == ("no-emitter", "error")
    assert one.step.startswith("Its watcher is started only for a DAG that is scheduled on the")


# no-listener


def test_an_asset_that_a_task_reads_needs_no_listener(tmp_path: Path) -> None:
    wiring = """
@asset(schedule=PartitionedAtRuntime())
def prices(partition_key=None): ...

with DAG('report', schedule='@daily'):
    task(task_id='build', inlets=[prices])(lambda: None)()
"""
    assert found(tmp_path, wiring) == []


def test_a_check_of_an_assets_events_does_not_read_it(tmp_path: Path) -> None:
    wiring = """
from feira_provider.operators.asset_event_check import AssetEventCheckOperator

emits('load', ORDERS, RATES)
with DAG('watch', schedule='@daily'):
    AssetEventCheckOperator(task_id='check', asset=ORDERS, partition='2010-12-01')
    task(task_id='read', inlets=[RATES])(lambda: None)()
"""
    (one,) = found(tmp_path, wiring)
    assert (one.rule, one.asset) == ("no-listener", "orders")


def test_outlets_that_are_no_assets_are_left_alone(tmp_path: Path) -> None:
    assert found(tmp_path, "emits('load', 's3://bucket/file')") == []


# two-emitters


def test_two_tasks_of_one_dag_are_two_emitters(tmp_path: Path) -> None:
    wiring = """
with DAG('load', schedule=PartitionedAtRuntime()):
    task(task_id='web', outlets=[ORDERS])(lambda partition_key=None: None)()
    task(task_id='shop', outlets=[ORDERS])(lambda: None)()
listens('report', keyed(ORDERS))
"""
    (one,) = found(tmp_path, wiring)
    assert (one.rule, one.tasks) == ("two-emitters", ("load.web", "load.shop"))


def test_an_asset_that_nobody_hears_hides_no_other_with_two_emitters(tmp_path: Path) -> None:
    wiring = """
emits('rates', Asset('rates'))
emits('web', ORDERS)
emits('shop', ORDERS)
listens('report', keyed(ORDERS))
"""
    assert "two-emitters" in [each.rule for each in found(tmp_path, wiring)]


MAPPED = """
with DAG('load', schedule=PartitionedAtRuntime()):
    @task(outlets=[ORDERS])
    def emit(day, *, outlet_events, partition_key=None):
        {body}
    {call}
listens('report', keyed(ORDERS))
"""
GROUP = """@task_group
    def each_day(day):
        emit(day)
    each_day.expand(day=[1, 2])"""


@pytest.mark.parametrize("call", ["emit.expand(day=[1, 2])", GROUP])
def test_a_mapped_task_is_as_many_emitters_as_it_has_instances(tmp_path: Path, call: str) -> None:
    (one,) = found(tmp_path, MAPPED.format(body="pass", call=call))
    assert one.rule == "two-emitters"
    assert one.problem.endswith("emit, once for each instance of the mapped task.")


def test_a_mapped_task_that_gives_each_instance_a_key_is_one_emitter(tmp_path: Path) -> None:
    body = "outlet_events[ORDERS].add_partitions(str(day))"
    assert found(tmp_path, MAPPED.format(body=body, call="emit.expand(day=[1, 2])")) == []


def test_an_alias_may_have_many_emitters(tmp_path: Path) -> None:
    wiring = """
emits('web', AssetAlias('any'))
emits('shop', AssetAlias('any'))
listens('report', keyed(AssetAlias('any')))
"""
    assert found(tmp_path, wiring) == []


# keys


def test_add_partitions_is_seen_in_a_function_that_the_task_calls(tmp_path: Path) -> None:
    wiring = """
def give_key(event):
    event.add_partitions(['2010-12-01'])

with DAG('load', schedule=None):
    @task(outlets=[ORDERS])
    def emit(*, outlet_events):
        give_key(outlet_events[ORDERS])
    emit()
listens('report', keyed(ORDERS))
"""
    assert found(tmp_path, wiring) == []


def test_add_partitions_is_seen_in_an_operator_of_ones_own(tmp_path: Path) -> None:
    wiring = """
from airflow.sdk import BaseOperator

class Load(BaseOperator):
    def execute(self, context):
        context['outlet_events'][ORDERS].add_partitions('2010-12-01')

with DAG('load', schedule=None):
    Load(task_id='load', outlets=[ORDERS])
listens('report', keyed(ORDERS))
"""
    assert found(tmp_path, wiring) == []


def test_an_alias_carries_its_runs_key(tmp_path: Path) -> None:
    wiring = "emits('load', AssetAlias('any'))\nlistens('report', AssetAlias('any'))"
    assert rules(found(tmp_path, wiring)) == ["keyed-event-plain-listener"]


DAILY = "CronPartitionTimetable('0 0 * * *', timezone='UTC', key_format='%Y-%m-%d')"


def test_a_key_is_followed_through_the_dags_between(tmp_path: Path) -> None:
    wiring = f"""
day = StartOfDayMapper(input_format='%Y-%m-%d')
emits('load', ORDERS, schedule={DAILY})
emits('clean', RATES, schedule=keyed(ORDERS, default_partition_mapper=day))
listens('monthly', keyed(RATES, default_partition_mapper=StartOfMonthMapper()))
"""
    (one,) = found(tmp_path, wiring)
    assert (one.rule, one.dags) == ("unreadable-key", ("clean", "monthly"))
    assert "keys such as '2025-12-29'" in one.problem
    assert "does not match format '%Y-%m-%dT%H:%M:%S'" in one.problem


@pytest.mark.parametrize("between", ["AllowedKeyMapper(['2025-12-30'])", "DAY", "IdentityMapper()"])
def test_a_key_is_followed_through_every_dag_that_uses_one(tmp_path: Path, between: str) -> None:
    """Of the sample keys the mapper between may leave one out: the next is followed."""
    wiring = f"""
C = Asset('c')
DAY = StartOfDayMapper(input_format='%Y-%m-%d')
emits('load', ORDERS, schedule={DAILY})
emits('clean', RATES, schedule=keyed(ORDERS, default_partition_mapper={between}))
emits('more', C, schedule=keyed(RATES))
listens('monthly', keyed(C, default_partition_mapper=StartOfMonthMapper()))
"""
    (one,) = found(tmp_path, wiring)
    assert (one.rule, one.dags) == ("unreadable-key", ("more", "monthly"))


def test_a_mapper_for_one_asset_is_asked_for_that_asset(tmp_path: Path) -> None:
    wiring = f"""
emits('load', ORDERS, RATES, schedule={DAILY})
listens('report', keyed(ORDERS & RATES, partition_mapper_config={{ORDERS: StartOfDayMapper()}}))
"""
    (one,) = found(tmp_path, wiring)
    assert (one.rule, one.asset) == ("unreadable-key", "orders")


def test_a_mapper_for_a_name_near_to_one_that_is_heard_is_said_to_be_meant_for_it(
    tmp_path: Path,
) -> None:
    wiring = f"""
near = Asset('ordrs', uri='s3://other/place')
emits('load', ORDERS, schedule={DAILY})
listens('report', keyed(ORDERS, partition_mapper_config={{near: IdentityMapper()}}))
"""
    (one,) = found(tmp_path, wiring)
    assert (one.rule, one.step.split()[3]) == ("ignored-mapper", "orders?")


def test_a_mapper_that_is_configured_by_uri_is_not_found_by_airflow_either(tmp_path: Path) -> None:
    wiring = f"""
by_uri = Asset.ref(uri=ORDERS.uri)
day = StartOfDayMapper(input_format='%Y-%m-%d')
emits('load', ORDERS, schedule={DAILY})
listens('report', keyed(by_uri, partition_mapper_config={{by_uri: day}},
    default_partition_mapper=StartOfDayMapper()))
"""
    assert rules(found(tmp_path, wiring)) == ["unreadable-key", "ignored-mapper"]


def test_keys_that_are_given_at_run_time_are_not_guessed(tmp_path: Path) -> None:
    wiring = """
emits('load', ORDERS)
listens('report', keyed(ORDERS, default_partition_mapper=StartOfDayMapper()))
"""
    assert found(tmp_path, wiring) == []


# merged-events


def test_a_listener_that_a_clock_sets_off_too_merges_nothing_that_matters(tmp_path: Path) -> None:
    wiring = """
daily = CronTriggerTimetable('0 0 * * *', timezone='UTC')
emits('load', ORDERS, schedule=None)
listens('report', AssetOrTimeSchedule(assets=ORDERS, timetable=daily))
"""
    assert found(tmp_path, wiring) == []


# paused-listener


def test_a_listener_that_says_nothing_begins_as_airflow_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wiring = "emits('load', ORDERS)\nlistens('report', keyed(ORDERS), is_paused_upon_creation=None)"
    (one,) = found(tmp_path, wiring)
    assert (one.rule, one.level, one.dags) == ("paused-listener", "warning", ("report",))
    assert "report does not set is_paused_upon_creation" in one.problem
    assert "The run of a key that comes in that time is never made" in one.consequence
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION", "False")
    assert found(tmp_path, wiring) == []


@pytest.mark.parametrize(("said", "of_the_pause"), [("None", []), ("True", ["paused-listener"])])
def test_a_plain_listener_catches_up_and_is_reported_only_if_it_asks_to_be_paused(
    tmp_path: Path, said: str, of_the_pause: list[str]
) -> None:
    wiring = (
        "emits('load', ORDERS, schedule=None)\n"
        f"listens('report', [ORDERS], is_paused_upon_creation={said})"
    )
    findings = found(tmp_path, wiring)
    assert rules(findings) == ["merged-events", *of_the_pause]
    assert all("waits for the next one" in each.consequence for each in findings[1:])


# cycle


def test_a_dag_that_sets_off_itself_is_a_cycle(tmp_path: Path) -> None:
    (one,) = found(tmp_path, "emits('refresh', ORDERS, schedule=keyed(ORDERS))")
    assert (one.rule, one.problem) == (
        "cycle",
        "refresh listens to orders, which it emits itself.",
    )


def test_a_cycle_is_reported_once_with_its_way_round(tmp_path: Path) -> None:
    wiring = """
C = Asset('c')
emits('a', ORDERS, schedule=keyed(C))
emits('b', RATES, schedule=keyed(ORDERS))
emits('c', C, schedule=keyed(RATES))
listens('report', keyed(C))
"""
    (one,) = found(tmp_path, wiring)
    assert one.problem == "a → b → c → a trigger one another."
    assert one.consequence == (
        "Each run makes the next, without end; and no event from outside makes the first."
    )


def test_what_a_cycle_does_is_told_from_its_conditions(tmp_path: Path) -> None:
    def consequence(schedule: str) -> str:
        wiring = f"""
P = Asset('prices')
emits('load', ORDERS)
emits('refresh', P, schedule=keyed({schedule}))
"""
        (one,) = found(tmp_path, wiring)
        assert one.rule == "cycle"
        return one.consequence

    assert consequence("ORDERS | P") == "Each run makes the next, without end."
    assert consequence("ORDERS & P").startswith("Each waits for an event of the others")
    assert consequence("(ORDERS & P) | Asset('crm', extra={'external': True}) & ORDERS").startswith(
        "A run can make its own next run"
    )


def test_an_event_that_airflow_does_not_hand_on_closes_no_cycle(tmp_path: Path) -> None:
    wiring = """
emits('a', ORDERS, schedule=keyed(RATES))
emits('b', RATES, schedule=ORDERS)
"""
    assert "cycle" not in rules(found(tmp_path, wiring))


# Which rules run


def test_a_rule_that_is_off_runs_only_where_it_is_asked_for() -> None:
    broken = WIRING / "merged-events" / "broken"
    assert lint(broken).findings == ()
    assert {each.rule for each in lint(broken, enable=["merged-events"]).findings} == {
        "merged-events"
    }
    assert {each.rule for each in lint(broken, select=["merged-events"]).findings} == {
        "merged-events"
    }
    assert lint(broken, ["merged-events"], enable=["merged-events"]).findings == ()


def test_selected_rules_run_alone() -> None:
    assert lint(WIRING / "no-listener" / "broken", select=["cycle"]).findings == ()
