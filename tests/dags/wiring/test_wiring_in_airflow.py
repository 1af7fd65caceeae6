"""What each rule says of Airflow happens in Airflow: on its own database, by its own scheduler.

Every test deploys the DAG folder that breaks the rule, and the one that does not.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from wiring_deployment import Deployment, Run

# What Airflow does changes with its version alone.
pytestmark = pytest.mark.slow

WIRING = Path(__file__).parent / "folders"
Deploy = Callable[..., Deployment]

MONDAY, TUESDAY = "2010-12-06", "2010-12-07"
WEEK = tuple(f"2010-12-{day:02}" for day in range(6, 13))


def test_a_listener_of_an_asset_that_nobody_emits_never_runs(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "no-emitter" / "broken")
    airflow.run("load_orders", MONDAY)
    airflow.tick()
    assert airflow.events() == [MONDAY]
    assert airflow.runs("report") == []


def test_it_runs_once_the_asset_is_emitted(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "no-emitter" / "fixed")
    airflow.run("load_orders", MONDAY)
    airflow.tick()
    assert airflow.runs("report") == []
    airflow.run("load_rates", MONDAY)
    airflow.tick()
    assert airflow.runs("report") == [Run(MONDAY, 2)]


def test_of_two_assets_of_one_name_only_one_is_active_and_the_listener_never_runs(
    deploy: Deploy,
) -> None:
    airflow = deploy(WIRING / "no-emitter" / "other_uri")
    (active,) = airflow.active_assets()
    airflow.run("load_orders", MONDAY)
    airflow.tick()
    # A task that emits the other one fails, and so nothing is emitted.
    assert airflow.events() == ([MONDAY] if active == ("orders", "feira://orders/") else [])
    assert airflow.runs("report") == []


def test_a_watcher_is_not_started_for_a_reference_to_its_asset(deploy: Deploy) -> None:
    assert deploy(WIRING / "no-emitter" / "watcher_by_reference").watchers() == 0


def test_a_watcher_is_started_for_a_dag_that_is_scheduled_on_its_asset(deploy: Deploy) -> None:
    assert deploy(WIRING / "plain-event-keyed-listener" / "watcher_fixed").watchers() == 1


def test_an_outlet_that_a_task_adds_while_it_runs_is_emitted(deploy: Deploy) -> None:
    """So a listener whose asset nobody is known to emit may run."""
    airflow = deploy(WIRING / "no-emitter" / "outlets_at_run_time")
    airflow.run("load_orders")
    airflow.tick()
    assert airflow.runs("report") == [Run(None, 1)]


def test_an_event_that_nobody_hears_makes_no_run(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "no-listener" / "broken")
    airflow.run("load_orders", MONDAY)
    airflow.tick()
    assert airflow.events() == [MONDAY]
    assert airflow.finish() == 0


def test_an_event_that_is_heard_makes_one(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "no-listener" / "fixed")
    airflow.run("load_orders", MONDAY)
    airflow.tick()
    assert airflow.runs("report") == [Run(MONDAY, 1)]


def test_a_terminal_mark_does_not_keep_a_listener_from_running(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "wrong-terminal-mark" / "broken")
    airflow.run("load_orders", MONDAY)
    airflow.tick()
    assert airflow.runs("report") == [Run(MONDAY, 1)]


def test_two_emitters_make_two_runs_of_one_key_the_first_too_early(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "two-emitters" / "broken")
    airflow.run("load_web", MONDAY)
    airflow.tick()
    assert airflow.runs("report") == [Run(MONDAY, 1)]
    airflow.run("load_shop", MONDAY)
    airflow.tick()
    assert airflow.runs("report") == [Run(MONDAY, 1), Run(MONDAY, 1)]


def test_an_asset_for_each_emitter_makes_one_run_after_both(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "two-emitters" / "fixed")
    airflow.run("load_web", MONDAY)
    airflow.tick()
    assert airflow.runs("report") == []
    airflow.run("load_shop", MONDAY)
    airflow.tick()
    assert airflow.runs("report") == [Run(MONDAY, 2)]


def test_every_instance_of_a_mapped_task_emits(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "two-emitters" / "mapped_broken")
    airflow.run("load_orders", MONDAY, after_each_task=airflow.tick)
    assert airflow.events() == [MONDAY, MONDAY]
    assert airflow.runs("report") == [Run(MONDAY, 1), Run(MONDAY, 1)]


def test_one_task_after_them_emits_once(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "two-emitters" / "mapped_fixed")
    airflow.run("load_orders", MONDAY, after_each_task=airflow.tick)
    assert airflow.events() == [MONDAY]
    assert airflow.runs("report") == [Run(MONDAY, 1)]


def test_a_plain_listener_never_hears_an_event_with_a_key(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "keyed-event-plain-listener" / "broken")
    airflow.run("load_orders", MONDAY)
    airflow.tick()
    assert airflow.events() == [MONDAY]
    assert airflow.runs("report") == []
    assert airflow.audit_log() == []


def test_a_partitioned_listener_hears_it(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "keyed-event-plain-listener" / "fixed")
    airflow.run("load_orders", MONDAY)
    airflow.tick()
    assert airflow.runs("report") == [Run(MONDAY, 1)]


def test_a_partitioned_listener_never_hears_an_event_without_a_key(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "plain-event-keyed-listener" / "broken")
    airflow.run("load_orders")
    airflow.tick()
    assert airflow.events() == [None]
    assert airflow.runs("report") == []
    assert airflow.audit_log() == ["missing partition key"]


def test_it_hears_a_key_that_the_task_adds(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "plain-event-keyed-listener" / "fixed")
    airflow.run("load_orders")
    airflow.tick()
    assert airflow.runs("report") == [Run("2010-12-01", 1)]


def test_a_partitioned_listener_never_hears_a_watcher(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "plain-event-keyed-listener" / "watcher_broken")
    airflow.fire_watcher()
    airflow.tick()
    assert airflow.events() == [None]
    assert airflow.runs("report") == []


def test_it_hears_the_plain_dag_that_stands_between(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "plain-event-keyed-listener" / "watcher_fixed")
    airflow.fire_watcher()
    airflow.tick()
    assert airflow.finish() == 1
    airflow.tick()
    assert airflow.runs("report") == [Run("2010-12-01", 1)]


def test_a_key_that_the_mapper_cannot_read_makes_no_run(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "unreadable-key" / "broken")
    airflow.run("load_orders", MONDAY)
    airflow.tick()
    assert airflow.events() == [MONDAY]
    assert airflow.runs("report") == []
    assert airflow.audit_log() == ["failed to map partition_key"]


def test_a_key_that_it_can_read_makes_one(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "unreadable-key" / "fixed")
    airflow.run("load_orders", MONDAY)
    airflow.tick()
    assert airflow.runs("report") == [Run(MONDAY, 1)]


def test_a_week_of_keys_that_the_window_does_not_name_makes_no_run(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "unreadable-key" / "rollup_broken")
    for day in WEEK:
        airflow.run("load_orders", f"{day}T02:30")
    airflow.tick()
    assert len(airflow.events()) == 7
    assert airflow.runs("report") == []
    assert airflow.audit_log() == []


def test_a_week_of_keys_that_it_names_makes_one(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "unreadable-key" / "rollup_fixed")
    for day in WEEK:
        airflow.run("load_orders", f"{day}T00:00")
    airflow.tick()
    assert airflow.runs("report") == [Run("2010-12-06 (W49)", 7)]


def test_plain_events_make_one_run_and_it_is_given_the_first_alone(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "merged-events" / "broken")
    airflow.run("load_orders")
    airflow.run("load_orders")
    airflow.tick()
    assert airflow.finish() == 1
    airflow.tick()
    assert airflow.runs("report") == [Run(None, 1)]
    airflow.run("load_orders")
    airflow.tick()
    assert airflow.runs("report") == [Run(None, 1), Run(None, 2)]


def test_plain_events_during_a_run_make_one_run_too(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "merged-events" / "broken")
    airflow.run("load_orders")
    airflow.tick()
    for _ in range(2):
        airflow.run("load_orders")
        airflow.tick()
    assert airflow.finish() == 1
    airflow.tick()
    assert airflow.finish() == 1
    airflow.tick()
    assert airflow.runs("report") == [Run(None, 1), Run(None, 1)]


def test_a_plain_event_during_a_pause_waits_for_the_next_event(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "merged-events" / "broken")
    airflow.pause("report", paused=True)
    airflow.run("load_orders")
    airflow.tick()
    airflow.pause("report", paused=False)
    airflow.tick()
    assert airflow.events() == [None]
    assert airflow.runs("report") == []
    airflow.run("load_orders")
    airflow.tick()
    assert airflow.runs("report") == [Run(None, 2)]


def test_keyed_events_make_a_run_for_each_key(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "merged-events" / "fixed")
    airflow.run("load_orders", MONDAY)
    airflow.run("load_orders", TUESDAY)
    airflow.tick()
    assert airflow.runs("report") == [Run(MONDAY, 1), Run(TUESDAY, 1)]


def test_keyed_events_of_the_same_key_make_one_run_together(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "merged-events" / "fixed")
    airflow.run("load_orders", MONDAY)
    airflow.run("load_orders", MONDAY)
    airflow.tick()
    assert airflow.runs("report") == [Run(MONDAY, 2)]


@pytest.mark.parametrize("folder", ["broken", "default_broken"])
def test_the_run_of_a_key_that_comes_during_a_pause_is_never_made(
    deploy: Deploy, folder: str
) -> None:
    airflow = deploy(WIRING / "paused-listener" / folder, airflows_default=True)
    airflow.run("load_orders", MONDAY)
    airflow.tick()
    airflow.pause("report", paused=False)
    airflow.tick()
    assert airflow.runs("report") == []
    airflow.run("load_orders", TUESDAY)
    airflow.tick()
    assert airflow.runs("report") == [Run(TUESDAY, 1)]


def test_a_listener_that_begins_unpaused_gets_every_key(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "paused-listener" / "fixed")
    airflow.run("load_orders", MONDAY)
    airflow.tick()
    airflow.run("load_orders", TUESDAY)
    airflow.tick()
    assert airflow.runs("report") == [Run(MONDAY, 1), Run(TUESDAY, 1)]


def test_a_cycle_goes_on_without_end_from_one_run(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "cycle" / "broken")
    airflow.run("refresh_prices", MONDAY)
    for _ in range(3):
        airflow.tick()
        assert airflow.finish() == 1
    assert len(airflow.events()) == 4
    assert airflow.runs("refresh_stock") == [Run(MONDAY, 1), Run(MONDAY, 1)]
    assert airflow.runs("refresh_prices") == [Run(MONDAY, 1)]


def test_without_the_way_back_it_ends(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "cycle" / "fixed")
    airflow.run("refresh_prices", MONDAY)
    airflow.tick()
    assert airflow.finish() == 1
    airflow.tick()
    assert airflow.finish() == 0
    assert airflow.runs("refresh_stock") == [Run(MONDAY, 1)]


def test_a_cycle_whose_dags_wait_for_each_other_never_begins(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "cycle" / "waiting")
    airflow.run("load_orders", MONDAY)
    airflow.tick()
    assert airflow.runs("refresh_prices") == []
    assert airflow.runs("refresh_stock") == []


def test_airflow_has_no_dag_of_a_file_that_it_cannot_import(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "import-error" / "broken")
    assert list(airflow.import_errors) == ["dags.py"]
    assert airflow.dag_ids() == []


def test_a_run_without_a_key_makes_no_run_of_a_listener_for_keys(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "runtime-key" / "broken")
    airflow.run("load_orders")
    airflow.tick()
    assert (airflow.events(), airflow.runs("report")) == ([None], [])
    airflow.run("load_orders", MONDAY)
    airflow.tick()
    assert airflow.runs("report") == [Run(MONDAY, 1)]


def test_a_task_that_looks_for_the_key_emits_nothing_without_it(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "runtime-key" / "fixed")
    airflow.run("load_orders")
    airflow.run("load_orders", MONDAY)
    airflow.tick()
    assert airflow.events() == [MONDAY]
    assert airflow.runs("report") == [Run(MONDAY, 1)]


def test_more_keys_than_the_limit_make_no_run_at_all(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "fan-out-limit" / "broken")
    airflow.run("load_orders", MONDAY)
    airflow.tick()
    assert airflow.events() == [MONDAY]
    assert airflow.runs("report") == []
    assert airflow.audit_log() == ["partition fan-out exceeded"]


def test_as_many_keys_as_the_limit_make_a_run_each(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "fan-out-limit" / "fixed")
    airflow.run("load_orders", MONDAY)
    airflow.tick()
    assert sorted(airflow.runs("report"), key=str) == [Run(day, 1) for day in WEEK]


def test_a_week_without_its_weekend_is_never_rolled_up(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "rollup-never-full" / "broken")
    for day in WEEK[:5]:
        airflow.run("load_orders", day)
    airflow.tick()
    assert len(airflow.events()) == 5
    assert (airflow.runs("report"), airflow.audit_log()) == ([], [])


def test_a_whole_week_is(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "rollup-never-full" / "fixed")
    for day in WEEK:
        airflow.run("load_orders", day)
    airflow.tick()
    assert airflow.runs("report") == [Run("2010-12-06 (W49)", 7)]


def test_a_key_of_one_asset_waits_for_the_same_key_of_the_other(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "keys-never-meet" / "broken")
    airflow.run("load_orders", MONDAY)
    airflow.run("load_rates", "2010-12")
    airflow.tick()
    assert len(airflow.events()) == 2
    assert (airflow.runs("report"), airflow.audit_log()) == ([], [])


def test_it_runs_once_both_have_it(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "keys-never-meet" / "fixed")
    airflow.run("load_orders", MONDAY)
    airflow.run("load_rates", MONDAY)
    airflow.tick()
    assert airflow.runs("report") == [Run(MONDAY, 2)]


@pytest.mark.parametrize(("folder", "key"), [("broken", MONDAY), ("fixed", "all")])
def test_a_mapper_of_another_asset_is_not_used(deploy: Deploy, folder: str, key: str) -> None:
    airflow = deploy(WIRING / "ignored-mapper" / folder)
    airflow.run("load_orders", MONDAY)
    airflow.tick()
    assert airflow.runs("report") == [Run(key, 1)]


@pytest.mark.parametrize(("folder", "active"), [("broken", 1), ("fixed", 2)])
def test_of_two_assets_of_one_uri_only_one_sets_off_its_listener(
    deploy: Deploy, folder: str, active: int
) -> None:
    airflow = deploy(WIRING / "asset-conflict" / folder)
    assert len(airflow.active_assets()) == active
    airflow.run("load_web")
    airflow.run("load_shop")
    airflow.tick()
    runs = [airflow.runs("report_web"), airflow.runs("report_shop")]
    assert sorted(map(len, runs)) == [active - 1, 1]


@pytest.mark.parametrize(("folder", "watchers"), [("broken", 0), ("fixed", 1)])
def test_a_declaration_without_the_watcher_keeps_it_from_starting(
    deploy: Deploy, folder: str, watchers: int
) -> None:
    assert deploy(WIRING / "lost-watcher" / folder).watchers() == watchers


@pytest.mark.parametrize(("folder", "events"), [("broken", 0), ("fixed", 2)])
def test_an_expression_as_an_outlet_emits_nothing(deploy: Deploy, folder: str, events: int) -> None:
    airflow = deploy(WIRING / "expression-outlet" / folder)
    airflow.run("load_orders")
    airflow.tick()
    assert len(airflow.events()) == events
    assert len(airflow.runs("report")) == (1 if events else 0)


@pytest.mark.parametrize(("folder", "events"), [("broken", 1), ("fixed", 2)])
def test_what_is_written_to_an_event_of_no_outlet_is_dropped(
    deploy: Deploy, folder: str, events: int
) -> None:
    airflow = deploy(WIRING / "stray-event" / folder)
    airflow.run("load_orders")
    airflow.tick()
    assert len(airflow.events()) == events
    assert len(airflow.runs("report")) == 1


@pytest.mark.parametrize("folder", ["no_outlets_broken", "alias_broken"])
def test_so_is_what_a_task_without_outlets_writes(deploy: Deploy, folder: str) -> None:
    airflow = deploy(WIRING / "stray-event" / folder)
    assert airflow.run("load_rates") == "success"
    airflow.tick()
    assert (airflow.events(), airflow.runs("report")) == ([], [])
    airflow.run("load_orders")
    airflow.tick()
    assert airflow.runs("report") == [Run(None, 1)]


@pytest.mark.parametrize("folder", ["broken", "fixed"])
def test_a_dag_with_an_empty_schedule_is_never_run(deploy: Deploy, folder: str) -> None:
    airflow = deploy(WIRING / "empty-schedule" / folder)
    airflow.tick()
    assert airflow.dag_ids() == ["report"]
    assert airflow.finish() == 0


def test_a_template_in_a_uri_is_not_rendered(deploy: Deploy) -> None:
    airflow = deploy(WIRING / "template-asset" / "broken")
    airflow.run("load_orders")
    airflow.tick()
    assert [name for name, _ in airflow.active_assets()] == ["feira://orders/{{ ds }}"]
    assert airflow.runs("report") == [Run(None, 1)]


@pytest.mark.parametrize(("folder", "made"), [("broken", 0), ("fixed", 1)])
def test_an_asset_that_each_parse_renames_is_not_the_one_that_the_task_emits(
    deploy: Deploy, folder: str, made: int
) -> None:
    airflow = deploy(WIRING / "unstable-asset" / folder)
    airflow.parse_for_tasks()
    assert airflow.run("load_orders") == "success"
    airflow.tick()
    assert (len(airflow.events()), len(airflow.runs("report"))) == (made, made)


@pytest.mark.parametrize(("folder", "made"), [("broken", 0), ("fixed", 1)])
def test_a_trigger_of_a_dag_that_is_not_there_starts_nothing(
    deploy: Deploy, folder: str, made: int
) -> None:
    airflow = deploy(WIRING / "missing-dag" / folder)
    airflow.run("load_orders")
    assert airflow.finish() == made


@pytest.mark.parametrize(
    ("folder", "goes_on"), [("trigger_broken", True), ("trigger_fixed", False)]
)
def test_a_cycle_through_a_trigger_goes_on_without_end(
    deploy: Deploy, folder: str, goes_on: bool
) -> None:
    airflow = deploy(WIRING / "cycle" / folder)
    airflow.run("load_orders" if goes_on else "import_orders")
    for _ in range(2):
        airflow.tick()
        airflow.finish()
        airflow.finish()
    airflow.tick()
    assert len(airflow.runs("report")) == (3 if goes_on else 1)
