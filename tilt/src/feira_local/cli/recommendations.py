"""`feira recommendations`: which candidates are worth what, and which version of the lists is served."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.text import Text

from feira.core.errors import first_line
from feira_local.cli import interaction_files as files
from feira_local.cli import recommendations_gate as gate
from feira_local.cli.list_versions import list_store, published_lists
from feira_local.cli.output import (
    AsJson,
    PlainTable,
    print_figures,
    print_json,
    print_line,
    print_table,
    shortened,
    step_bar,
)
from feira_local.cli.recommendations_live import live
from feira_local.cli.runs import parse_day
from feira_local.stack.errors import StackError

if TYPE_CHECKING:
    from feira.recommendations import evaluation, publish
    from feira.recommendations.bootstrap import Figure
    from feira.recommendations.candidates import Candidate


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="What to offer to whom, and how good that is.")
    group.command("evaluate", no_args_is_help=True)(evaluate)
    group.command("versions")(versions)
    group.command("rollback")(rollback)
    group.command("gate", no_args_is_help=True)(gate.gate)
    group.command("live")(live)
    group.command("approve", no_args_is_help=True)(gate.approve)
    app.add_typer(group, name="recommendations")


def evaluate(
    file: Annotated[
        Path, typer.Argument(help="A CSV (also gzip) or Parquet file, or a folder of them.")
    ],
    user: files.User = "user",
    item: files.Item = "item",
    time: files.Time = "time",
    time_unit: files.TimeUnit = None,
    quantity: files.Quantity = None,
    items: files.Items = None,
    delimiter: files.Delimiter = ",",
    cut: Annotated[
        str | None,
        typer.Option(
            "--cut", help="The first day to be foretold; else the last fifth of the days."
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", help="A candidate, once or more often; recent popularity always is one."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print how well each candidate foretells what users take after a day from what came before it.

    By slot: again (what the user had before), new (what it never had), all; with 95 % intervals.

    Example: [bold]feira recommendations evaluate sales.csv --user customer_id --item sku --time created_at[/]
    """
    first_foretold = parse_day(cut) if cut is not None else None
    columns = files.columns(user, item, time, time_unit, quantity, items, delimiter)

    from feira.recommendations import evaluation
    from feira.recommendations.history import default_cut

    chosen = _chosen(only)
    with step_bar(as_json) as show:
        show("reading", 0, len(chosen))
        read = files.read(file, columns, delimiter)
        found = evaluation.evaluate(
            read.interactions, first_foretold or default_cut(read.interactions), chosen, show
        )
    if as_json:
        print_json(files.as_dict(read) | found.as_dict())
        return
    files.print_read(read)
    _print_found(found)


def versions(
    card: Annotated[
        str | None,
        typer.Option(
            "--card",
            help="Print the model card of this version instead, and what the gate found of it.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the versions of the lists, the newest first: which is served, and what the gate said of each.

    Those are shown that are in Valkey, and the newest of the lake that are not: they wait for
    [bold]feira recommendations approve[/], were refused, or an older day's.

    Example: [bold]feira recommendations versions[/]   [bold]feira recommendations versions --card 2010-12-01-001[/]
    """
    from feira.recommendations import card as model_card
    from feira.recommendations import publish, verdicts
    from feira.recommendations.serving.layout import age

    if card is not None:
        with gate.lake_of(card) as store:
            text, found_by_gate = store.card(card), verdicts.recorded(store, card)
        if as_json:
            figures = asdict(found_by_gate) if found_by_gate else None
            print_json({"version": card, "card": text, "gate": figures})
            return
        if found_by_gate:
            text += "\n" + model_card.figures(found_by_gate)
        for line in text.splitlines():
            print_line(line)
        return
    with published_lists() as client:
        in_valkey = publish.versions(client)
    try:
        judged = gate.judged_versions(list_store(), [each.version for each in in_valkey])
        problem = None
    except Exception as error:
        judged, problem = {}, first_line(error)
    found = {each.version: each for each in in_valkey}
    order = sorted({*found, *judged}, key=age, reverse=True)
    if as_json:
        print_json([_version_as_dict(it, found.get(it), judged.get(it)) for it in order])
        return
    if problem:
        print_line(f"What the gate said is not to be had: {problem}.", style="yellow")
    if not order:
        print_line("No version of the lists is in Valkey.")
        return
    table = PlainTable("version", "", "published", "lists", "checksum", "gate")
    table.columns[3].justify = "right"
    for name in order:
        each = found.get(name)
        meta = each.meta if each else None
        state = "not published" if each is None else "incomplete" if meta is None else ""
        shown = (meta.published_at, f"{meta.lists:,}", meta.checksum[:12]) if meta else ("", "", "")
        verdict = judged.get(name)
        words = verdict.words if verdict else "–"
        table.add_row(name, "served" if each and each.live else state, *shown, words)
    print_table(table)
    if not any(each.live for each in in_valkey):
        print_line("No version is served: the API has no lists until one is published.")


def _version_as_dict(
    version: str, found: publish.VersionState | None, judged: gate.Judged | None
) -> dict[str, Any]:
    meta = found.meta if found else None
    return {
        "version": version,
        "served": found is not None and found.live,
        "complete": meta is not None,
        "published_at": meta and meta.published_at,
        "lists": meta and meta.lists,
        "checksum": meta and meta.checksum,
        "gate": judged and judged.verdict,
        "approved_by": judged and judged.approved_by,
    }


def rollback(
    version: Annotated[
        str | None,
        typer.Argument(help="One that is in Valkey; else the newest before the served one."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Serve another version of the lists, an older or a newer one; from the next answer on.

    Example: [bold]feira recommendations rollback[/]   [bold]feira recommendations rollback 2010-12-01-001[/]
    """
    from feira.recommendations import publish
    from feira.recommendations.release import keep_file, serve_file

    problem = None
    with published_lists() as client:
        try:
            wanted = publish.rollback_to(client, version)
        except publish.PublishError as error:
            if version is None or (removed := _removed_on(version)) is None:
                raise
            raise StackError(
                f"{version} was removed from the lake on {removed}, and cannot be served; run its day again for "
                f"new lists. {error}"
            ) from error
        try:
            keep_file(list_store(), wanted)
        except Exception as error:
            # It is what answers where Valkey has nothing; without a lake a bad version is withdrawn all the same.
            problem = first_line(error)
        found = publish.rollback(client, wanted)
        publish.keep_on_disk(client, found.version)
        try:
            if problem is None:
                serve_file(client, list_store(), found.version)
        except Exception as error:
            problem = first_line(error)
    if as_json:
        print_json({"served": found.version, "file_error": problem})
        return
    print_line(f"{found.version} is served from now on.")
    if problem:
        print_line(
            f"The file for when Valkey is down is still the earlier one: {problem}.", style="yellow"
        )


def _removed_on(version: str) -> str | None:
    """The day on which the version's lists were removed from the lake, as far as is known."""
    try:
        removed = list_store().removed(version)
    except Exception:
        return None
    return removed and removed[:10]


def _chosen(only: list[str] | None) -> list[Candidate]:
    from feira.recommendations.candidates import BASELINE, CANDIDATES

    by_name = {each.name.lower(): each for each in CANDIDATES}
    for name in only or ():
        if name.lower() not in by_name:
            raise StackError(
                f"{shortened(name)!r} is no candidate; there is {', '.join(it.name for it in CANDIDATES)}."
            )
    wanted = {name.lower() for name in only or by_name} | {BASELINE.name}
    return [each for name, each in by_name.items() if name in wanted]


def _print_found(found: evaluation.Evaluation) -> None:
    from feira.recommendations.bootstrap import RESAMPLES

    print_line(
        f"Known: {found.first_day} to the day before {found.cut}, {found.interactions_before:,} "
        f"interactions, {found.users_before:,} users, {found.items_before:,} items."
    )
    drawn = found.users_evaluated < found.users_on_both_sides
    print_line(
        f"Foretold: {found.cut} to {found.last_day}, {found.interactions_after:,} interactions; "
        f"{found.users_on_both_sides:,} of the known users have some"
        + (f", of whom {found.users_evaluated:,} were drawn." if drawn else ".")
    )
    for slot in found.slots:
        print_line("")
        print_line(f"{slot.slot}: {slot.users:,} user{'s'[: slot.users != 1]}", style="bold")
        if slot.rows:
            print_figures(_slot_table(slot))
    print_line("")
    print_line(
        f"Below each figure its 95 % interval, from the same {RESAMPLES:,} resamples of users for all. "
        f"× recent is NDCG beside that of {found.baseline}."
    )


def _slot_table(slot: evaluation.SlotTable) -> PlainTable:
    """At most 80 wide, as most terminals are."""
    table = PlainTable(
        *("candidate", "NDCG@10", "× recent", "recall@10"),
        *("hits@10", "coverage", "novelty", "diversity"),
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=0,
    )
    table.columns[0].max_width = 10
    for row in slot.rows:
        table.add_row(
            row.candidate,
            _cell(row.ndcg, 3),
            _cell(row.ratio, 2),
            _cell(row.recall, 3),
            _cell(row.hit_rate, 3),
            f"{row.coverage:.3f}",
            _cell(row.novelty, 2),
            _cell(row.diversity, 3),
        )
    return table


def _cell(figure: Figure, digits: int) -> Text:
    if figure.value is None or figure.low is None or figure.high is None:
        return Text("–", style="dim")
    ends = "–".join(f"{it:.{digits}f}".removeprefix("0") for it in (figure.low, figure.high))
    return Text(f"{figure.value:.{digits}f}\n").append(ends, style="dim")
