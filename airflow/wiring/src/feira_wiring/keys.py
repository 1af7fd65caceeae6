"""Which partition keys a DAG's events carry, found without running anything.

``sample_keys`` gives examples; what never happens can be said only of all keys, which ``Arrivals`` lists.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from airflow.timetables.simple import AssetTriggeredTimetable

from feira_wiring.model import AssetId, Emitter, Keys, Listener, Wiring, is_met

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


# Days from a fixed one on, and how many keys are listed at most.
Span = tuple[int, int]
Arrived = dict[str, None] | None


class Arrivals:
    """Keys by asset, and by DAG; None where they cannot all be known."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self.listeners = {each.dag_id: each for each in wiring.listeners}
        self._known: dict[Span, dict[str, Arrived]] = {}

    def of(self, asset: AssetId, span: Span) -> Arrived:
        """The keys of an asset's events, in their order; empty where a clock has none in these days."""
        for dag_id in self._above(asset):
            self._settle(dag_id, span)
        return self._arrived(asset, span)

    def mapped(self, listener: Listener, asset: AssetId, span: Span) -> Arrived:
        """What the listener's mapper makes of them; None as well where it refuses one."""
        arrived = self.of(asset, span)
        return None if arrived is None else _mapped_keys(listener, asset, arrived)

    def _above(self, asset: AssetId) -> list[str]:
        emitters = self.wiring.emitters_of(asset)
        return [each.dag_id for each in emitters if each.dag_id is not None]

    def _arrived(self, asset: AssetId, span: Span) -> Arrived:
        declared = self.wiring.assets.get(asset)
        if asset.kind != "asset" or (declared is not None and declared.external):
            return None
        if self.wiring.may_come_of_an_alias(asset):
            return None
        if any(asset in (targets or ()) for targets in self.wiring.resolved.values()):
            return None
        keyed = [each for each in self.wiring.emitters_of(asset) if each.keys is not Keys.PLAIN]
        found: dict[str, None] = {}
        for emitter in keyed:
            own = self._known[span].get(emitter.dag_id or "")
            if emitter.keys is Keys.MAYBE or emitter.adds_keys or own is None:
                return None
            found |= own
        return found if keyed else None

    def _settle(self, dag_id: str, span: Span) -> None:
        """Finds the keys of a DAG's runs, and before that those of the DAGs above it."""
        known = self._known.setdefault(span, {})
        waiting, begun = [dag_id], set()
        while waiting:
            one = waiting[-1]
            listener = self.listeners.get(one)
            if one in known:
                waiting.pop()
            elif one in self.wiring.clock_keys:
                known[one] = dict.fromkeys(self.wiring.clocks[one](*span))
            elif listener is None or listener.mapper is None:
                known[one] = None
            elif one in begun:
                known[one] = self._runs(listener, span)
            else:
                begun.add(one)
                above = [each for asset in listener.assets for each in self._above(asset)]
                # In a circle nothing is known of where the keys begin.
                known |= dict.fromkeys(begun & {*above} - known.keys())
                waiting += [each for each in above if each not in known]

    def _runs(self, listener: Listener, span: Span) -> Arrived:
        """The keys that the listener's assets have in common as its condition wants it."""
        made: dict[AssetId, dict[str, None]] = {}
        for asset in listener.assets:
            arrived = self._arrived(asset, span)
            mapped = None if arrived is None else _mapped_keys(listener, asset, arrived)
            if mapped is None:
                return None
            made[asset] = mapped
        every = {key: None for keys in made.values() for key in keys}
        return {
            key: None
            for key in every
            if is_met(listener.condition, {asset for asset, keys in made.items() if key in keys})
        }


def _mapped_keys(listener: Listener, asset: AssetId, arrived: dict[str, None]) -> Arrived:
    try:
        return {each: None for key in arrived for each in map_key(listener, asset, key)}
    except Exception:  # a rule of its own reports it
        return None
