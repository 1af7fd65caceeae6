"""Which partition keys a DAG's events carry, found without running anything."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from airflow.timetables.simple import AssetTriggeredTimetable

from feira_wiring.model import AssetId, Emitter, Listener, Wiring

SAMPLES = 3
# Any date would do; this one has no day of the month that could be taken for a month.
_FROM = datetime(2025, 12, 29, tzinfo=UTC)
_DAYS = 3290  # nine years: a clock may tick on a 29th of February alone


@lru_cache(maxsize=256)
def _listed(_same: str, timetable: _Held, days: int, most: int) -> tuple[str, ...]:
    ticks = timetable.value.iter_partition_dagrun_infos(
        earliest=_FROM, latest=_FROM + timedelta(days=days)
    )
    return tuple(tick.partition_key for tick in itertools.islice(ticks, most))


class _Held:
    """A timetable that is not compared: what it serializes to says whether two are the same."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held)

    def __hash__(self) -> int:
        return 0


def listed_keys(timetable: Any, days: int, most: int) -> tuple[str, ...]:
    """The keys of a clock in these days from a fixed one on, at most so many; none without a clock."""
    if not timetable.partitioned or isinstance(timetable, AssetTriggeredTimetable):
        return ()
    try:
        same = f"{type(timetable)} {timetable.serialize()}"
        return _listed(same, _Held(timetable), days, most)
    except Exception:  # a timetable of one's own need not be able to list its keys
        return ()


def clock_keys(timetable: Any) -> tuple[str, ...]:
    """The first keys that a partitioned timetable makes by its clock; none where it has no clock.

    ``timetable`` is one of Airflow's own (core) timetables.
    """
    return listed_keys(timetable, _DAYS, SAMPLES)


def sample_keys(wiring: Wiring) -> Mapping[str, tuple[str, ...]]:
    """DAG → sample keys of its runs, by its clock or through the mappers from those above it.

    A DAG whose keys cannot be known before it runs has none.
    """
    found = _carried(wiring, dict(wiring.clock_keys))
    return {dag_id: keys[:SAMPLES] for dag_id, keys in found.items()}


def folder_keys(wiring: Wiring, days: int, most: int) -> dict[str, tuple[str, ...]]:
    """DAG → the keys of its runs in these days; through mappers, at least those."""
    known = wiring.listed.get((days, most))
    if known is None:
        own = {dag_id: clock(days, most) for dag_id, clock in wiring.clocks.items()}
        known = _carried(wiring, {dag_id: keys for dag_id, keys in own.items() if keys})
        wiring.listed[days, most] = known
    return known


def _carried(wiring: Wiring, found: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Keys, carried on from DAG to DAG. A DAG is asked again when one above it has got keys."""
    above: dict[str, list[Emitter]] = {}
    for emitter in wiring.emitters:
        if emitter.dag_id is not None:
            above.setdefault(emitter.dag_id, []).append(emitter)
    waiting = deque(found)
    while waiting:
        for emitter in above.get(waiting.popleft(), ()):
            for listener in wiring.listeners_of(emitter.asset):
                new = listener.dag_id not in found and listener.hears(emitter)
                if new and (keys := _mapped(wiring, listener, found)):
                    found[listener.dag_id] = keys
                    waiting.append(listener.dag_id)
    return found


def event_keys(emitter: Emitter, samples: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Sample keys of an emitter's events; none where its task adds keys of its own."""
    if emitter.adds_keys or emitter.dag_id is None:
        return ()
    return samples.get(emitter.dag_id, ())


def map_key(listener: Listener, asset: AssetId, key: str) -> list[str]:
    """The keys of the listener's runs for one event. Raises what its mapper does."""
    assert listener.mapper is not None, f"{listener.dag_id} has no mapper"
    mapped = listener.mapper(asset).to_downstream(key)
    return [mapped] if isinstance(mapped, str) else list(mapped)


def _mapped(
    wiring: Wiring, listener: Listener, samples: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    keys: dict[str, None] = {}
    for emitter in (each for asset in listener.assets for each in wiring.emitters_of(asset)):
        if listener.hears(emitter) and listener.mapper is not None:
            for key in event_keys(emitter, samples):
                try:
                    keys.update(dict.fromkeys(map_key(listener, emitter.asset, key)))
                except Exception:  # a rule of its own reports it
                    continue
    return tuple(keys)
