"""The plots of docs/benchmarks.md, as SVG that is the same for the same figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

from figures import CPU, engine_seconds, growth, memory_outside_spark, spread, step_runs

NAMES = {"spark": "Spark", "duckdb": "DuckDB", "polars": "Polars"}
COLOURS = {"spark": "#d1663a", "duckdb": "#d9b23b", "polars": "#3b74b9"}
STEP_COLOURS = ("#7a9e7e", "#d1663a", "#e0906f", "#8a5a9e", "#3b74b9", "#999999")
plt.rcParams |= {
    "svg.hashsalt": "feira",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw(days: dict[int, dict[str, Any]], folder: Path) -> list[Path]:
    """Writes the plots into a folder; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _engines(days, folder / "bench-engines.svg"),
        _steps(days, folder / "bench-steps.svg"),
        _memory(days, folder / "bench-memory.svg"),
    ]


def draw_growth(figures: dict[str, Any], folder: Path) -> list[Path]:
    """Writes the plot of CPU by day into a folder; returns its path, in a list."""
    width = max(map(len, figures.values()))
    figure, axes = plt.subplots(
        len(figures), width, figsize=(4.5 * width, 3 * len(figures)), squeeze=False, sharey="row"
    )
    for row, (part, kinds) in zip(axes, figures.items(), strict=True):
        for axis, (ids, of_ids) in zip(row, kinds.items(), strict=False):
            steps = growth(of_ids["days"], CPU)
            for (step, by_day), colour in zip(steps.items(), STEP_COLOURS, strict=False):
                axis.plot(list(by_day), list(by_day.values()), color=colour, marker="o", label=step)
            axis.set_title(f"{part}, ids {ids}", fontsize=10)
            axis.set_xlabel("day of the history")
        for axis in row[len(kinds) :]:
            axis.remove()
        # Once all lines are drawn: an axis that has a limit does not grow.
        row[0].set_ylim(bottom=0)
        row[0].set_ylabel("CPU seconds")
        row[len(kinds) - 1].legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    return [_save(figure, folder / "bench-growth.svg")]


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return path


def _engines(days: dict[int, dict[str, Any]], path: Path) -> Path:
    figure, axes = plt.subplots(1, len(days), figsize=(4 * len(days), 3), squeeze=False)
    for axis, (_, day) in zip(axes[0], sorted(days.items()), strict=True):
        for place, (engine, colour) in enumerate(COLOURS.items()):
            key = "validate" if engine == "spark" else engine
            seconds = [engine_seconds(each, engine) for each in day["rounds"] if key in each]
            if seconds:
                middle, least, most = spread(seconds)
                error = [[middle - least], [most - middle]]
                axis.bar(place, middle, color=colour, yerr=error, capsize=4, width=0.65)
        axis.set_xticks(range(len(COLOURS)), list(NAMES.values()))
        axis.set_title(f"{day['lines']:,} lines", fontsize=10)
        axis.set_ylabel("seconds, median and range")
    figure.suptitle("Validate, transform and dedupe, two threads each", fontsize=11)
    figure.tight_layout()
    return _save(figure, path)


def _steps(days: dict[int, dict[str, Any]], path: Path) -> Path:
    figure, axis = plt.subplots(figsize=(8, 1 + 0.8 * len(days)))
    for place, (_, day) in enumerate(sorted(days.items())):
        left = 0.0
        for (step, runs), colour in zip(step_runs(day).items(), STEP_COLOURS, strict=False):
            million = spread([run["seconds"] for run in runs])[0] / day["lines"] * 10**6
            label = step.replace("_", " ") if place == 0 else None
            axis.barh(place, million, left=left, color=colour, label=label)
            left += million
    axis.set_yticks(
        range(len(days)), [f"{day['lines']:,} lines" for _, day in sorted(days.items())]
    )
    axis.set_xlabel("seconds for a million lines, medians")
    axis.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    return _save(figure, path)


def _memory(days: dict[int, dict[str, Any]], path: Path) -> Path:
    shown = {day["lines"]: memory_outside_spark(day) for _, day in sorted(days.items())}
    names = list(next(iter(shown.values())))
    figure, axis = plt.subplots(figsize=(8, 0.9 + 0.4 * len(names)))
    height = 0.8 / len(shown)
    for number, (lines, peak) in enumerate(shown.items()):
        places = [place + number * height for place in range(len(names))]
        values = [peak.get(name, 0.0) for name in names]
        axis.barh(places, values, height=height, label=f"{lines:,} lines")
    middle = (len(shown) - 1) * height / 2
    axis.set_yticks([place + middle for place in range(len(names))], names)
    axis.invert_yaxis()
    axis.set_xlabel("peak MiB outside Spark's server")
    axis.legend(frameon=False)
    return _save(figure, path)
