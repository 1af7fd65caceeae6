"""`feira recommendations gate` and `approve`: what the gate says of a version, and what a person decides."""

from __future__ import annotations

import getpass
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from feira_local.cli import interaction_files as files
from feira_local.cli.list_versions import asked_list_store, published_lists
from feira_local.cli.output import AsJson, PlainTable, print_json, print_line, print_table, step_bar
from feira_local.cli.runs import parse_day
from feira_local.stack import access
from feira_local.stack.errors import StackError

if TYPE_CHECKING:
    from feira.recommendations.gate import GateFigure, Judgement
    from feira.recommendations.verdicts import Approval, Verdict
    from feira.recommendations.versions import ListStore

_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}-\d{3}")
# Of those in the lake alone.
_NEWEST = 10
_STYLES = {
    "passed": "green",
    "refused": "red",
    "not_enough_to_tell": "yellow",
    "much_drift": "yellow",
}


@dataclass(frozen=True)
class Judged:
    """What became of a version at the gate."""

    verdict: str
    approved_by: str | None

    @property
    def words(self) -> str:
        if self.approved_by:
            return f"approved by {self.approved_by}"
        return "waiting" if self.verdict == "not_enough_to_tell" else self.verdict


def judged_versions(store: ListStore, published: Sequence[str]) -> dict[str, Judged]:
    """What the gate said of these versions, and of the newest of the lake."""
    from feira.recommendations import verdicts

    newest = store.names()[-_NEWEST:]
    found = {}
    for version in {*published, *newest}:
        verdict = verdicts.recorded(store, version)
        if verdict is not None:
            given = verdicts.approvals(store, verdict)
            found[version] = Judged(verdict.verdict, given[0].who if given else None)
    return found


def gate(
    version: Annotated[
        str | None, typer.Argument(help="A version of the lists that the gate has judged.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", help="Judge what a version of these interactions would be, instead of one."
        ),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", help="With --file: the last day that is known, one of its own."),
    ] = None,
    user: files.User = "user",
    item: files.Item = "item",
    time: files.Time = "time",
    time_unit: files.TimeUnit = None,
    quantity: files.Quantity = None,
    items: files.Items = None,
    delimiter: files.Delimiter = ",",
    as_json: AsJson = False,
) -> None:
    """Judge a version of the lists once more, from the snapshots that it was made from.

    Prints each figure with its interval and limit; exits with 1 where the verdict, a figure or the drift differs
    from what was recorded.

    Example: [bold]feira recommendations gate 2010-12-01-001[/]   [bold]feira recommendations gate --file sales.csv
    --as-of 2011-01-31[/]
    """
    if (version is None) == (file is None) or (as_of is None) != (file is None):
        raise StackError(
            "Name a version, or --file with --as-of: `feira recommendations gate 2010-12-01-001`."
        )
    if file is not None:
        columns = files.columns(user, item, time, time_unit, quantity, items, delimiter)
        _judge_file(file, columns, delimiter, str(as_of), as_json)
    else:
        _judge_again(str(version), as_json)


def _judge_file(file: Path, columns: Any, delimiter: str, as_of: str, as_json: bool) -> None:
    from feira.recommendations.gate import judge
    from feira.recommendations.history import require_later_day
    from feira.recommendations.lists import chosen, history_of

    day = parse_day(as_of)
    with step_bar(as_json) as show:
        show("reading", 0, 3)
        read = files.read(file, columns, delimiter)
        require_later_day(
            read.interactions, day, f"--as-of {day} is no day of the file that follows another"
        )
        show("choosing a method by the days before", 1, 3)
        method = chosen(history_of(read.interactions, day))
        show("judging it by the days held out", 2, 3)
        found = judge(read.interactions, day, method)
    if as_json:
        print_json(
            files.as_dict(read) | {"method": method.described(), "as_of": day} | asdict(found)
        )
        return
    files.print_read(read)
    _print_judgement(found, day.isoformat(), None)


def _judge_again(version: str, as_json: bool) -> None:
    from feira.recommendations import verdicts
    from feira.recommendations.gate import OF_LISTS
    from feira_spark.recommendations.gate import drifted, replayed

    with lake_of(version) as store, step_bar(as_json) as show:
        show("reading what was recorded", 0, 3)
        was = verdicts.judged(store, version)
        of_lists = any(each.figure in OF_LISTS for each in was.figures)
        made_of = store.read(version)
        with access.spark_session() as spark:
            of = (*made_of, was.live, was.live_method)
            versions = store if of_lists else None
            # What is held out may be reckoned otherwise by now.
            settings = access.lake_settings()
            show("judging it again", 1, 3)
            found = replayed(spark, settings, *of, versions=versions, days=was.days)
            show("comparing features and lists", 2, 3)
            drift = drifted(spark, store, made_of, was.live)
        given = verdicts.approvals(store, was)
        found, gone = _without_lists(store, was, found)
    differs = _differences(was, found) + _moved(was.drift, drift)
    gone += [each.figure for each in drift if each.value is None]
    if as_json:
        print_json(
            asdict(found)
            | {
                "version": version,
                "live": was.live,
                "drift": [asdict(each) for each in was.drift],
                "not_computed": gone,
                "approvals": [asdict(each) for each in given],
                "differs": differs,
            }
        )
    else:
        _print_judgement(found, was.as_of, was.live, was.drift)
        for each in given:
            print_line(
                f"The method was approved by {each.who} at {each.at} for {each.version}, {_of(each)}: {each.why}"
            )
        if gone:
            print_line(
                f"Not computed again: {', '.join(gone)}. Of {version} or {was.live} the lists or the snapshots of the "
                "features are gone."
            )
        for difference in differs:
            print_line(f"Another than was recorded: {difference}", style="red")
        if not differs:
            print_line("The same as was recorded.")
    if differs:
        raise typer.Exit(1)


def _without_lists(store: ListStore, was: Verdict, found: Judgement) -> tuple[Judgement, list[str]]:
    """Where the lists that were served are removed by now, as recorded what is beside them; and what that is."""
    from feira.recommendations.gate import DIVERSITY, NOVELTY, overall

    live = was.live
    if live is None or (store.removed(live) is None and store.finished(live) is not None):
        return found, []
    recorded = {(it.figure, it.slot): it for it in was.figures}
    gone = {
        key: recorded[key]
        for it in found.figures
        if (key := (it.figure, it.slot)) in recorded and it.figure in (NOVELTY, DIVERSITY)
    }
    if not gone:
        return found, []
    figures = tuple(gone.get((it.figure, it.slot), it) for it in found.figures)
    kept = replace(found, figures=figures, verdict=overall(figures))
    return kept, [" of ".join(key) for key in gone]


def _differences(was: Verdict, found: Judgement) -> list[str]:
    differs = []
    if was.verdict != found.verdict:
        differs.append(f"the verdict was {was.verdict} and is {found.verdict}")
    # A verdict from before there were estimates has none to compare with.
    both = [of.figures + (of.estimates if was.estimates else ()) for of in (was, found)]
    before, after = ({(it.figure, it.slot): it for it in of} for of in both)
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        if old is None or new is None or not _same(old, new):
            then, now = (it.in_words() if it else "not among them" for it in (old, new))
            differs.append(f"{' of '.join(key)}: recorded {then}; now {now}")
    return differs


def _moved(was: Sequence[GateFigure], now: Sequence[GateFigure]) -> list[str]:
    """What of the drift has another value than was recorded; what has none any more, or had none, cannot differ."""
    found = {each.figure: each for each in now}
    return [
        f"{old.figure}: recorded {old.in_words()}; now {new.in_words()}"
        for old in was
        if (new := found.get(old.figure)) is not None and None not in (old.value, new.value)
        if not _same(old, new)
    ]


def _same(old: GateFigure, new: GateFigure) -> bool:
    """Whether two figures are equal, to what another machine's order of adding may change."""
    for each in ("value", "low", "high"):
        before, after = getattr(old, each), getattr(new, each)
        if (before is None) != (after is None):
            return False
        if before is not None and not math.isclose(before, after, rel_tol=1e-6, abs_tol=1e-9):
            return False
    return (old.verdict, old.limit, old.must, old.users) == (
        new.verdict,
        new.limit,
        new.must,
        new.users,
    )


def approve(
    version: Annotated[str, typer.Argument(help="A version that the gate did not let through.")],
    why: Annotated[str, typer.Option("--why", help="The reason, which is recorded.")],
    as_json: AsJson = False,
) -> None:
    """Publish a version of which the gate had not enough to tell, and let later ones of its method through.

    One that is refused for its novelty, diversity or users beside what is served, and for nothing else, can be
    approved too: it is of another kind, or fewer customers are meant.

    Example: [bold]feira recommendations approve 2010-12-01-001 --why "the first lists, looked through by hand"[/]
    """
    from feira.recommendations import release

    with lake_of(version) as store, published_lists() as client:
        given, done = release.approve(client, store, version, _who(), why)
    served = done and done.served
    if as_json:
        approvals = [asdict(each) for each in given]
        print_json({"version": version, "served": served, "approvals": approvals})
        return
    for each in given:
        if each.version != version:
            print_line(
                f"{each.who} has approved of the method already, for {each.version}, {_of(each)}."
            )
    if done is None:
        print_line(f"{version} is approved and has no lists; what is served stays.")
    elif served == version:
        print_line(f"{version} is approved and served from now on.")
    else:
        print_line(f"{version} is approved; {served} stays served, which is newer.")


def _of(given: Approval) -> str:
    return f"though {given.refused} is refused" if given.refused else "with not enough to tell"


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


@contextmanager
def lake_of(version: str) -> Iterator[ListStore]:
    """The versions of the lake; raises StackError where it does not answer, the version has no such name, or the
    gate is asked for its verdict and has none."""
    from feira.recommendations.verdicts import NotJudgedError

    if not _VERSION.fullmatch(version):
        raise StackError(
            f"{version[:80]!r} is no version of lists; they are named as 2010-12-01-001."
        )
    with asked_list_store() as store:
        try:
            yield store
        except NotJudgedError as error:
            raise StackError(
                f"{error} `feira recommendations versions` shows which there are."
            ) from error


def _print_judgement(
    found: Judgement, as_of: str, live: str | None, drift: Sequence[GateFigure] = ()
) -> None:
    print_line(
        f"Held out: {found.cut} to {as_of}, {found.days} days. Beside "
        + (f"{live}, which was served." if live else "no version: none was served.")
    )
    table = PlainTable("figure", "slot", "value", "interval", "limit", "users", "verdict")
    for column in table.columns[2:6]:
        column.justify = "right"
    for each in (*found.figures, *found.estimates, *drift):
        value = "–" if each.value is None else f"{each.value:.3f}"
        ends = "" if each.low is None else f"{each.low:.3f}–{each.high:.3f}"
        limit = f"{each.limit:.2f}" + ("" if each.must == "value" else f" {each.must}")
        limit = limit if each.limit else "–"
        verdict = Text(each.verdict, style=_STYLES.get(each.verdict, ""))
        table.add_row(each.figure, each.slot, value, ends, limit, f"{each.users:,}", verdict)
    print_table(table)
    print_line(f"Verdict: {found.verdict}", style=_STYLES[found.verdict])
