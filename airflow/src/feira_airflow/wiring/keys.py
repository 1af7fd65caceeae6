"""Which partition keys a DAG's events carry, found without running anything."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import CodeType, FunctionType, ModuleType
from typing import Any

from airflow.timetables.simple import AssetTriggeredTimetable

from feira_airflow.wiring.model import AssetId, Emitter, Listener, Wiring

SAMPLES = 3
# Any date would do; this one has no day of the month that could be taken for a month.
_FROM = datetime(2025, 12, 29, tzinfo=UTC)
_UNTIL = datetime(2035, 1, 1, tzinfo=UTC)
_NOT_SEARCHED = sys.stdlib_module_names | {"airflow"}


def clock_keys(timetable: Any) -> tuple[str, ...]:
    """The first keys that a partitioned timetable makes by its clock; none where it has no clock.

    ``timetable`` is one of Airflow's own (core) timetables.
    """
    if not timetable.partitioned or isinstance(timetable, AssetTriggeredTimetable):
        return ()
    try:
        ticks = timetable.iter_partition_dagrun_infos(earliest=_FROM, latest=_UNTIL)
        return tuple(tick.partition_key for tick in itertools.islice(ticks, SAMPLES))
    except Exception:  # a timetable of one's own need not be able to list its keys
        return ()


def adds_keys(task: Any) -> bool:
    """Whether the code of a task calls ``add_partitions``, itself or through functions it calls.

    What a task calls through an object's method, or out of a library of Airflow, is not followed.
    """
    start = getattr(task, "python_callable", None)
    kind = getattr(task, "operator_class", type(task))
    waiting: list[Any] = [start] if start is not None else list(_methods(kind))
    seen: set[int] = set()
    while waiting:
        function = _function(waiting.pop())
        if function is None or id(function) in seen:
            continue
        seen.add(id(function))
        names = set(_names(function.__code__))
        if "add_partitions" in names:
            return True
        waiting.extend(_called(function, names))
    return False


def _methods(kind: type) -> Iterator[Any]:
    for each in kind.__mro__:
        yield from vars(each).values()


def _function(value: Any) -> FunctionType | None:
    """The function behind a method or itself, where its code is that of a DAG's author."""
    function = getattr(value, "__func__", value)
    if not isinstance(function, FunctionType):
        return None
    # A module may be None: that of code which was made at run time.
    return None if (function.__module__ or "").partition(".")[0] in _NOT_SEARCHED else function


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _called(function: FunctionType, names: set[str]) -> Iterator[Any]:
    """Functions that a function can call: of its module, of modules it names, of its closure."""
    yield getattr(function, "__wrapped__", None)
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # a cell that is not filled yet
            continue
    for name in names:
        value = function.__globals__.get(name)
        yield value
        if isinstance(value, ModuleType):
            yield from (vars(value).get(other) for other in names)


def sample_keys(wiring: Wiring) -> Mapping[str, tuple[str, ...]]:
    """DAG → sample keys of its runs, by its clock or through the mappers from those above it.

    A DAG whose keys cannot be known before it runs has none.
    """
    found = dict(wiring.clock_keys)
    # Each round carries keys one DAG further; a cycle adds nothing new after that.
    for _ in wiring.listeners:
        for listener in wiring.listeners:
            if listener.dag_id not in found and (keys := _mapped(wiring, listener, found)):
                found[listener.dag_id] = keys
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
    for emitter in wiring.emitters:
        if listener.hears(emitter) and listener.mapper is not None:
            for key in event_keys(emitter, samples):
                try:
                    keys.update(dict.fromkeys(map_key(listener, emitter.asset, key)))
                except Exception:  # a rule of its own reports it
                    continue
    return tuple(keys)[:SAMPLES]
