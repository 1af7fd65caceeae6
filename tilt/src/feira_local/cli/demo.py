"""`feira demo`: the stack, days through both chains, and what came of them."""

from __future__ import annotations

import os
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import requests
import typer

from feira_local.cli import events, recommendations_gate
from feira_local.cli import stack as stack_commands
from feira_local.cli.list_versions import list_store
from feira_local.cli.output import PlainTable, print_line, print_table
from feira_local.cli.pipelines import left_out
from feira_local.cli.recommendations_gate import judged_versions
from feira_local.cli.runs import parse_range, run_days
from feira_local.stack import lifecycle
from feira_local.stack.access import loopback_session, warehouse
from feira_local.stack.config import HOST, StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.state import running_config

EVENTS_A_DAY = 20_000
CUSTOMERS = 3
SHOWN = 3
# Who has bought the most products, and which of them last.
_CUSTOMERS = """
    SELECT customer_id, products, sku FROM (
      SELECT customer_id, sku, count(*) OVER (PARTITION BY customer_id) AS products,
        row_number() OVER (PARTITION BY customer_id ORDER BY last_at DESC, sku) AS place
      FROM (
        SELECT customer_id, sku, max(created_at) AS last_at FROM sales.fact
        WHERE status IN ('completed', 'shipped') AND line_kind = 'product'
          AND customer_id IS NOT NULL
        GROUP BY customer_id, sku
      ) bought
    ) ranked
    WHERE place <= %s ORDER BY products DESC, customer_id, place LIMIT %s
"""
_NAMES = """
    SELECT sku, description FROM (
      SELECT sku, description, row_number() OVER (PARTITION BY sku ORDER BY updated_at DESC) AS place
      FROM sales.fact WHERE description IS NOT NULL
    ) named
    WHERE place = 1
"""


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    days: Annotated[
        str, typer.Option("--days", help="A day, or a range as A..B; closed days included.")
    ] = "2010-12-01",
    data: Annotated[
        Path | None,
        typer.Option("--data", help="A folder of Online Retail days to replay."),
    ] = None,
) -> None:
    """Start the stack, run days from the shop's API to the marts, and with the days' user events to the
    recommendations, and show each chain as it happens.

    Without --data the shop simulator makes the sales from a seed. Ctrl-C stops everything.

    Example: [bold]feira demo --data ../shared/data/online_retail --days 2010-12-01..2010-12-23[/]
    """
    wanted = parse_range(days)
    if data is not None and not data.is_dir():
        raise StackError(f"{data} is no folder; --data takes one of gzip CSV files, one a day.")
    try:
        replayed = {} if data is None else {"FEIRA_SHOP_DATA": str(data.resolve())}
        stack_commands.start(StackConfig.from_env(os.environ | replayed))
        print_line("")
        run_days("sales", wanted, refetch=False, as_json=False, stays=False)
        missing = sorted({*left_out("user_events"), *left_out("recommendations")})
        if missing:
            print_line(f"No recommendations: the stack runs without {' and '.join(missing)}.")
        else:
            _recommend(days, wanted)
        print_line("The stack stays up: `make down` stops it, `feira status` shows it.")
    except KeyboardInterrupt:
        print_line("Stopping the stack. A run that is cut off continues when it is started again.")
        lifecycle.down(StackConfig.from_env())
        raise


def _recommend(days: str, wanted: list[date]) -> None:
    """Sends the days' user events, runs them to the lists, and shows what is offered to some customers."""
    # Simulated visits are to the simulated shop's products; real customers have what they ordered.
    real = running_config().shop.data is not None
    print_line("")
    if real:
        events.produce(days, source="orders")
    else:
        events.produce(days, events=EVENTS_A_DAY)
    try:
        run_days("user_events", wanted, refetch=False, as_json=False, stays=False)
    except typer.Exit:
        _explain_refusals()
        raise
    _approve(wanted[-1])
    _print_offers()


def _explain_refusals() -> None:
    """Says what it means where the gate has refused a version."""
    judged = judged_versions(list_store(), [])
    refused = sorted(version for version, each in judged.items() if each.words == "refused")
    if refused:
        print_line(
            f"The gate has refused {', '.join(refused)}: what customers did on the days that it holds out says that "
            "other lists would have served them better. The sales are complete, and what is served stays. Each "
            f"figure and its limit: `feira recommendations gate {refused[-1]}`"
        )


def _approve(day: date) -> None:
    """Lets a first version through of which the gate has not enough to tell, as of a shop of a few days."""
    judged = judged_versions(list_store(), [])
    version = max((each for each in judged if each.startswith(f"{day}-")), default=None)
    if version is None or judged[version].words != "waiting":
        return
    why = "the demo's lists"
    print_line(
        f"The gate has not enough to tell of {version}: a few days show too little of what users do next. "
        f"The demo approves: `feira recommendations approve {version} --why {why!r}`"
    )
    recommendations_gate.approve(version, why)


def _print_offers() -> None:
    """What three customers bought last and what they are offered, by name, with the reasons and the links."""
    api = f"http://{HOST}:{running_config().ports.own['recommendations']}"
    with warehouse() as connection:
        names = dict(connection.execute(_NAMES).fetchall())
        rows = connection.execute(_CUSTOMERS, [SHOWN, SHOWN * CUSTOMERS]).fetchall()
    customers = [
        (str(customer), products, [sku for *_, sku in found])
        for (customer, products), found in groupby(rows, key=lambda row: row[:2])
    ][:CUSTOMERS]
    for customer, products, last in customers:
        table = PlainTable("", f"customer {customer}", "")
        for number, sku in enumerate(last):
            table.add_row("" if number else f"bought {products:,}, last", names.get(sku, sku), "")
        for slot in ("again", "new"):
            for number, offer in enumerate(_offers(api, customer, slot)):
                of = offer.get("reason_item")
                reason = " ".join(
                    [offer["reason"].replace("_", " "), *([names.get(of, of)] if of else [])]
                )
                shown = names.get(offer["item"], offer["item"])
                table.add_row("" if number else f"offered, {slot}", shown, reason)
        print_line("")
        print_table(table)
    print_line("")
    for customer, _, _ in customers:
        print_line(f"  {customer:<12} {api}/recommendations/{customer}?slot=new&n={SHOWN}")
    print_line(f"  page         {api}/ui?user={customers[0][0] if customers else ''}")
    print_line(f"  API          {api}/docs")
    print_line(f"  reports      {running_config().inbox_url}")


def _offers(api: str, customer: str, slot: str) -> list[dict[str, Any]]:
    url = f"{api}/recommendations/{customer}"
    try:
        with loopback_session() as session:
            answer = session.get(url, params={"slot": slot, "n": str(SHOWN)}, timeout=10)
            answer.raise_for_status()
            found: list[dict[str, Any]] = answer.json()["items"]
            return found
    except (requests.RequestException, ValueError, KeyError) as error:
        raise StackError(
            f"The API of recommendations does not answer at {url} ({type(error).__name__}); `feira status` "
            "shows whether it runs."
        ) from None
