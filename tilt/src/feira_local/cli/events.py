"""`feira events`: what the web shop's users do, sent to Kafka."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from feira_local.cli.output import (
    AsJson,
    PlainTable,
    print_json,
    print_line,
    print_table,
    step_bar,
)
from feira_local.cli.runs import parse_range
from feira_local.shop.source import SourceError
from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.lifecycle import Stack
from feira_local.stack.own_connections import FILE as CONNECTIONS
from feira_local.stack.own_connections import own_connections
from feira_local.stack.state import running_config

if TYPE_CHECKING:
    from feira_local.shop.source import DaySource
    from feira_local.web.produce import EventProducer


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="What the web shop's users do.")
    group.callback()(lambda: None)  # with one command alone, typer would leave out its name
    group.command("produce", no_args_is_help=True)(produce)
    app.add_typer(group, name="events")


def produce(
    days: Annotated[str, typer.Argument(metavar="DAY|A..B", help="The day or days, in UTC.")],
    source: Annotated[
        Literal["web", "orders"],
        typer.Option(
            "--source",
            help="Simulated visits, or the purchases of the orders that the shop serves.",
        ),
    ] = "web",
    events: Annotated[
        int | None,
        typer.Option("--events", help="Visits: about so many events a day.", show_default="100000"),
    ] = None,
    users: Annotated[
        int | None,
        typer.Option("--users", help="Users who return; else as many as the shop's customers."),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Else the shop's.")] = None,
    clusters: Annotated[
        int | None,
        typer.Option(
            "--clusters", help="Groups of products that are chosen together; else the shop's."
        ),
    ] = None,
    swapped: Annotated[
        float | None,
        typer.Option(
            "--swapped",
            help="Share of shown positions that are swapped at random: 0.01 to 0.05.",
            show_default="0.02",
        ),
    ] = None,
    out_of_order: Annotated[
        float | None,
        typer.Option(help="Share of messages sent up to ten minutes later.", show_default="0.02"),
    ] = None,
    late: Annotated[
        float | None,
        typer.Option(help="Share of visits sent with the next day's.", show_default="0.005"),
    ] = None,
    duplicate: Annotated[
        float | None, typer.Option(help="Share of messages sent twice.", show_default="0.01")
    ] = None,
    redated: Annotated[
        float | None,
        typer.Option(
            help="Share of messages sent again with the next day's time.", show_default="0.0005"
        ),
    ] = None,
    malformed: Annotated[
        float | None,
        typer.Option(help="Share of messages that are spoiled.", show_default="0.001"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send the events of a day, or of each day of a range, to Kafka.

    The same seed, day and options make the same messages, byte for byte. A day that is sent again is
    in the topic twice, with the same event ids. Orders are
    sent as they are: what shapes visits is refused beside them.

    Example: [bold]feira events produce 2010-12-01[/]   [bold]feira events produce 2010-12-01..2010-12-07
    --events 1000000[/]
    """
    wanted = parse_range(days)
    config = running_config()
    _require_sendable(wanted)
    given = {
        name: value
        for name, value in (
            *(("events", events), ("users", users), ("seed", seed), ("clusters", clusters)),
            *(("swapped", swapped), ("out_of_order", out_of_order), ("late", late)),
            *(("duplicate", duplicate), ("redated", redated), ("malformed", malformed)),
        )
        if value is not None
    }
    Stack.of(config).running_supervisor("kafka")
    _require_read_here(config)
    send = _visits(config, given) if source == "web" else _orders(config, given, wanted)
    began = time.monotonic()
    found: dict[date, Counter[str]] = {}
    failure = None
    with _progress(as_json) as show, _producer(config) as producer:
        for day in wanted:
            try:
                found[day] = send(day, producer, show)
            except SourceError as error:
                # The days before it are sent: these are shown first.
                failure = StackError(str(error))
                break
    if as_json:
        print_json([{"day": day, **counts} for day, counts in found.items()])
    else:
        _print(found, time.monotonic() - began)
    if failure:
        raise failure


# Avro writes the times since then in eight bytes, and Kafka takes none before 1970.
_FIRST = date(1980, 1, 1)


def _require_sendable(days: list[date]) -> None:
    today = datetime.now(UTC).date()
    if days[0] < _FIRST or days[-1] >= today:
        raise StackError(
            f"{days[0] if days[0] < _FIRST else days[-1]} has no events to send: days are from "
            f"{_FIRST} to yesterday, {today - timedelta(days=1)} in UTC. Kafka refuses times that are "
            "still to come."
        )


def _require_read_here(config: StackConfig) -> None:
    if "kafka_default" in own_connections(config.home):
        raise StackError(
            f"{config.home / CONNECTIONS} has a kafka_default, which user_events reads, and simulated events go to the "
            "stack's own broker alone: nothing was sent. Take it out of that file, and start the stack again."
        )


Show = Callable[[date, float], None]
Send = Callable[[date, "EventProducer", Show], Counter[str]]
"""Sends a day's messages and returns how many are of which kind; raises SourceError where the day cannot be read."""


def _visits(config: StackConfig, given: dict[str, Any]) -> Send:
    """Simulated visits, by the options that were given and else as the shop is."""
    from feira_local.shop.taste import Taste, customer_count
    from feira_local.web.day import batches
    from feira_local.web.settings import Disorder, WebSettings

    def stated(kind: type) -> dict[str, Any]:
        return {each.name: given[each.name] for each in fields(kind) if each.name in given}

    shop = {"seed": config.shop.seed, "clusters": config.shop.clusters}
    users = {"users": customer_count(config.shop.lines)}
    try:
        taste, disorder = Taste(**(shop | stated(Taste))), Disorder(**stated(Disorder))
        settings = WebSettings(
            **(users | stated(WebSettings) | {"taste": taste, "disorder": disorder})
        )
    except SourceError as error:
        raise StackError(str(error)) from error

    def send(day: date, producer: EventProducer, show: Show) -> Counter[str]:
        counts: Counter[str] = Counter()
        for batch in batches(settings, day):
            producer.send(batch.messages)
            counts += batch.counts
            counts["messages"] += len(batch.messages.keys)
            show(day, batch.done)
        return counts

    return send


def _orders(config: StackConfig, given: dict[str, Any], days: list[date]) -> Send:
    """The purchases of the shop's orders. Raises StackError where it has none of these days, or options were given."""
    from feira_local.web.orders import order_messages

    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise StackError(
            f"--source orders sends the shop's orders as they are, and {options} is of simulated visits; leave it out."
        )
    try:
        source = _order_source(config)
        for day in days:
            if not source.first_day <= day <= source.last_day:
                raise StackError(
                    f"The shop has no orders of {day}; it has {source.first_day} to {source.last_day}. "
                    "Nothing was sent."
                )
    except SourceError as error:
        raise StackError(str(error)) from error

    def send(day: date, producer: EventProducer, show: Show) -> Counter[str]:
        found = order_messages(source, day, config.shop.seed)
        producer.send(found)
        show(day, 1.0)
        sent = len(found.keys)
        return Counter(event=sent, messages=sent, refused=found.refused)

    return send


def _order_source(config: StackConfig) -> DaySource:
    from feira_local.shop.generator import GeneratedSource, GeneratorSettings
    from feira_local.shop.replay import ReplaySource
    from feira_local.shop.taste import Taste

    if config.shop.data:
        return ReplaySource(config.shop.data)
    return GeneratedSource(
        GeneratorSettings(
            taste=Taste(config.shop.seed, config.shop.clusters), lines_per_day=config.shop.lines
        )
    )


@contextmanager
def _producer(config: StackConfig) -> Iterator[EventProducer]:
    from feira_local.kafka.local import bootstrap
    from feira_local.web.produce import EventProducer, ProduceError

    try:
        with EventProducer(bootstrap(config)) as producer:
            yield producer
    except ProduceError as error:
        raise StackError(
            f"{error} `feira status` shows how it is; `feira up` starts it."
        ) from error


@contextmanager
def _progress(quiet: bool) -> Iterator[Show]:
    """Shows how far each day is on the terminal, if there is one."""
    with step_bar(quiet) as show:
        yield lambda day, done: show(str(day), done, 1.0)


_SHOWN = ("messages", "event", "refused", "late", "redated", "duplicate", "out_of_order")


def _print(found: dict[date, Counter[str]], seconds: float) -> None:
    kinds = {kind for counts in found.values() for kind in counts}
    malformed = [kind for kind in kinds if kind.startswith("malformed")]
    shown = [kind for kind in _SHOWN if kind in ("messages", "event", *kinds)]
    table = PlainTable(
        "day", *(it.replace("_", " ") for it in shown), *["malformed"][: len(malformed)]
    )
    for day, counts in found.items():
        spoiled = [f"{sum(counts[kind] for kind in malformed):,}"][: len(malformed)]
        table.add_row(str(day), *(f"{counts[kind]:,}" for kind in shown), *spoiled)
    for column in table.columns[1:]:
        column.justify = "right"
    print_table(table)
    total = sum(counts["messages"] for counts in found.values())
    print_line(f"{total:,} messages in {seconds:.1f} s.")
