"""Draws each dashboard as a picture in docs/images, from its own queries, on the Prometheus of the running stack.

    FEIRA_HOME=… python tests/bench/dashboard_pictures.py --minutes 15

A panel of the newest values shows these in its colours, one of series their lines; what returned nothing says so.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
from pathlib import Path
from typing import Any

import matplotlib
import requests

matplotlib.use("Agg")
from matplotlib import colormaps, pyplot
from matplotlib.ticker import MaxNLocator

from feira_local.monitoring.dashboards import FOLDER
from feira_local.stack.config import HOST
from feira_local.stack.state import running_config

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
STEP_SECONDS = 15
# Of a dashboard's grid a row, and where only values stand in it, which Grafana shows larger.
ROW_INCHES, VALUES_INCHES, LINE_INCHES = 0.36, 0.2, 0.25
WHOLE = 24
COLOURS = [colormaps["tab20"](place) for place in range(20)]
# By Grafana's name of a unit: from which value on it is divided by what, and shown with which end.
_BYTES = [
    (0.0, 1.0, " B"),
    *((1024.0**power, 1024.0**power, f" {name}iB") for power, name in enumerate("KMGT", start=1)),
]
_SCALES: dict[str, list[tuple[float, float, str]]] = {
    "bytes": _BYTES,
    "Bps": [(least, by, f"{end}/s") for least, by, end in _BYTES],
    "percentunit": [(0.0, 0.01, " %")],
    "s": [
        *((0.0, 1e-3, " ms"), (1.0, 1.0, " s"), (120.0, 60.0, " min")),
        *((7200.0, 3600.0, " h"), (172800.0, 86400.0, " d")),
    ],
    "reqps": [(0.0, 1.0, "/s")],
    "cps": [(0.0, 1.0, "/s")],
    "short": [(0.0, 1.0, "")],
    "none": [(0.0, 1.0, "")],
}
Named = tuple[str, list[tuple[float, float]]]


def series(url: str, promql: str, now: float, minutes: int) -> list[dict[str, Any]]:
    """What Prometheus has of a query in the minutes before ``now``: labels, and pairs of time and text."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(
            f"{url}/api/v1/query_range",
            params={
                "query": promql,
                "start": str(now - minutes * 60),
                "end": str(now),
                "step": str(STEP_SECONDS),
            },
            timeout=30,
        )
    answer.raise_for_status()
    return list(answer.json()["data"]["result"])


def named(legend: str, labels: dict[str, str]) -> str:
    """A series' name: the legend with the values of its labels."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)


def scale(unit: str, highest: float) -> tuple[float, str]:
    """What values up to the highest are divided by, and the end that they are shown with."""
    known = [(by, end) for least, by, end in _SCALES[unit] if abs(highest) >= least]
    return known[-1] if highest else _SCALES[unit][min(1, len(_SCALES[unit]) - 1)][1:]


def stated(value: float, defaults: dict[str, Any]) -> tuple[str, str]:
    """A newest value as its panel shows it, and its colour there."""
    for mapping in defaults.get("mappings", ()):
        if result := mapping["options"].get(f"{value:g}"):
            return result["text"], result["color"]
    by, end = scale(defaults["unit"], value)
    steps = defaults["thresholds"]["steps"]
    reached = [it["color"] for it in steps if it["value"] is None or value >= it["value"]]
    return number(value / by) + end, reached[-1]


def number(value: float) -> str:
    """In as many digits as are read."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def draw_values(axes: Any, found: list[Named], panel: dict[str, Any]) -> None:
    """The newest value of each series, as many beside each other as have room."""
    axes.axis("off")
    at = panel["gridPos"]
    lines = int(at["h"] * VALUES_INCHES / LINE_INCHES)
    columns = max(math.ceil(len(found) / lines), at["w"] // 6 if len(found) > 1 else 1)
    for place, (name, values) in enumerate(found):
        text, colour = stated(values[-1][1], panel["fieldConfig"]["defaults"])
        x, y = (place % columns) / columns, 1 - (place // columns + 0.5) / lines
        dark = {"green": "#1a7f37", "red": "#c62828"}[colour]
        value = axes.text(x, y, text, fontsize=10, weight="bold", va="center", color=dark)
        label = axes.annotate(
            name,
            (x, y),
            xytext=(9 + 7 * len(text), 0),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=8,
            va="center",
            color="#333333",
        )
        for each in (value, label):
            # A narrow panel's may reach beyond it.
            each.set_in_layout(False)


def draw_lines(axes: Any, found: list[Named], unit: str, minutes: int) -> None:
    """All series over the minutes, with what they are called above them."""
    finite = [value for _, of in found for _, value in of if math.isfinite(value)]
    highest = max(finite, default=0.0)
    by, end = scale(unit, highest)
    top = highest / by or 1.0
    for place, (name, of) in enumerate(found):
        axes.plot(
            [when / 60 for when, _ in of],
            [value / by for _, value in of],
            label=name,
            linewidth=1.2,
            # Of those that coincide the first are seen through the later ones.
            linestyle=("-", (0, (4, 2)))[place % 2],
            color=COLOURS[(2 * place) % 20 + place // 10 % 2],
        )
    columns = 2 if max((len(name) for name, _ in found), default=0) > 24 else 3
    room = 0.1 + 0.085 * math.ceil(len(found) / columns)
    axes.set_xlim(-minutes, 0)
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    # A line at 0 is one that is seen, and none lies behind the names.
    axes.set_ylim(-0.03 * top, top / max(1 - room, 0.35))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: "" if value < 0 else number(value) + end)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=6.5, ncols=columns, loc="upper left", frameon=False, borderaxespad=0.2)


def drawn(dashboard: dict[str, Any], url: str, minutes: int) -> Any:
    """The dashboard's figure, each panel in its place."""
    panels, now = dashboard["panels"], time.time()
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    heights = [VALUES_INCHES] * rows
    for panel in panels:
        at = panel["gridPos"]
        if panel["type"] != "stat":
            heights[at["y"] : at["y"] + at["h"]] = [ROW_INCHES] * at["h"]
    figure = pyplot.figure(figsize=(13, sum(heights)), layout="constrained")
    figure.suptitle(f"{dashboard['title']}, by minutes before now")
    grid = figure.add_gridspec(rows, WHOLE, height_ratios=heights)
    for panel in panels:
        at = panel["gridPos"]
        axes = figure.add_subplot(grid[at["y"] : at["y"] + at["h"], at["x"] : at["x"] + at["w"]])
        axes.set_title(panel["title"], fontsize=9, loc="left")
        found = [
            (
                named(target["legendFormat"], each["metric"]),
                [(float(when) - now, float(value)) for when, value in each["values"]],
            )
            for target in panel["targets"]
            for each in series(url, target["expr"].replace("$dag", "sales_etl"), now, minutes)
        ]
        if not found:
            axes.axis("off")
            axes.text(0, 0.85, "nothing to show", fontsize=8, color="#999999")
        elif panel["type"] == "stat":
            draw_values(axes, found, panel)
        else:
            draw_lines(axes, found, panel["fieldConfig"]["defaults"]["unit"], minutes)
    return figure


def main() -> int:
    """Draws all."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--minutes", type=int, default=30, help="how far back lines go")
    asked = arguments.parse_args()
    url = f"http://{HOST}:{running_config().ports.own['prometheus']}"
    for path in sorted(FOLDER.glob("*.json")):
        figure = drawn(json.loads(path.read_text()), url, asked.minutes)
        figure.savefig(IMAGES / f"dashboard-{path.stem}.png", dpi=90)
        pyplot.close(figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
