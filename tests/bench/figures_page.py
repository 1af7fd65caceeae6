"""Fills docs/benchmarks.md and its plots from the raw figures, so that no figure is typed by hand.

The page's prose is written by people; what stands between ``<!-- figures: NAME -->`` and
``<!-- end -->`` is replaced by the block of that name.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from aims import Aim, aims, growth_aims, recommendation_aims, small_aims, watching_aims
from figures import (
    CHAIN_CPU,
    CHAINS,
    CPU,
    STACK_HEADINGS,
    STEPS,
    chain_of,
    chain_run,
    cpu_at_one_pace,
    engine_cpu,
    engine_peak,
    engine_seconds,
    growth,
    load_rate,
    peaks,
    small_medians,
    spread,
    step_runs,
)
from plots import NAMES, draw, draw_growth

REPOSITORY = Path(__file__).resolve().parents[2]
RAW = REPOSITORY / ".bench"
PAGE = REPOSITORY / "docs" / "benchmarks.md"
IMAGES = REPOSITORY / "docs" / "images"
SERVERS = {"warehouse": "PostgreSQL", "lake": "Spark"}
# The steps of a day that are planned by the number of its lines.
PLANNED = ("validate", "transform")
BLOCK = re.compile(r"(<!-- figures: ([a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(headings: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    rule = ["---", *["---:"] * (len(headings) - 1)]
    lines = [headings, rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def range_of(values: list[float], digits: int = 1) -> str:
    """``12.3 (11.9–14.0)``; the figure alone where there is one."""
    middle, least, most = spread(values)
    if len(values) == 1:
        return f"{middle:,.{digits}f}"
    return f"{middle:,.{digits}f} ({least:,.{digits}f}–{most:,.{digits}f})"


def cores(machine: dict[str, Any]) -> str:
    """Of what and how many, and of figures that know it how fast they were then."""
    pace = f", at a pace of {machine['pace']:.2f} s" if "pace" in machine else ""
    return f"{machine['cores']} cores of {machine['cpu']}{pace}"


def _seconds(run: dict[str, Any]) -> float:
    return float(run["seconds"])


def _server_cpu(run: dict[str, Any]) -> float:
    return float(run["cpu_seconds"]["jvm"])


class Figures:
    """What was measured, as far as it was."""

    def __init__(self, raw: Path) -> None:
        self.days, self.comet_days = (
            {
                each["asked_lines"]: each
                for each in (json.loads(path.read_text()) for path in raw.glob(f"{name}-*.json"))
                if each["asked_lines"] >= 10**6
            }
            for name in ("day", "comet")
        )
        self.stack = self._read(raw / "stack.json")
        self.parsed = self._read(raw / "parse.json")
        self.recommended = self._read(raw / "recommendations.json")
        self.grown = self._read(raw / "growth.json")
        self.watched = self._read(raw / "monitoring.json")
        self.small = self._read(raw / "small.json")
        self.small_stack = self._read(raw / "small-stack.json")

    @staticmethod
    def _read(path: Path) -> Any:
        return json.loads(path.read_text()) if path.is_file() else None

    def aims(self) -> str:
        """Every aim of sales, those that are short first."""
        return _aims_table(aims(self.days, self.stack, self.parsed))

    def recommendation_aims(self) -> str:
        """Every aim of recommendations, those that are short first."""
        return _aims_table(recommendation_aims(self.recommended))

    def recommendations(self) -> str:
        """Each step with its CPU and memory."""
        found, rows = self.recommended, []
        if day := found.get("features"):
            rows.append(
                [
                    f"{day['events']:,} events, from Kafka's offsets to the features",
                    f"{day['seconds']:.1f}",
                    f"{day['events'] / day['seconds']:,.0f} events",
                    f"{day['spark_cpu_seconds']:.0f} (Spark)",
                    f"{day['spark_peak_mib']:,.0f} (Spark)",
                ]
            )
        for name, step in found.get("steps", {}).items():
            of = "interactions" if "interactions" in step else "users"
            rows.append(
                [
                    f"{name}, {step[of]:,} {of}",
                    f"{step['seconds']:.1f}",
                    f"{step[of] / step['seconds']:,.0f} {of}",
                    f"{sum(step['cpu_seconds'].values()):.0f}",
                    f"{step['memory_mib']['python']:,.0f}",
                ]
            )
        return table(["", "seconds", "a second", "CPU seconds", "peak MiB"], rows) + self._run_of()

    def growth_aims(self) -> str:
        """How each step has grown, those that are short first."""
        return _aims_table(growth_aims(self.grown))

    def growth(self) -> str:
        """CPU of each step by day, the server's part in brackets; and what a lake then holds."""
        text = "".join(
            f"{part.capitalize()}: not measured yet on this page, `make bench-growth`.\n\n"
            for part in SERVERS
            if part not in self.grown
        )
        for part, ids in ((part, ids) for part, kinds in self.grown.items() for ids in kinds):
            found = self.grown[part][ids]
            days, machine = found["days"], found["machine"]
            whole, server = growth(days, CPU), growth(days, ("server_cpu",))
            last = {day["at"]: day for day in days}
            busy = [day["load_average"] for day in days]
            text += f"{part.capitalize()}, ids {ids}, CPU seconds, of them {SERVERS[part]}'s in brackets:\n\n"
            text += table(
                ["day", "rows", *whole],
                [
                    [str(at), f"{day['rows']:,}"]
                    + [f"{whole[step][at]:.2f} ({server[step][at]:.2f})" for step in whole]
                    for at, day in last.items()
                ],
            )
            if held := {at: day["files"] for at, day in last.items() if "files" in day}:
                text += "\n" + table(
                    ["it then holds", *(f"day {at}" for at in held)],
                    [
                        [what, *(f"{of_day[what]:,}" for of_day in held.values())]
                        for what in next(iter(held.values()))
                    ],
                )
            text += (
                f"\nMeasured {found['measured_at'][:10]} on "
                f"{cores(machine)}, load average {min(busy):.1f} to {max(busy):.1f}.\n\n"
            )
        return text

    def small_days(self) -> str:
        """The steps of small days that are planned by their size, in CPU: for few rows beside for many."""
        found, rows, busy = self.small, [], []
        machine = found["machine"]
        for lines, days in found["lines"].items():
            busy += [day["load_average"] for day in days]
            few, many = (small_medians(days, name, "server_cpu") for name in ("few", "many"))
            both = [sum(each[step] for step in PLANNED) for each in (few, many)]
            rows.append(
                [f"{int(lines):,} lines"]
                + [f"{few[step]:.2f} / {many[step]:.2f}" for step in PLANNED]
                + [f"{both[0]:.2f} / {both[1]:.2f}", f"{both[0] / both[1]:.2f}"]
            )
        turns = len(days) // 2
        return (
            table(["", *PLANNED, "both", "times"], rows)
            + f"\nPlanned for few / for many rows, CPU seconds of Spark's server, medians of {turns} "
            f"days each; one line in {found['updated']} is an update. "
            f"Measured {found['measured_at'][:10]} on "
            f"{cores(machine)}, load average {min(busy):.1f} to {max(busy):.1f}.\n"
        )

    def watching_aims(self) -> str:
        """What watching may add, and what it adds."""
        return _aims_table(watching_aims(self.watched))

    def small_aims(self) -> str:
        """The aim of a small day on a warm stack."""
        return _aims_table(small_aims(self.small_stack))

    def small_chain(self) -> str:
        """Where a small day's seconds go on a warm stack, task by task, and the CPU beside them."""
        found = self.small_stack
        days, machine = found["days"], found["machine"]
        by_day = [chain_of(day) for day in days]
        rows = [
            [
                task,
                *(
                    range_of(list(each), 2)
                    for each in zip(*(of[task] for of in by_day), strict=True)
                ),
            ]
            for task in by_day[0]
        ]
        headings = [
            "until it starts, s",
            "itself, s",
            *(f"CPU s: {name}" for name in CHAIN_CPU),
            "CPU s: all",
        ]
        busy = [day["load_average"] for day in days]
        return (
            table(["", *headings], rows)
            + f"\nMedian, least and most of {len(days)} days of {found['lines']:,} lines, after "
            f"{found['warm_days']} that do not count. Measured {found['measured_at'][:10]} on "
            f"{cores(machine)}, load average {min(busy):.1f} to {max(busy):.1f}.\n"
        )

    def monitoring(self) -> str:
        """CPU and memory of stacks of each kind, and of which services they differ most."""
        found = self.watched
        kinds = ("without lineage", "plain", "watched")
        sides = [[stack for stack in found["stacks"] if stack["kind"] == kind] for kind in kinds]

        def row(label: str, of: Callable[[Any], list[float]], digits: int) -> list[str]:
            """What the stacks of each kind were measured at, and by how much the means of their medians differ."""
            values = [[of(stack) for stack in side] for side in sides]
            bare, plain, watched = (
                statistics.mean(map(statistics.median, each)) for each in values
            )
            return [
                label,
                *(range_of([*chain.from_iterable(each)], digits) for each in values),
                *(
                    f"{after - before:+,.{digits}f}"
                    + (f" ({100 * (after / before - 1):+.1f} %)" if before else "")
                    for before, after in ((bare, plain), (plain, watched))
                ),
            ]

        def by_service(of: Callable[[Any, str], float], unit: str, digits: int) -> list[list[str]]:
            """The services in which being watched makes the most difference."""
            more = {
                name: sum(of(it, name) for it in sides[2]) - sum(of(it, name) for it in sides[1])
                for name in {name for stack in found["stacks"] for name in stack["mib"]}
            }
            most = sorted(more, key=lambda it: -abs(more[it]))[:6]
            return [row(f"{unit} of {it}", partial(one, of, it), digits) for it in most]

        def one(of: Callable[[Any, str], float], name: str, stack: Any) -> list[float]:
            return [of(stack, name)]

        pace = statistics.median(
            [each for stack in found["stacks"] for each in stack.get("paces", [1.0])]
        )

        def cpu(stack: Any, name: str) -> float:
            return float(statistics.mean(day.get(name, 0.0) for day in stack["cpu"]))

        rows = [
            row("seconds of a day", lambda it: it["seconds"], 1),
            row("CPU seconds of a day", lambda it: [sum(day.values()) for day in it["cpu"]], 1),
            row(
                "CPU seconds of a day at one pace",
                lambda it: [pace * each for each in cpu_at_one_pace(it)],
                1,
            ),
            row("CPU seconds of an idle minute", lambda it: [sum(it["idle_cpu"].values())], 2),
            *by_service(cpu, "a day's CPU seconds", 2),
            row("MiB of the stack", lambda it: [sum(it["mib"].values())], 0),
            row(
                "MiB of the stack without Spark",
                lambda it: [sum(it["mib"].values()) - it["mib"]["spark"]],
                0,
            ),
            *by_service(lambda it, name: it["mib"].get(name, 0.0), "MiB", 0),
        ]
        counts = ", ".join(f"{len(side)} {kind}" for kind, side in zip(kinds, sides, strict=True))
        return (
            table(["", *kinds, "lineage adds", "watching adds"], rows)
            + f"\nThe median, least and most of stacks of each kind ({counts}), of each {found['days']} days of "
            f"{found['lines']:,} lines; what is added is between the means of their medians. At one pace: as if a "
            "fixed piece of work, which is done before and after each day, had always taken as much. Measured "
            f"{found['measured_at'][:10]} on {cores(found['machine'])}.\n"
        )

    def _run_of(self) -> str:
        found = self.recommended
        small = [f"{part} {scale:g}" for part, scale in found["scales"].items() if scale != 1]
        scale = f" **At a smaller scale: {', '.join(small)}.**" if small else ""
        machine = found["machine"]
        return (
            f"\nMeasured {found['measured_at'][:10]} on {cores(machine)}. CPU and "
            f"memory of a step are of its process, with its start and the making of its data.{scale}\n"
        )

    def answers(self) -> str:
        """The API by rate and state of Valkey."""
        rows = [
            [
                f"{each['rate']:,} a second, Valkey {each['valkey']}",
                f"{each['p50_ms']:.2f}",
                f"{each['p99_ms']:.2f}",
                f"{each['cpu_us']:.0f}",
                f"{each['requests']:,}",
                ", ".join(f"{source} {count:,}" for source, count in each["sources"].items()),
                f"{each['load_average']:.1f}",
            ]
            for each in self.recommended.get("api", [])
        ]
        headings = ["", "p50 ms", "p99 ms", "CPU µs", "requests", "sources", "load"]
        return table(headings, rows)

    def engines(self) -> str:
        """Validate, transform and dedupe in each engine, beside each other."""
        rows = []
        for _, day in sorted(self.days.items()):
            for engine, name in NAMES.items():
                key = "validate" if engine == "spark" else engine
                rounds = [each for each in day["rounds"] if key in each]
                if not rounds:
                    continue
                seconds = [engine_seconds(each, engine) for each in rounds]
                times = [
                    engine_seconds(each, engine) / engine_seconds(each, "duckdb")
                    for each in rounds
                    if "duckdb" in each
                ]
                rows.append(
                    [
                        f"{day['lines']:,} lines, {name}",
                        range_of(seconds),
                        f"{day['lines'] / spread(seconds)[0]:,.0f}",
                        range_of(times) if times else "",
                        f"{max(engine_peak(each, engine) for each in rounds):,.0f}",
                    ]
                )
        return table(["", "seconds", "rows/s", "times DuckDB's", "peak MiB"], rows)

    def comet(self) -> str:
        """Each step of the chain by Spark alone and with Comet, both beside DuckDB, and what all found alike."""
        rows, beside = [], ""
        for _, day in sorted(self.comet_days.items()):
            lines, rounds, machine = f"{day['lines']:,} lines", day["rounds"], day["machine"]
            sides = [[chain_run(each, engine) for each in rounds] for engine in CHAINS]
            together = [0.0, 0.0]
            for step in STEPS:
                cpu, seconds = (
                    [statistics.median(map(of, (run[step] for run in side))) for side in sides]
                    for of in (_server_cpu, _seconds)
                )
                together = [a + b for a, b in zip(together, cpu, strict=True)]
                rows.append(
                    [
                        f"{lines}, {step}",
                        *(f"{each:.1f}" for each in cpu),
                        f"{cpu[1] / cpu[0]:.2f}",
                        *(f"{each:.1f}" for each in seconds),
                        *(f"{peaks([run[step] for run in side])['jvm']:,.0f}" for side in sides),
                    ]
                )
            rows.append(
                [
                    f"{lines}, together",
                    *(f"{each:.1f}" for each in together),
                    f"{together[1] / together[0]:.2f}",
                    *[""] * 4,
                ]
            )
            times = [
                f"{statistics.median(of(each, engine) / of(each, 'duckdb') for each in rounds):.1f}"
                for of in (engine_seconds, engine_cpu)
                for engine in CHAINS
            ]
            busy = [side[step]["load_average"] for it in sides for side in it for step in STEPS]
            beside += (
                f"* {lines}, validate and transform beside DuckDB: {times[0]} times its seconds and {times[2]} "
                f"times its CPU by Spark alone, {times[1]} and {times[3]} with Comet. Rounds: {len(rounds)}, "
                f"{day['measured_at'][:10]}, {cores(machine)}, load average "
                f"{min(busy):.1f} to {max(busy):.1f}.\n"
            )
        headings = [
            *("", "Spark, CPU s", "with Comet", "times", "Spark, s", "with Comet"),
            *("Spark, MiB", "with Comet"),
        ]
        return (
            table(headings, rows)
            + f"\n{beside}\nAll engines found the same:\n{self._agreed(self.comet_days)}"
        )

    def steps(self) -> str:
        """Each step of the chain."""
        rows = []
        for _, day in sorted(self.days.items()):
            for step, runs in step_runs(day).items():
                seconds = [run["seconds"] for run in runs]
                rows.append(
                    [
                        f"{day['lines']:,} lines, {step}",
                        range_of(seconds),
                        f"{runs[0]['rows'] / spread(seconds)[0]:,.0f}",
                        *(
                            f"{peaks(runs)[group]:,.0f}" if group in peaks(runs) else ""
                            for group in ("python", "jvm")
                        ),
                        self._server(step, runs),
                    ]
                )
        headings = ["", "seconds", "rows/s", "Python MiB", "Spark MiB", "its other server MiB"]
        return table(headings, rows)

    @staticmethod
    def _server(step: str, runs: list[dict[str, Any]]) -> str:
        of = {"land": "shop", "load_warehouse": "postgres", "reconcile": "postgres"}.get(step)
        return f"{of} {peaks(runs)[of]:,.0f}" if of else ""

    def load(self) -> str:
        """The warehouse's part of a load."""
        rows = []
        for _, day in sorted(self.days.items()):
            rounds = [each for each in day["rounds"] if "load_warehouse" in each]
            staging = [each["load_warehouse"]["staging_seconds"] for each in rounds]
            own = [each["load_warehouse"]["seconds"] for each in rounds]
            rest = [whole - part for whole, part in zip(own, staging, strict=True)]
            rates = [load_rate(each) for each in rounds]
            rows.append(
                [
                    f"{rounds[0]['load_warehouse']['rows']:,} rows",
                    *map(range_of, (staging, rest)),
                    range_of(rates, 0),
                ]
            )
        return table(["", "Spark stages, s", "the warehouse loads, s", "its rows/s"], rows)

    def agreement(self) -> str:
        """What all engines found alike."""
        return self._agreed(self.days)

    @staticmethod
    def _agreed(days: dict[int, Any]) -> str:
        text = ""
        for _, day in sorted(days.items()):
            agreed = day["rounds"][-1]["agreed"]
            text += (
                f"* {agreed['rows']:,} lines: {agreed['valid']:,} valid, {agreed['extract rows']:,} "
                f"rows of extract (hash `{agreed['extract hash'].split('/')[1]}`), "
                f"{agreed['quarantine rows']:,} in quarantine "
                f"(hash `{agreed['quarantine hash'].split('/')[1]}`), "
                f"{len(agreed['broken'])} rules broken, each as often.\n"
            )
        return text

    def overhead(self) -> str:
        """The days on the running stack, and its start."""
        if self.stack is None:
            return "Not measured yet on this page: `make bench-stack`.\n"
        names = ("wall", "spark_bound", "not_spark", "marts", "event_to_consumer")
        rows = [
            [day["day"], *(f"{day[f'{name}_seconds']:.2f}" for name in names)]
            for day in self.stack["days"]
        ]
        start = self.stack["start"]
        return table(list(STACK_HEADINGS), rows) + (
            f"\nStart of the stack: cold {start['cold_seconds']:.1f} s, "
            f"warm {start['warm_seconds']:.1f} s.\n"
        )

    def parsing(self) -> str:
        """The DAG files."""
        if self.parsed is None:
            return "Not measured yet on this page.\n"
        rows = [
            [file["file"], f"{file['seconds']:.2f}", f"{file['with_airflow_seconds']:.1f}"]
            for file in self.parsed
        ]
        return table(["", "seconds beside Airflow", "with Airflow's import"], rows)

    def machine(self) -> str:
        """What it was measured on, and how busy that was."""
        text = ""
        for _, day in sorted(self.days.items()):
            machine, rounds = day["machine"], day["rounds"]
            busy = [
                run["load_average"]
                for each in rounds
                for s in STEPS
                for run in [each.get(s)]
                if run
            ]
            heap = rounds[0].get("session", {}).get("heap", "")
            versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
            text += (
                f"* {day['lines']:,} lines, {len(rounds)} rounds, {day['measured_at'][:10]}: "
                f"{cores(machine)}, {machine['memory_gib']} GiB, "
                f"{machine['system']}, Python {machine['python']}; heap of Spark {heap}; load average "
                f"{min(busy):.1f} to {max(busy):.1f}. {versions}.\n"
            )
        return text


def _aims_table(found: list[Aim]) -> str:
    rows = [[f"**{a.state}**" if a.state == "short" else a.state, a.aim, a.measured] for a in found]
    return table(["", "aim", "measured"], rows).replace("---:", "---")


def fill(page: str, blocks: dict[str, Callable[[], str] | None]) -> str:
    """The page with every block made anew but for those of None, which stay as they are; raises KeyError for
    a block that there is not."""

    def made(found: re.Match[str]) -> str:
        block = blocks[found[2]]
        return f"{found[1]}{block()}{found[3]}" if block else found[0]

    return BLOCK.sub(made, page)


def main() -> int:
    """Draws the plots and fills the page as far as it was measured; 1 where nothing was, of a million lines,
    of small days, of recommendations, of growth or of monitoring."""
    figures = Figures(RAW)
    found = (
        *(figures.days, figures.small, figures.small_stack),
        *(figures.recommended, figures.grown, figures.watched, figures.comet_days),
    )
    if not any(found):
        print(
            "No figures of a million lines or more, of small days, of recommendations, growth or "
            "monitoring in .bench; run `make bench`.",
            file=sys.stderr,
        )
        return 1
    of_days = {
        "aims": figures.aims,
        "engines": figures.engines,
        "steps": figures.steps,
        "load": figures.load,
        "agreement": figures.agreement,
        "overhead": figures.overhead,
        "parsing": figures.parsing,
        "machine": figures.machine,
    }
    of_recommendations = {
        "recommendation aims": figures.recommendation_aims,
        "recommendations": figures.recommendations,
        "answers": figures.answers,
    }
    of_growth = {"growth aims": figures.growth_aims, "growth": figures.growth}
    blocks = (
        {name: block if figures.days else None for name, block in of_days.items()}
        | {
            name: block if figures.recommended else None
            for name, block in of_recommendations.items()
        }
        | {name: block if figures.grown else None for name, block in of_growth.items()}
        | {
            name: block if figures.watched else None
            for name, block in (
                ("watching aims", figures.watching_aims),
                ("monitoring", figures.monitoring),
            )
        }
        | {"small days": figures.small_days if figures.small else None}
        | {"comet": figures.comet if figures.comet_days else None}
        | {
            name: block if figures.small_stack else None
            for name, block in (
                ("small aims", figures.small_aims),
                ("small chain", figures.small_chain),
            )
        }
    )
    PAGE.write_text(fill(PAGE.read_text(), blocks))
    plots = draw(figures.days, IMAGES) if figures.days else []
    plots += draw_growth(figures.grown, IMAGES) if figures.grown else []
    for path in plots:
        print(path.relative_to(REPOSITORY))
    print(PAGE.relative_to(REPOSITORY))
    return 0


if __name__ == "__main__":
    sys.exit(main())
