"""The aims of the platform's speed, and what was measured of each."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from figures import CPU, growth, load_rate, memory_outside_spark, ratio, spread

SPARK_OVER_DUCKDB = 2.0
LOAD_ROWS_A_SECOND = 250_000
OVERHEAD_SECONDS = 15.0
EVENT_SECONDS = 0.5
PARSE_SECONDS = 0.5
SMALL_SECONDS = 12.0
MEMORY_GROWTH = (
    0.25  # of five times the lines: a quarter is noise of the allocator, not of the data
)
# By how the ids of orders lie: a step's CPU at the last day over that at the first.
GROWTH = {"clustered": 1.3, "scattered": 2.0}
GROWN_DAYS = 200
# What watching may add: to the stack's memory without Spark, whose heap is as large as its garbage was; and to a
# day's CPU.
WATCHING_MIB = 250
WATCHING_CPU = 0.03
ORDER = ("short", "not measured", "met")

Days = dict[int, dict[str, Any]]


@dataclass(frozen=True)
class Aim:
    """One aim, what was measured, and ``met``, ``short`` or ``not measured``."""

    aim: str
    measured: str
    state: str


def aims(
    days: Days, stack: dict[str, Any] | None, parsed: list[dict[str, Any]] | None
) -> list[Aim]:
    """Every aim, those that are short first. ``days``: figures by the lines that were asked for."""
    found = [*_of_days(days), *_of_stack(stack), _parsing(parsed)]
    return sorted(found, key=lambda aim: ORDER.index(aim.state))


def _of_days(days: Days) -> list[Aim]:
    found = []
    if not days:
        return []
    largest = days[max(days)]
    lines = f"{largest['lines']:,} lines"
    times = ratio(largest)
    found.append(
        _judged(
            f"Spark's own time at most {SPARK_OVER_DUCKDB:g} times DuckDB's, at 5 M lines",
            times and f"{_range(times, 1)} times at {lines}",
            bool(times and times[0] <= SPARK_OVER_DUCKDB),
        )
    )
    rates = {
        asked: spread([load_rate(each) for each in day["rounds"]])
        for asked, day in sorted(days.items())
        if "load_warehouse" in day["rounds"][0]
    }
    found.append(
        _judged(
            f"The warehouse load with its checks at {LOAD_ROWS_A_SECOND:,} rows/s or better",
            "; ".join(
                f"{_range(rate, 0)} at {days[asked]['lines']:,} lines"
                for asked, rate in rates.items()
            ),
            all(rate[0] >= LOAD_ROWS_A_SECOND for rate in rates.values()),
        )
    )
    found.append(_memory(days[min(days)], largest) if len(days) > 1 else _NO_MEMORY)
    return found


_NO_MEMORY = Aim("Memory flat from 1 M to 5 M lines outside Spark", "", "not measured")


def _memory(small: dict[str, Any], large: dict[str, Any]) -> Aim:
    before, after = memory_outside_spark(small), memory_outside_spark(large)
    growth = {name: after[name] / before[name] - 1 for name in after if name in before}
    worst = max(growth, key=lambda name: growth[name])
    return _judged(
        f"Memory flat from {small['lines']:,} to {large['lines']:,} lines outside Spark "
        f"(no process over {MEMORY_GROWTH:.0%} more)",
        f"the most is {worst}: {before[worst]:,.0f} → {after[worst]:,.0f} MiB",
        growth[worst] <= MEMORY_GROWTH,
    )


def _of_stack(stack: dict[str, Any] | None) -> list[Aim]:
    names = (
        f"A day's chain beside Spark's tasks under {OVERHEAD_SECONDS:g} s",
        f"Event to the first consumer task under {EVENT_SECONDS:g} s at the median",
    )
    if stack is None:
        return [_judged(name, None, False) for name in names]
    overhead = spread([day["not_spark_seconds"] for day in stack["days"]])
    event = spread([day["event_to_consumer_seconds"] for day in stack["days"]])
    return [
        _judged(
            names[0],
            f"{overhead[0]:.1f} s ({overhead[1]:.1f}–{overhead[2]:.1f})",
            overhead[0] < OVERHEAD_SECONDS,
        ),
        _judged(
            names[1], f"{event[0]:.2f} s ({event[1]:.2f}–{event[2]:.2f})", event[0] < EVENT_SECONDS
        ),
    ]


def _parsing(parsed: list[dict[str, Any]] | None) -> Aim:
    slowest = max(parsed, key=lambda file: file["seconds"]) if parsed else None
    return _judged(
        f"A DAG file parsed in under {PARSE_SECONDS:g} s, beside Airflow's own import",
        f"{slowest['file']} {slowest['seconds']:.2f} s, the slowest" if slowest else None,
        bool(slowest and slowest["seconds"] < PARSE_SECONDS),
    )


def growth_aims(found: dict[str, Any]) -> list[Aim]:
    """For each part, kind of ids and step, how its CPU has grown; those that are short first."""
    judged = []
    for part, by_ids in found.items():
        for ids, of_ids in by_ids.items():
            for step, by_day in growth(of_ids["days"], CPU).items():
                first, last = min(by_day), max(by_day)
                times = by_day[last] / by_day[first]
                judged.append(
                    _judged(
                        f"{part}: {step}, ids {ids}: CPU at day {GROWN_DAYS} at most {GROWTH[ids]:g} "
                        f"times that at day {first}",
                        f"{times:.2f} times" if last >= GROWN_DAYS else None,
                        times <= GROWTH[ids],
                    )
                )
    return sorted(judged, key=lambda aim: ORDER.index(aim.state))


def watching_aims(found: dict[str, Any] | None) -> list[Aim]:
    """What `feira up --monitoring` adds to a stack, those that are short first. ``found``: stacks of each kind,
    with MiB by service, the CPU seconds of each day by service, and of watched ones those of idle minutes with and
    without what watches: a day is judged by the minutes that it takes."""
    stacks = found["stacks"] if found else []
    plain, watched = ([it for it in stacks if it["kind"] == kind] for kind in ("plain", "watched"))
    names = (
        f"Being watched adds at most {WATCHING_MIB} MiB",
        f"Being watched adds at most {WATCHING_CPU:.0%} of a day's CPU",
    )
    if not plain or not watched:
        return [_judged(name, None, False) for name in names]

    def added(of: Callable[[dict[str, Any]], float]) -> tuple[float, float]:
        before, after = (statistics.mean(map(of, side)) for side in (plain, watched))
        return after - before, after / before - 1

    mib, _ = added(lambda it: sum(it["mib"].values()) - it["mib"]["spark"])
    whole, _ = added(lambda it: sum(it["mib"].values()))
    of_memory = f"{mib:+.0f} MiB without Spark, {whole:+.0f} with it"
    judged = [
        _judged(names[0], of_memory, mib <= WATCHING_MIB),
        _of_watched_minutes(names[1], watched),
    ]
    return sorted(judged, key=lambda aim: ORDER.index(aim.state))


def _of_watched_minutes(name: str, stacks: list[dict[str, Any]]) -> Aim:
    """Of all pairs of idle minutes the middle difference, and the quarter of them on either side."""
    minutes = [it["minutes"] for it in stacks if it.get("minutes")]
    added = [on - off for it in minutes for on, off in zip(it["on"], it["off"], strict=True)]
    if len(added) < 2:
        return _judged(name, None, False)
    low, middle, high = statistics.quantiles(added, n=4, method="inclusive")
    day = statistics.median(chain.from_iterable(it["seconds"] for it in stacks)) / 60
    cpu = statistics.median(sum(each.values()) for it in stacks for each in it["cpu"])
    share = middle * day / cpu
    return _judged(
        name,
        f"{share:+.1%}: {middle:+.2f} CPU s a minute ({low:+.2f} to {high:+.2f}, half of {len(added)} pairs), "
        f"of which a day has {day:.1f} and {cpu:.1f} CPU s",
        share <= WATCHING_CPU,
    )


def small_aims(stack: dict[str, Any] | None) -> list[Aim]:
    """How long a small day takes on a warm stack."""
    lines = f"{stack['lines']:,} lines" if stack else "10,000 lines"
    seconds = stack and spread([day["wall_seconds"] for day in stack["days"]])
    return [
        _judged(
            f"A day of {lines} from the queue to the marts under {SMALL_SECONDS:g} s at the median, warm",
            f"{_range(seconds, 1)} s" if seconds else None,
            bool(seconds and seconds[0] < SMALL_SECONDS),
        )
    ]


def recommendation_aims(found: dict[str, Any] | None) -> list[Aim]:
    """Every aim of recommendations, those that are short first; a part of a smaller scale is not judged."""
    found = found or {"scales": {}}
    whole = {part: found[part] for part, scale in found["scales"].items() if scale == 1}
    judged = [*_of_features(whole), *_of_steps(whole), *_of_answers(whole)]
    return sorted(judged, key=lambda aim: ORDER.index(aim.state))


def _of_features(found: dict[str, Any]) -> list[Aim]:
    day = found.get("features")
    return [
        _judged(
            "10 M events from Kafka to the features in 150 s",
            day and f"{day['seconds']:.0f} s",
            bool(day and day["seconds"] <= 150),
        ),
        _judged(
            "in 3 GiB of Spark's memory",
            day and f"{day['spark_peak_mib']:,.0f} MiB",
            bool(day and day["spark_peak_mib"] <= 3072),
        ),
    ]


_NEW_ALONE = "Lists of *new* alone, without reasons,"
# Step, what is counted, at least so many a second, and the aim.
_RATES = (
    ("method", "users", 15_000, "Both slots with reasons, by what is chosen: 15,000 users/s"),
    ("lists item-item", "users", 15_000, f"{_NEW_ALONE} by item-item: 15,000 users/s"),
    ("lists ALS", "users", 7_000, f"{_NEW_ALONE} by ALS: 7,000 users/s"),
    ("lists re-ranked", "users", 1_500, f"{_NEW_ALONE} re-ranked: 1,500 users/s"),
    ("publish", "users", 200_000, "Publishing two lists a user: 200,000 users/s"),
)
_SECONDS = (
    ("fit item-item", 10, "5 M interactions: item-item learns in 10 s"),
    ("fit ALS", 45, "5 M interactions: ALS in f64, 15 iterations, in 45 s"),
)
_BYTES_A_USER = 550


def _of_steps(found: dict[str, Any]) -> list[Aim]:
    steps = found.get("steps", {})
    judged = []
    for name, limit, aim in _SECONDS:
        step = steps.get(name)
        judged.append(
            _judged(
                aim, step and f"{step['seconds']:.1f} s", bool(step and step["seconds"] <= limit)
            )
        )
    for name, of, least, aim in _RATES:
        step = steps.get(name)
        rate = step[of] / step["seconds"] if step else 0
        judged.append(_judged(aim, step and f"{rate:,.0f} a second", rate >= least))
    step = steps.get("publish")
    size = step["bytes"] / step["users"] if step else 0
    aim = f"Valkey holds a user's lists of a version in {_BYTES_A_USER} bytes"
    return [*judged, _judged(aim, step and f"{size:,.0f} bytes", size <= _BYTES_A_USER)]


# By the state of Valkey the greatest p99 in ms; that of the hot path, where every answer is the user's own list.
_P99 = {"up": 10, "hanging": 50, "dead": 50}
_HOT_P99 = 5
_CPU_US = 350


def _of_answers(found: dict[str, Any]) -> list[Aim]:
    asked = found.get("api", [])
    judged = []
    for state, limit in _P99.items():
        of_state = [each for each in asked if each["valkey"] == state]
        aim = f"The API's p99 with Valkey {state}: {limit} ms at 500 and 2,000/s"
        judged.append(_of_requests(aim, of_state, "p99_ms", "{:.1f} ms", limit))
    up = [each for each in asked if each["valkey"] == "up"]
    hot = [each for each in up if {*each["sources"]} == {"own"}]
    aim = f"The API's p99 on the hot path, a user's own list: {_HOT_P99} ms at 500 and 2,000/s"
    hottest = _of_requests(aim, hot, "p99_ms", "{:.1f} ms", _HOT_P99)
    if hottest.state == "met" and len(hot) < len(up):
        hottest = replace(hottest, state="short")
    aim = f"A request costs {_CPU_US} µs of CPU"
    return [*judged, hottest, _of_requests(aim, up, "cpu_us", "{:.0f} µs", _CPU_US)]


def _of_requests(aim: str, asked: list[dict[str, Any]], key: str, form: str, limit: float) -> Aim:
    """Met where each value is within the limit and every request had the answer 200: an error is soon said."""
    shown, met = [], True
    for each in asked:
        shown.append(f"{form.format(each[key])} at {each['rate']:,}/s")
        others = [f"{count:,} × {it}" for it, count in each["statuses"].items() if it != "200"]
        if others:
            shown[-1] += f" ({', '.join(others)})"
        met = met and not others and each[key] <= limit
    return _judged(aim, "; ".join(shown), met)


def _range(found: tuple[float, float, float], digits: int) -> str:
    """``4.0 (3.9–4.2)``; of one round the figure alone."""
    middle, least, most = (f"{value:,.{digits}f}" for value in found)
    return middle if found[1] == found[2] else f"{middle} ({least}–{most})"


def _judged(aim: str, measured: str | None, met: bool) -> Aim:
    if not measured:
        return Aim(aim, "", "not measured")
    return Aim(aim, measured, "met" if met else "short")
