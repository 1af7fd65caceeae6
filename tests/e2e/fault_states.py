"""The faults that `make faults` makes happen: through the simulator's switches, and by killing services."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

import psutil
import psycopg

from feira_local.stack import access
from feira_local.stack.airflow_api import DagRun
from feira_local.stack.chains import Chain, follow, refresh_all, start
from matrix import SALES, Matrix, take_down
from until import until
from verify_states import day, gate, killed_at_boundaries, same_day_again

# Long enough for every retry of a task, each with the API's own tries inside.
PATIENCE = 420


def run_faults(m: Matrix) -> None:
    """Every row of the failure table; each begins where the one before it ended."""
    days = iter(day(number) for number in range(1, 40))
    first = next(days)
    m.state("none: a day as it should be", lambda: _undisturbed(m, first))
    m.state("the same day runs twice", lambda: _twice(m))
    m.state("a refetched day fails the gate", lambda: _refetched_in_vain(m))
    m.state("a task is killed, each of them once", lambda: _tasks_killed(m))
    for name, task, options, words in (
        ("server_error", "land", {"status": 503}, ("503", "page 1", "/health")),
        ("short_page", "land", {"page": 1}, ("announced", "served")),
        ("repeated_page", "land", {"page": 2}, ("page 2 (", "repeats page 1")),
        ("wrong_total", "land", {"by": 3}, ("announced", "served")),
        ("renamed_field", "land", {}, ("field price", "feira.sales.landing")),
        ("extra_field", "land", {}, ("field loyalty_tier", "migrate the tables")),
        ("bad_rows", "validate", {"share": 0.5}, ("(limit 5 %)", "sales.quarantine")),
    ):
        m.state(
            f"the API: {name}",
            partial(_refused, m, next(days), name, options, task, words),
        )
    m.state("the API hangs once", partial(_hangs_once, m, next(days)))
    m.state("the API is down when the run begins", partial(_down_at_first, m, next(days)))
    m.state("a row of the warehouse was changed by hand", lambda: _reconcile_differs(m, first))
    m.state("mail and Slack are down", partial(_nobody_listens, m, next(days)))
    m.state("a day whose event never came", lambda: _silent_day(m))
    m.state("a query that outlasts its task's time", lambda: _query_outlasts(m))
    m.state("two runs that miss their deadline, keyed and set off by an asset", lambda: _late(m))
    for service, task in (
        ("shop", "land"),
        ("s3", "validate"),
        ("spark", "publish"),
        ("s3", "publish"),
        ("postgres", "load_warehouse"),
        ("airflow-scheduler", "transform"),
        ("airflow-api", "validate"),
        ("airflow-triggerer", "validate"),
        ("airflow-dag-processor", "validate"),
    ):
        m.state(
            f"kill -9 of {service} during {task}",
            partial(_service_killed, m, next(days), service, task),
        )


def _undisturbed(m: Matrix, the_day: date) -> None:
    m.run(the_day)
    m.saw = "the day's table"


def _twice(m: Matrix) -> list[str]:
    m.saw = "the same figures; the event again"
    return same_day_again(m)


def _refetched_in_vain(m: Matrix) -> list[str]:
    problems, m.saw = gate(m)
    return problems


def _tasks_killed(m: Matrix) -> list[str]:
    m.saw = "the task's next try"
    return killed_at_boundaries(m, [day(40), day(41), day(42)])


def _refused(
    m: Matrix,
    the_day: date,
    fault: str,
    options: dict[str, Any],
    task: str,
    words: tuple[str, ...],
) -> list[str]:
    """The run must fail in ``task`` with ``words`` in its message, and leave fact, warehouse and
    events alone; once the fault is gone the day must run."""
    before = (m.held.fact_state(), m.held.ledger())
    m.shop.fault(fault, day=str(the_day), **options)
    if task != "land":
        m.served.record(the_day, 1)
    try:
        chain = follow(m.api, [start(m.api, SALES, the_day)], timeout=PATIENCE)[0]
    finally:
        m.shop.clear()
    failed, m.saw = chain.failure or ("nothing", "")
    problems = []
    if failed != task:
        problems.append(f"{task} should have failed, and {failed} did: {m.saw}")
    problems += [f"the message does not say {word!r}" for word in words if word not in m.saw]
    if (m.held.fact_state(), m.held.ledger()) != before:
        problems.append("fact or ledger changed although the run failed")
    if m.api.events(chain.producer):
        problems.append("an event was emitted although the run failed")
    title = f"sales_etl.{task} failed for {the_day}"
    if not m.notifications.both(title):
        problems.append(f"not both channels were notified: {title}")
    # Lines that were landed are what the API has served; once fixed, it serves others.
    m.run(the_day, refetch=task != "land")
    return problems


def _hangs_once(m: Matrix, the_day: date) -> None:
    m.served.record(the_day, 1)
    m.shop.fault("hang", day=str(the_day), seconds=60, count=1)
    chain = _recovered(m, start(m.api, SALES, the_day))
    landed = next(task for task in chain.tasks if task.task_id == "land")
    url = m.shop.url
    log = m.api.log(chain.producer, "land", landed.try_number)
    said = next((line for line in log if url in line and "page 1" in line), None)
    assert said is not None, f"the log of land names no page of {url}: {log}"
    m.saw = f"land took {landed.seconds:.0f} s; its log: {said}"


def _down_at_first(m: Matrix, the_day: date) -> list[str]:
    m.served.record(the_day, 1)
    supervisor = take_down("shop")
    chain = start(m.api, SALES, the_day)
    until(lambda: _states(m, chain, "wait_for_api") == ["deferred"], 60)
    states = _states(m, chain, "wait_for_api")
    supervisor.start("shop")
    _recovered(m, chain)
    m.saw = f"wait_for_api {', '.join(map(str, states))}, without a worker; then it went on"
    return [] if states == ["deferred"] else [f"wait_for_api was {states}, not deferred"]


def _reconcile_differs(m: Matrix, the_day: date) -> list[str]:
    key = "order_id = %(order_id)s AND line_number = %(line_number)s"
    with psycopg.connect(access.warehouse_dsn("warehouse_loader"), autocommit=True) as loader:
        found = loader.execute(
            "SELECT order_id, line_number FROM sales.fact WHERE extract_day = %s "
            "AND status = 'completed' ORDER BY 1, 2 LIMIT 1",
            [the_day],
        ).fetchone()
        assert found is not None
        row = {"order_id": found[0], "line_number": found[1]}
        change = f"UPDATE sales.fact SET amount_usd = amount_usd + %(by)s WHERE {key}"
        loader.execute(change, row | {"by": 1})
        try:
            chain = follow(m.api, [start(m.api, SALES, the_day)], timeout=PATIENCE)[0]
        finally:
            loader.execute(change, row | {"by": -1})
    failed, m.saw = chain.failure or ("nothing", "")
    problems = []
    if failed != "reconcile" or "lake and warehouse differ on 1 of" not in m.saw:
        problems.append(f"reconcile should have failed with both figures: {failed}: {m.saw}")
    figures = re.findall(r"([0-9,]+\.[0-9]{2,4}) USD", m.saw)
    amounts = [Decimal(figure.replace(",", "")) for figure in figures]
    if len(amounts) < 2 or abs(amounts[0] - amounts[1]) != 1:
        problems.append(f"the message has not both figures, a dollar apart: {m.saw}")
    if f"key ({row['order_id']!r}, {row['line_number']})" not in m.saw:
        problems.append(f"the message does not name the key {row}: {m.saw}")
    if not m.notifications.both(f"sales_etl.reconcile failed for {the_day}"):
        problems.append("not both channels were notified")
    if m.api.events(chain.producer):
        problems.append("an event was emitted although lake and warehouse differ")
    m.run(the_day)
    return problems


def _nobody_listens(m: Matrix, the_day: date) -> list[str]:
    """The data must go its way; the messages must arrive once somebody listens again."""
    m.served.record(the_day, 1)
    supervisor = take_down("inbox")
    chain = start(m.api, SALES, the_day)
    until(lambda: _retries(m, chain), PATIENCE)
    problems = []
    rows, different = m.compare()
    problems += different
    if m.api.events(chain.producer) != 1:
        problems.append("the event waits for the notifications")
    if not rows:
        problems.append("nothing was compared")
    supervisor.start("inbox")
    _recovered(m, chain)
    # A mail's subject goes on with the revenue, a message's header does not.
    title = f"Sales of {the_day}"
    if not m.notifications.both(title):
        problems.append(f"not both channels were notified: {title}")
    tries = {t.task_id: t.try_number for t in chain.tasks if t.task_id.startswith("notify_")}
    m.saw = f"the day's table at once; mail and Slack came later, by try {tries}"
    return problems


def _retries(m: Matrix, chain: Chain) -> bool:
    """Whether both notifications have failed once."""
    refresh_all(m.api, [chain])
    waiting = [task for task in chain.tasks if task.task_id.startswith("notify_")]
    return len(waiting) == 2 and all(
        task.state == "up_for_retry" or task.try_number > 1 for task in waiting
    )


def _silent_day(m: Matrix) -> list[str]:
    never = date(2010, 11, 30)
    run = _ended(m, m.api.trigger("sales_watch", None, {"day": str(never)}))
    failed, m.saw = m.api.failure(run) or ("nothing", "")
    problems = []
    if failed != "check_arrival" or str(never) not in m.saw:
        problems.append(f"check_arrival should have failed for {never}: {failed}: {m.saw}")
    if not m.notifications.both("sales_watch.check_arrival failed for "):
        problems.append("not both channels were notified")
    arrived = _ended(m, m.api.trigger("sales_watch", None, {"day": str(day(1))}))
    if arrived.state != "success":
        problems.append(f"the watch failed for {day(1)}, which has arrived")
    return problems


def _query_outlasts(m: Matrix) -> list[str]:
    run = _ended(m, m.api.trigger("drill_timeout", str(day(1)), {}))
    failed, m.saw = m.api.failure(run) or ("nothing", "")
    spark = psutil.Process(access.require_running().supervisor.states()["spark"].pid)
    # A query that went on would take both cores.
    busy = min(spark.cpu_percent(interval=2) for _ in range(5))
    m.saw = f"{failed}: {m.saw or 'its time was up'}; Spark then takes {busy:.0f} % of a core"
    problems = []
    if failed != "query_for_hours":
        problems.append(f"query_for_hours should have run out of time: {failed}")
    if busy > 50:
        problems.append(f"Spark still works on the query: {busy:.0f} % of a core")
    if not m.notifications.both(f"drill_timeout.query_for_hours failed for {day(1)}"):
        problems.append("not both channels were notified")
    return problems


def _late(m: Matrix) -> list[str]:
    keyed = m.api.trigger("drill_deadline_keyed", str(day(1)), {})
    titles = [
        f"{dag_id} has missed its deadline for {day(1)}"
        for dag_id in ("drill_deadline_keyed", "drill_deadline_heard")
    ]
    until(lambda: all(m.notifications.both(title) for title in titles), 120)
    ended = _ended(m, keyed)
    m.saw = "; ".join(titles)
    return [] if ended.state == "success" else ["a missed deadline has ended its run"]


def _ended(m: Matrix, run: DagRun) -> DagRun:
    until(lambda: m.api.run(run.dag_id, run.run_id).finished, PATIENCE)
    return m.api.run(run.dag_id, run.run_id)


def _service_killed(m: Matrix, the_day: date, service: str, task: str) -> list[str]:
    """Kills a service while a task runs; the chain must recover without anybody's help."""
    m.served.record(the_day, 1)
    chain = start(m.api, SALES, the_day)
    until(lambda: any(found[0] == task for found in m.api.processes(chain.producer)), 120)
    supervisor = access.require_running().supervisor
    pid = supervisor.states()[service].pid
    psutil.Process(pid).kill()
    _recovered(m, chain)
    again = supervisor.states()[service]
    assert again.state == "RUNNING" and again.pid != pid, f"{service} was not started again"
    tries = [task for task in chain.tasks if task.try_number > 1]
    m.saw = f"{service} was started again" + "".join(
        f"; {task.task_id}, try 1: {_first_error(m, chain, task.task_id)}" for task in tries
    )
    landed = sorted(row[1] for row in m.held.ledger() if row[0] == the_day)
    if landed and landed != [1]:
        # A landing that was interrupted has used up its number.
        m.served.landings[the_day] = {}
        m.served.record(the_day, landed[-1])
    return []


def _first_error(m: Matrix, chain: Chain, task_id: str) -> str:
    run = chain.of(task_id)
    assert run is not None
    return m.api.error_of(run, task_id, 1)[:200]


def _recovered(m: Matrix, chain: Chain) -> Chain:
    follow(m.api, [chain], timeout=PATIENCE)
    assert chain.succeeded, f"{chain.day} did not recover: {chain.failure}"
    events = m.api.events(chain.producer)
    assert events == 1, f"{events} events were emitted, not 1"
    return chain


def _states(m: Matrix, chain: Chain, task_id: str) -> list[str | None]:
    return [task.state for task in m.api.tasks(chain.producer) if task.task_id == task_id]
