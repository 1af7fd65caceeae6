"""The states that `make verify` takes the stack through."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

from feira_local.cli.lineage import events
from feira_local.stack.chains import Chain, follow, start
from feira_local.stack.secrets import load_secrets
from feira_local.stack.state import running_config
from kills import Killer, Moment, Task
from lineage_check import lineage_problems
from matrix import SALES, Matrix
from until import until

FIRST = date(2010, 12, 1)


def day(number: int) -> date:
    """The trading day of that number, from 1; Saturdays are left out, as the real shop was closed."""
    days = [FIRST + timedelta(days=n) for n in range(60)]
    return [d for d in days if d.weekday() != 5][number - 1]


CLOSED, NEW_YEAR = date(2010, 12, 25), date(2011, 1, 1)
KILLED = [day(11), day(14), day(15)]


def run_first_day(m: Matrix) -> None:
    """What all other states need."""
    _update_by_later_day(m, older=day(1), newer=day(2))
    _update_by_later_day(m, older=day(3), newer=day(4))
    m.state("a day", lambda: _a_day(m), every_change=True)


def run_sales(m: Matrix) -> None:
    """The states of sales in turn; each begins where the one before it ended."""
    m.state("the same day again", lambda: same_day_again(m), every_change=True)
    m.state("a later day updates its lines", lambda: _run(m, day(2)), every_change=True)
    m.state("the newer day first", lambda: _run(m, day(4)))
    m.state("then the older one", lambda: _run(m, day(3)))
    m.state(
        "refetched: a line changed, one withdrawn that leaves",
        lambda: _changed(m),
        every_change=True,
    )
    m.state("refetched: withdrawn lines fall back to an older version", lambda: _fall_back(m))
    m.state(
        "refetched: fails the gate, the earlier landing stays",
        lambda: gate(m)[0],
        every_change=True,
    )
    m.state("the same day again after the refused landing", lambda: _run(m, day(1)))
    m.state("refetched as empty", lambda: _empty(m))
    m.state("a closed day", lambda: _run(m, NEW_YEAR))
    m.state("two days published at once", lambda: _run(m, day(5), day(6)))
    m.state("a range, two runs side by side", lambda: _range(m))
    m.state(
        "killed at every task boundary", lambda: killed_at_boundaries(m, KILLED), every_change=True
    )
    m.state("killed in mid-publish", lambda: _killed_in_publish(m))
    m.state("killed between warehouse commit and event", lambda: _killed_after_commit(m))


def _a_day(m: Matrix) -> list[str]:
    """The first day; and what its lineage says, once Spark's listener has sent all."""
    _run(m, day(1))
    secrets = load_secrets(running_config().home).by_name().values()
    problems: list[str] = []

    def settled() -> bool:
        problems[:] = lineage_problems(events(), secrets)
        return not problems

    with suppress(AssertionError):
        until(settled, 30, poll=1)
    return problems


def _run(m: Matrix, *days: date) -> None:
    m.run(*days)


def _update_by_later_day(m: Matrix, older: date, newer: date) -> None:
    """Has the newer day show newer versions of some of the older day's lines."""
    lines = [line for line in m.shop.lines(older) if _is_plain(line)][:3]
    assert len(lines) == 3, f"{older} has no three plain lines"
    m.shop.override(
        newer,
        add=[
            line | {"quantity": line["quantity"] + 7, "updated_at": f"{newer}T12:00:00Z"}
            for line in lines
        ],
    )


def _is_plain(line: dict[str, Any]) -> bool:
    """A line that no rule minds and that another may be made of."""
    return (
        isinstance(line.get("quantity"), int)
        and isinstance(line.get("order_id"), str)
        and line.get("status") == "completed"
        and isinstance(line.get("line_number"), int)
        and line["quantity"] > 0
        and line["line_number"] > 0
        and line.get("currency") == "GBP"
        and str(line.get("created_at", ""))[:10] == str(line.get("updated_at", ""))[:10]
        and str(line.get("created_at", "")).endswith("Z")
        and str(line.get("updated_at")) >= str(line.get("created_at"))
        and isinstance(line.get("sku"), str)
        and line["sku"][:5].isdigit()
        and isinstance(line.get("unit_price"), str)
        and "." in line["unit_price"]
        and len(line["unit_price"].split(".")[1]) <= 2
        and not line["unit_price"].startswith("-")
    )


def same_day_again(m: Matrix) -> list[str]:
    """Runs the first day once more; only its event may be new, and that it agrees with the fact as it is now."""
    before = (m.held.fact_state(), m.held.ledger())
    chains = m.run(day(1))
    state, ledger = m.held.fact_state(), m.held.ledger()
    problems = []
    expected = [(*row[:-1], state[0] if row[0] == day(1) else row[-1]) for row in before[1]]
    if (state, ledger) != (before[0], expected):
        problems.append(
            f"the second run changed snapshot or ledger: {before} became {(state, ledger)}"
        )
    if m.api.events(chains[0].producer) != 1:
        problems.append("the second run did not emit its event")
    return problems


def _changed(m: Matrix) -> None:
    correct(m, day(1))
    m.run(day(1), refetch=True)


def correct(m: Matrix, the_day: date) -> None:
    """Has the shop change one of the day's lines and withdraw another, both of known customers."""
    plain = [line for line in m.shop.lines(the_day) if _is_plain(line)]
    changed, withdrawn = [line for line in plain if line.get("customer_id")][-1:-3:-1]
    m.shop.override(
        the_day,
        replace=[changed | {"quantity": changed["quantity"] + 100}],
        withdraw=[{name: withdrawn[name] for name in ("order_id", "line_number")}],
    )


def _fall_back(m: Matrix) -> None:
    # The later day no longer shows the newer versions that were added to it.
    m.shop.override(day(2), add=[])
    m.run(day(2), refetch=True)


def gate(m: Matrix) -> tuple[list[str], str]:
    """Refetches the first day with half its lines broken; what was wrong, and the run's message."""
    before = m.held.fact_state()
    m.shop.fault("bad_rows", share=0.5, day=str(day(1)))
    try:
        chains = m.run(day(1), refetch=True, fails="validate")
    finally:
        m.shop.clear()
    problems = []
    message = (chains[0].failure or ("", ""))[1]
    if "(limit 5 %)" not in message:
        problems.append(f"the message does not name the limit: {message}")
    if m.held.fact_state() != before:
        problems.append("the fact changed although the landing was refused")
    if m.api.events(chains[0].producer):
        problems.append("an event was emitted although the landing was refused")
    return problems, message


def _empty(m: Matrix) -> None:
    m.shop.override(day(3), empty=True)
    m.run(day(3), refetch=True)


def _range(m: Matrix) -> None:
    m.run(day(7), day(8), day(9), day(10))


def killed_at_boundaries(m: Matrix, days: list[date]) -> list[str]:
    """Kills every task of both DAGs once, as it begins, while new days run."""
    # Asking for the API's health is over too soon to be met; the first question waits.
    m.shop.fault("hang", calls=["health"], seconds=10, count=1)
    try:
        return kill_each(m, days, dict.fromkeys(m.api.tasks_of(SALES, "sales_summary")))
    finally:
        m.shop.clear()


def _killed_in_publish(m: Matrix) -> list[str]:
    def branch_exists() -> bool:
        return bool(m.held.fact_state()[1])

    return kill_each(m, [day(12), day(16), day(17)], {(SALES, "publish"): branch_exists})


def _killed_after_commit(m: Matrix) -> list[str]:
    def committed() -> bool:
        ledger = m.held.ledger()
        return bool(ledger) and ledger[-1][0] == current[0]

    days = [day(13), day(18), day(19)]
    current = list(days)
    moments: dict[str, Moment] = {"load_warehouse": committed, "reconcile": None, "emit": None}
    planned = {(SALES, task): moment for task, moment in moments.items()}
    return kill_each(m, days, planned, each=lambda: current.pop(0))


def kill_each(
    m: Matrix,
    days: list[date],
    moments: Mapping[Task, Moment],
    each: Callable[[], object] = lambda: None,
    producer: str = SALES,
) -> list[str]:
    """Kills each task at its moment; days go on until every task was killed once.

    :param each: is called between one day and the next
    :param producer: the DAG that is started; the tasks may be its own and those of the runs that it sets off
    A moment may be shorter than a look at it takes: what one day has missed, the next one tries.
    Every day must recover and be equal, whatever was killed in it.
    """
    missing, problems = dict(moments), []
    for number, the_day in enumerate(days):
        if producer == SALES:
            m.served.record(the_day, 1)
        chain = start(m.api, producer, the_day)
        killer = Killer(m.api, chain, missing)
        killer.start()
        problems += _recovered(m, chain, killer)
        for task in killer.done:
            missing.pop(task, None)
        if not missing:
            return problems
        if number + 1 < len(days):
            each()
    never = ", ".join(map(".".join, missing))
    return [*problems, f"never killed at their moment: {never}"]


def _recovered(m: Matrix, chain: Chain, killer: Killer) -> list[str]:
    began = time.monotonic()
    follow(m.api, [chain])
    killer.stop()
    problems = []
    if not chain.succeeded:
        problems.append(f"{chain.producer.dag_id} of {chain.day} did not recover: {chain.failure}")
    if m.api.events(chain.producer) != 1:
        problems.append(f"{m.api.events(chain.producer)} events were emitted, not 1")
    versions = _landed_versions(m, chain.day)
    if versions and versions != [1]:
        # A landing that was killed has used up its number.
        m.served.landings[chain.day] = {}
        m.served.record(chain.day, versions[-1])
    killed = ", ".join(map(".".join, killer.done))
    print(f"    killed {killed or 'nothing'}; recovered in {time.monotonic() - began:.0f} s")
    return problems


def _landed_versions(m: Matrix, the_day: date) -> list[int]:
    return sorted(row[1] for row in m.held.ledger() if row[0] == the_day)
