"""A report's chart: revenue by day with the day marked, its top products, quarantine by rule."""

from __future__ import annotations

import io
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, DateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from feira.core.one_line import isolated, one_line
from feira.summary.model import DayReport, ProductSales
from feira.summary.wording import counted, number, outcome_sentence, rules, top_products

WIDTH, HEIGHT, DPI = 9.6, 8.4, 125
MARKED, OTHER, WARNING, TEXT, FAINT = "#c2410c", "#94a3b8", "#b45309", "#1e293b", "#64748b"
LEFT, RIGHT = 0.03, 0.97
# The chart stays legible; the CSV has every rule.
_MOST_RULES = 8
_LONGEST_NAME, _LONGEST_CODE = 48, 16
_FEWEST_DAYS = 15


def chart_png(report: DayReport) -> bytes:
    """The chart as PNG, 1200 pixels wide; the same bytes for the same report."""
    output = io.BytesIO()
    # Without the library's version in the file: an upgrade alone changes nothing in the lake.
    FigureCanvasAgg(chart(report)).print_png(output, metadata={"Software": None})
    return output.getvalue()


def chart(report: DayReport) -> Figure:
    """The chart's three axes: revenue by day, top products, quarantine by rule."""
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor="white")
    figure.text(LEFT, 0.97, report.title, fontsize=15, fontweight="bold", va="top", color=TEXT)
    figure.text(LEFT, 0.935, outcome_sentence(report.outcome), fontsize=9.5, va="top", color=FAINT)
    _revenue(figure.add_axes((0.1, 0.53, RIGHT - 0.1, 0.31)), report)
    _bars(
        figure.add_axes((LEFT, 0.03, 0.45, 0.39)),
        f"Top products of {report.day}, USD",
        [(_named(product), product.revenue) for product in top_products(report)],
        MARKED,
        nothing="No product has revenue.",
    )
    _bars(
        figure.add_axes((0.53, 0.03, RIGHT - 0.53, 0.39)),
        f"In quarantine by rule: {number(report.figures.quarantined_lines)} of "
        f"{counted(report.figures.landed_lines, 'line')}",
        _shown_rules(report),
        WARNING,
        nothing="No line is in quarantine.",
    )
    return figure


def _shown_rules(report: DayReport) -> list[tuple[str, Decimal | int]]:
    broken = rules(report)
    shown: list[tuple[str, Decimal | int]] = [
        (_drawn(rule, _LONGEST_NAME), lines) for rule, lines in broken[:_MOST_RULES]
    ]
    if rest := broken[_MOST_RULES:]:
        shown.append((counted(len(rest), "more rule"), sum(lines for _, lines in rest)))
    return shown


def _revenue(axes: Axes, report: DayReport) -> None:
    """A bar a day; the reported day is in another colour and carries its amount."""
    by_day = {each.day: float(each.revenue) for each in report.revenue_by_day}
    by_day.setdefault(report.day, 0.0)
    days = sorted(by_day)
    axes.bar(
        [_position(day) for day in days],
        [by_day[day] for day in days],
        width=0.8,
        color=[MARKED if day == report.day else OTHER for day in days],
    )
    # With few days a bar would be as wide as the chart.
    padding = max(1, (_FEWEST_DAYS - (days[-1] - days[0]).days) // 2)
    first, last = days[0] - timedelta(days=padding), days[-1] + timedelta(days=padding)
    axes.set_xlim(_position(first) - 0.4, _position(last) + 0.4)
    locator = AutoDateLocator(minticks=3, maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(DateFormatter("%d %b"))
    top, bottom = max(by_day.values()), min(0.0, *by_day.values())
    if top > 0:
        axes.set_ylim(bottom, top * 1.25)
        axes.yaxis.set_major_locator(MaxNLocator(5))
    else:
        axes.set_ylim(0, 1)
        axes.set_yticks([0])
    axes.yaxis.set_major_formatter(_Amounts())
    axes.text(
        LEFT, 0.885, "Revenue by order date, USD", transform=axes.figure.transFigure,
        fontsize=11, va="top", color=TEXT,
    )  # fmt: skip
    # A later day's extract may bring lines of a closed day's orders, and so revenue.
    amount = "closed, " * report.outcome.closed + number(report.figures.revenue)
    # Above every bar, so that it covers none.
    above = top * 1.07 if top > 0 else 0.3
    axes.vlines(
        _position(report.day), by_day[report.day], above, color=MARKED, lw=0.9, linestyles="dotted"
    )
    axes.annotate(
        f"{report.day:%d %b %Y}: {amount}",
        (_position(report.day), above),
        xytext=(0, 3),
        textcoords="offset points",
        ha=_side(report.day, first, last),
        va="bottom",
        fontsize=9.5,
        fontweight="bold",
        color=MARKED,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )
    axes.grid(axis="y", color="#e2e8f0", linewidth=0.8)
    _plain(axes)


def _side(day: date, first: date, last: date) -> Literal["left", "center", "right"]:
    """At the chart's edges the label runs inwards."""
    share = (day - first).days / max(1, (last - first).days)
    if share < 0.15:
        return "left"
    return "right" if share > 0.85 else "center"


def _bars(
    axes: Axes, title: str, items: list[tuple[str, Decimal | int]], colour: str, *, nothing: str
) -> None:
    """Horizontal bars, first on top, each below its name; a sentence where there are none."""
    axes.set_title(title, loc="left", fontsize=11, color=TEXT)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    if not items:
        axes.text(0, 0.93, nothing, transform=axes.transAxes, fontsize=10, va="top", color=FAINT)
        return
    greatest = max(float(value) for _, value in items)
    # Five places at least: one bar alone is no thicker than one of five.
    places = max(len(items), 5)
    axes.set_ylim(places - 0.4, -0.5)
    # The number stands beside its bar, so the longest bar leaves it a fifth.
    axes.set_xlim(0, greatest * 1.25 or 1.0)
    for place, (name, value) in enumerate(items):
        axes.barh(place + 0.22, float(value), color=colour, height=0.36)
        axes.text(
            0, place - 0.02, name, fontsize=8.5, va="bottom", color=TEXT, clip_on=True
        )  # fmt: skip
        axes.annotate(
            number(value),
            (float(value), place + 0.22),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=TEXT,
        )


def _plain(axes: Axes) -> None:
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#cbd5e1")
    axes.tick_params(length=0, labelsize=9, labelcolor=TEXT)


def _position(day: date) -> float:
    return float(date2num(day))


class _Amounts(ScalarFormatter):
    """As many decimals as the axis' steps have, and thousands apart."""

    def __init__(self) -> None:
        super().__init__(useOffset=False)
        self.set_scientific(False)

    def __call__(self, value: float, position: int | None = None) -> str:
        text = super().__call__(value, position).replace("\N{MINUS SIGN}", "-")
        return f"{Decimal(text):,}"


def _named(product: ProductSales) -> str:
    """Stock code and name: of some names the font has no letter."""
    code = _drawn(product.sku, _LONGEST_CODE)
    return f"{code} {_drawn(product.description or '', _LONGEST_NAME - len(code) - 1)}".rstrip()


def _drawn(text: str, longest: int) -> str:
    """Fits its place. A dollar sign would begin a formula."""
    return isolated(one_line(text, longest)).replace("$", r"\$")
