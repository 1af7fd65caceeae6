"""The page of a measured day, and that of all days: each an HTML file with its chart in it, that loads nothing and
runs nothing."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from fsspec import AbstractFileSystem
from jinja2 import Environment, PackageLoader, StrictUndefined

from feira.core.one_line import one_line
from feira.core.partition_keys import day_named
from feira.recommendations.bootstrap import Figure
from feira.recommendations.live.chart import MOST_POSITIONS, chart_png, history_png, most_shown
from feira.recommendations.live.estimate import (
    FEWEST_GROUPS,
    LEAST_SUPPORT,
    MOST_SUPPORT,
    Estimate,
    Measured,
)
from feira.recommendations.live.figures import EVERY_POSITION, LiveFigure
from feira.recommendations.serving.layout import SLOTS

_TEMPLATES = Environment(
    loader=PackageLoader("feira.recommendations.live"),
    # Versions and arms come from events.
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
)


_BOTH = "both"
_DAY_PAGE = re.compile(r"/([^/]+)/live\.html\Z")


@dataclass(frozen=True)
class Arm:
    """A version in an arm and slot: its figures of all positions."""

    list_version: str
    arm: str
    slot: str
    impressions: int
    users: int
    figures: dict[str, str]


def write_page(files: AbstractFileSystem, lake: str, measured: Measured) -> str:
    """Writes the day's page and, beside it, its chart, which the report of a later day has too; in the place of
    earlier ones. Returns the page's URI. A chart is never there without its page."""
    uri, chart = page_uri(lake, measured.day), chart_png(measured)
    files.pipe_file(uri, page(measured, chart).encode())
    files.pipe_file(f"{_pages(lake)}/{measured.day}/chart.png", chart)
    return uri


def write_history(
    files: AbstractFileSystem, lake: str, history: Sequence[tuple[date, LiveFigure]]
) -> str:
    """Writes the page of all days, in the place of the earlier one; returns its URI."""
    uri = history_uri(lake)
    files.pipe_file(uri, history_page(history).encode())
    return uri


def history_uri(lake: str) -> str:
    """Where the page of all days is."""
    return f"{_pages(lake)}/history.html"


def page_uri(lake: str, day: date) -> str:
    """Where the page of a day is."""
    return f"{_pages(lake)}/{day}/live.html"


def measured_days(files: AbstractFileSystem, lake: str) -> list[date]:
    """The days that have a page, the newest last. A folder alone is none: ``measure`` may have been stopped."""
    pages = (_DAY_PAGE.search(path) for path in files.find(_pages(lake)))
    days = (day_named(page[1]) for page in pages if page is not None)
    return sorted(day for day in days if day is not None)


def _pages(lake: str) -> str:
    return f"{lake}/reports/recommendations"


def history_page(history: Sequence[tuple[date, LiveFigure]]) -> str:
    """The CTR of all positions by day, version, arm and slot: as a chart, and as a table with the newest day first.

    :param history: as ``Measured.history``, of the slots too
    """
    by_slot = {
        (day, row.list_version, row.arm, row.slot): _percent(_figure(row)) for day, row in history
    }
    rows = [
        (
            day,
            one_line(row.list_version),
            one_line(row.arm),
            row,
            [by_slot.get((day, row.list_version, row.arm, slot), "–") for slot in (None, *SLOTS)],
        )
        for day, row in reversed(history)
        if row.slot is None
    ]
    chart = base64.b64encode(history_png(history)).decode()
    return _TEMPLATES.get_template("history.html.j2").render(rows=rows, slots=SLOTS, chart=chart)


def page(measured: Measured, chart: bytes) -> str:
    """The day's whole page, with this chart of it."""
    shown = most_shown(measured)
    return _TEMPLATES.get_template("live.html.j2").render(
        day=measured.day,
        impressions=measured.impressions,
        left_out=measured.left_out,
        arms=list(_arms(measured)),
        faults=[
            (one_line(row.list_version), int(row.value), row.users)
            for row in measured.figures
            if row.figure == "users_in_two_arms" and row.value
        ],
        chart=base64.b64encode(chart).decode(),
        shown=[(one_line(version), one_line(arm)) for version, arm in shown],
        positions=list(_positions(measured, shown)),
        most_positions=MOST_POSITIONS,
        estimates=[
            (one_line(each.list_version), each.slot or _BOTH, _estimated(each))
            for each in measured.estimates
        ],
        history=[
            (day, one_line(row.list_version), one_line(row.arm), _percent(_figure(row)), row)
            for day, row in reversed(measured.history)
        ],
    )


def _arms(measured: Measured) -> Iterator[Arm]:
    of_all: dict[tuple[str, str, str], dict[str, LiveFigure]] = {}
    for row in measured.figures:
        if row.position == EVERY_POSITION and row.figure != "users_in_two_arms":
            key = (row.list_version, row.arm, row.slot or _BOTH)
            of_all.setdefault(key, {})[row.figure] = row
    for (version, arm, slot), rows in of_all.items():
        yield Arm(
            one_line(version),
            one_line(arm),
            slot,
            rows["ctr"].impressions,
            rows["ctr"].users,
            {
                name: _percent(_figure(row)) if name != "novelty" else _plain(_figure(row))
                for name, row in rows.items()
            },
        )


def _positions(measured: Measured, shown: list[tuple[str, str]]) -> Iterator[tuple[int, list[str]]]:
    """By position the CTR of each of the versions and arms."""
    ctr = {
        (row.list_version, row.arm, row.position): _percent(_figure(row))
        for row in measured.figures
        if (row.figure, row.slot) == ("ctr", None)
        and EVERY_POSITION < row.position <= MOST_POSITIONS
    }
    for position in sorted({position for _, _, position in ctr}):
        yield position, [ctr.get((*pair, position), "–") for pair in shown]


def _estimated(each: Estimate) -> str:
    """The estimates, or why there is no number."""
    size = f"{each.effective:,.0f} effective of {each.impressions:,} impressions"
    if each.refused is None:
        return f"SNIPS {_percent(each.snips)}, doubly robust {_percent(each.dr)}; {size}"
    support = each.support.value or 0.0
    why = {
        "nothing_logged": "no impression is at a place for which the version has a product",
        "no_clicks": "nothing was clicked",
        "no_support": f"the log could have shown {support:.0%} of the version's products at their "
        f"places (limit {LEAST_SUPPORT:.0%})",
        "doubtful_probabilities": f"the weights are {support:.2f} of what there is (limit {MOST_SUPPORT})",
        "few_users": f"fewer than {FEWEST_GROUPS} groups of users have an impression that counts",
        "small_sample": f"{size}, and {each.needed or 0:,.0f} are needed"
        if each.effective < (each.needed or 0)
        else f"the weights are {_plain(each.support)} of what there is, which is too far from 1",
    }
    return f"No number: {why[each.refused]}."


def _figure(row: LiveFigure) -> Figure:
    return Figure(row.value, row.low, row.high)


def _percent(figure: Figure) -> str:
    if figure.value is None:
        return "–"
    if figure.low is None or figure.high is None:
        return f"{100 * figure.value:.2f} %"
    return f"{100 * figure.value:.2f} % ({100 * figure.low:.2f}–{100 * figure.high:.2f})"


def _plain(figure: Figure) -> str:
    if figure.value is None:
        return "–"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.2f}"
    return f"{figure.value:.2f} ({figure.low:.2f}–{figure.high:.2f})"
