"""Draws each dashboard as a picture in docs/images, from its own queries, on the Prometheus of the running stack.

    FEIRA_HOME=… python tests/bench/dashboard_pictures.py --minutes 15

A panel of the newest values shows their number, one of series their lines; what returned nothing says so.
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
from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter

from feira_local.monitoring.dashboards import FOLDER
from feira_local.stack.config import HOST
from feira_local.stack.state import running_config

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
STEP_SECONDS = 15
MOST_LINES = 8
WHOLE = 24
_BINARY = {"bytes": "B", "Bps": "B/s", "decmbytes": "MB"}


def series(url: str, promql: str, minutes: int) -> list[dict[str, Any]]:
    """What Prometheus has of a query over the last minutes: labels, and pairs of time and text."""
    end = time.time()
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(
            f"{url}/api/v1/query_range",
            params={
                "query": promql,
                "start": str(end - minutes * 60),
                "end": str(end),
                "step": str(STEP_SECONDS),
            },
            timeout=30,
        )
    answer.raise_for_status()
    return list(answer.json()["data"]["result"])


def named(legend: str, labels: dict[str, str]) -> str:
    """A series' name: the legend with the values of its labels."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)


def readable(value: float, unit: str) -> str:
    """A value with the unit of its panel."""
    if unit == "percentunit":
        return f"{value:.1%}"
    if unit in ("bytes", "Bps"):
        power = min(int(math.log(abs(value), 1024)), 4) if abs(value) >= 1024 else 0
        return f"{value / 1024**power:.3g} {'kMGT'[power - 1] if power else ''}{_BINARY[unit]}"
    if unit == "s" and abs(value) >= 120:
        hours = value / 3600
        return (
            f"{hours / 24:,.0f} d"
            if hours >= 48
            else f"{hours:.3g} h"
            if hours >= 2
            else f"{value / 60:.3g} min"
        )
    ends = {"s": " s", "decmbytes": " MB", "reqps": "/s", "cps": "/s"}.get(unit, "")
    return f"{value:,.0f}{ends}" if abs(value) >= 1000 else f"{value:.3g}{ends}"


def drawn(dashboard: dict[str, Any], url: str, minutes: int) -> Any:
    """The dashboard's figure, each panel in its place."""
    panels = dashboard["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = pyplot.figure(figsize=(13, rows * 0.36), layout="constrained")
    figure.suptitle(f"{dashboard['title']}, by minutes before now")
    grid = figure.add_gridspec(rows, WHOLE)
    for panel in panels:
        at = panel["gridPos"]
        axes = figure.add_subplot(grid[at["y"] : at["y"] + at["h"], at["x"] : at["x"] + at["w"]])
        found = [
            (named(target["legendFormat"], each["metric"]), each["values"])
            for target in panel["targets"]
            for each in series(url, target["expr"].replace("$dag", "sales_etl"), minutes)
        ]
        axes.set_title(panel["title"], fontsize=8, loc="left")
        unit = panel["fieldConfig"]["defaults"]["unit"]
        if panel["type"] == "stat" or not found:
            axes.axis("off")
            values = [f"{name}: {readable(float(of[-1][1]), unit)}" for name, of in found]
            columns = 1 if at["w"] < WHOLE / 2 else 2
            for number, text in enumerate(values or ["nothing to show"]):
                axes.text(
                    (number % columns) / columns,
                    0.9 - 0.19 * (number // columns),
                    text,
                    fontsize=8,
                    va="top",
                    color="#333333" if values else "#999999",
                )
            continue
        for name, of in found[:MOST_LINES]:
            axes.plot(
                [(float(when) - time.time()) / 60 for when, _ in of],
                [float(value) for _, value in of],
                label=name,
                linewidth=1,
            )
        highest = max(
            (float(value) for _, of in found for _, value in of if value != "NaN"), default=0
        )
        axes.set_ylim(0, 1.1 * highest or 1)
        axes.yaxis.set_major_formatter(
            FuncFormatter(lambda value, _, unit=unit: readable(value, unit))
        )
        axes.tick_params(labelsize=6)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=5.5, ncols=2, loc="best", framealpha=0.6)
    return figure


def main() -> int:
    """Draws all."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--minutes", type=int, default=30, help="how far back lines go")
    asked = arguments.parse_args()
    url = f"http://{HOST}:{running_config().ports.own['prometheus']}"
    for path in sorted(FOLDER.glob("*.json")):
        figure = drawn(json.loads(path.read_text()), url, asked.minutes)
        figure.savefig(IMAGES / f"dashboard-{path.stem}.png", dpi=80)
        pyplot.close(figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
