"""CTR by position, and by day: each version and arm in its colour, with 95 % intervals."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from datetime import date
from typing import TypeVar

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, DateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from feira.core.one_line import one_line
from feira.recommendations.live.estimate import Measured
from feira.recommendations.live.figures import EVERY_POSITION, LiveFigure

WIDTH, HEIGHT, DPI = 9.6, 7.6, 125
# Told apart by whoever sees no red or green too, and each with a mark of its own.
COLOURS, MARKS = ("#c2410c", "#0369a1", "#64748b", "#a16207"), "osD^"
TEXT, FAINT, GRID = "#1e293b", "#64748b", "#e2e8f0"
MOST_SERIES, MOST_POSITIONS = len(COLOURS), 20
_LONGEST_NAME = 40

Point = tuple[float, LiveFigure]
Key = TypeVar("Key", str, tuple[str, str])


def chart_png(measured: Measured) -> bytes:
    """The chart as PNG, 1200 pixels wide; the same bytes for the same figures."""
    return _png(chart(measured))


def chart(measured: Measured) -> Figure:
    """Two axes: by position those of the day with the most impressions, and by day those of the last days."""
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor="white")
    top = figure.add_axes((0.08, 0.58, 0.86, 0.33))
    pairs = most_shown(measured)
    by_position = [
        (
            f"{version} · {arm}",
            [
                (float(row.position), row)
                for row in measured.figures
                if (row.list_version, row.arm, row.figure, row.slot) == (version, arm, "ctr", None)
                and EVERY_POSITION < row.position <= MOST_POSITIONS
            ],
        )
        for version, arm in pairs
    ]
    _series(top, f"CTR by position, {measured.day}", by_position, apart=0.12)
    top.xaxis.set_major_locator(MaxNLocator(MOST_POSITIONS, integer=True))
    top.set_xlabel("position", fontsize=9, color=FAINT)
    bottom = figure.add_axes((0.08, 0.08, 0.86, 0.33))
    title = "CTR of all positions by day, each version a point"
    _by_day(bottom, title, measured.history, lambda row: f"arm {row.arm}")
    return figure


def history_png(history: Sequence[tuple[date, LiveFigure]]) -> bytes:
    """CTR of all positions by day as PNG: on top of both slots by arm, below by slot and arm."""
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor="white")
    top, bottom = (figure.add_axes((0.08, at, 0.86, 0.33)) for at in (0.58, 0.08))
    both = [(day, row) for day, row in history if row.slot is None]
    _by_day(top, "CTR of all positions by day", both, lambda row: f"arm {row.arm}")
    of_slots = [(day, row) for day, row in history if row.slot is not None]
    _by_day(bottom, "The same by slot", of_slots, lambda row: f"{row.slot}, arm {row.arm}")
    return _png(figure)


def _by_day(
    axes: Axes,
    title: str,
    history: Sequence[tuple[date, LiveFigure]],
    named: Callable[[LiveFigure], str],
) -> None:
    """A series a name, and a point a version: one is shown for a day or a few, and an arm goes on."""
    names = _most([(named(row), row.impressions) for _, row in history])
    series = [
        (
            name,
            [(float(date2num(day)), row) for day, row in history if named(row) == name],
        )
        for name in names
    ]
    _series(axes, title, series, apart=0.08)
    if series:
        axes.set_xlim(*(_around(at, history) for at in (0, -1)))
        axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=9))
        axes.xaxis.set_major_formatter(DateFormatter("%d %b %y"))


def _png(figure: Figure) -> bytes:
    output = io.BytesIO()
    # Without the library's version in the file: an upgrade alone changes nothing in the lake.
    FigureCanvasAgg(figure).print_png(output, metadata={"Software": None})
    return output.getvalue()


def most_shown(measured: Measured) -> list[tuple[str, str]]:
    """The versions and arms with the most impressions, as many as the chart tells apart."""
    return _most(
        [
            ((row.list_version, row.arm), row.impressions)
            for row in measured.figures
            if (row.figure, row.position, row.slot) == ("ctr", EVERY_POSITION, None)
        ]
    )


def _most(counted: Sequence[tuple[Key, int]]) -> list[Key]:
    total: dict[Key, int] = {}
    for key, count in counted:
        total[key] = total.get(key, 0) + count
    return sorted(sorted(total, key=lambda key: (-total[key], key))[:MOST_SERIES])


def _series(axes: Axes, title: str, series: list[tuple[str, list[Point]]], *, apart: float) -> None:
    axes.set_title(title, loc="left", fontsize=11, color=TEXT, pad=22)
    for number, (name, points) in enumerate(series):
        # Beside one another: intervals on one line hide each other.
        offset = apart * (number - (len(series) - 1) / 2)
        known = [(at + offset, row, row.value) for at, row in points if row.value is not None]
        values = [value for _, _, value in known]
        below = [value - (value if row.low is None else row.low) for _, row, value in known]
        above = [(value if row.high is None else row.high) - value for _, row, value in known]
        axes.errorbar(
            [at for at, _, _ in known],
            values,
            yerr=[[max(0.0, it) for it in below], [max(0.0, it) for it in above]],
            fmt=MARKS[number],
            color=COLOURS[number],
            markersize=5,
            elinewidth=1.2,
            capsize=2.5,
            label=_short(name),
        )
    if not any(points for _, points in series):
        axes.text(0, 0.93, "Nothing was shown.", transform=axes.transAxes, fontsize=10, color=FAINT)
        axes.set_xticks([])
        axes.set_yticks([])
    else:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1.0), ncols=MOST_SERIES, frameon=False,
            fontsize=8.5, labelcolor=TEXT, borderaxespad=0.1, handletextpad=0.4, columnspacing=1.4,
        )  # fmt: skip
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %"))
        axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#cbd5e1")
    axes.tick_params(length=0, labelsize=9, labelcolor=TEXT)
    axes.tick_params(axis="x", pad=8)


def _around(at: int, history: Sequence[tuple[date, LiveFigure]]) -> float:
    """A day beside the first or last of the history; with few days a point is not as wide as the chart. Before the
    first and after the last that dates have there is none."""
    days = [day.toordinal() for day, _ in history]
    spare = max(1, (10 - (days[-1] - days[0])) // 2)
    beside = days[at] + (spare if at else -spare)
    within = min(max(beside, date.min.toordinal()), date.max.toordinal())
    return float(date2num(date.fromordinal(within)))


def _short(text: str) -> str:
    """Fits its place. A dollar sign would begin a formula, and a label that begins with _ is left out."""
    name = one_line(text, _LONGEST_NAME).replace("$", r"\$")
    return f" {name}" if name.startswith("_") else name
