"""Rules about the runs that events make: merged ones, ones that are not made, ones without end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from feira_wiring.model import Emitter, Keys, Listener, Paused, Trigger, Wiring, is_met
from feira_wiring.report import Finding, listed, rule


@rule("warning", "a listener gets one run for several events", on=False)
def merged_events(wiring: Wiring) -> Iterator[Finding]:
    """Plain listeners of plain events, but not those that a clock sets off too."""
    for listener in wiring.listeners:
        heard = [
            each
            for each in wiring.emitters
            if each.keys is Keys.PLAIN and not listener.keyed and each.asset in listener.assets
        ]
        if not heard or listener.clock:
            continue
        assets = listed(dict.fromkeys(each.asset for each in heard))
        yield merged_events.finding(
            heard[0].asset,
            (listener, *heard),
            problem=f"{listener.dag_id} listens to {assets} without a partition key.",
            consequence=(
                "Events that come before the scheduler looks, or while max_active_runs is reached, "
                "make one run, and it is given the first of them alone; the others wait until one "
                "more event makes a run. So does an event that comes while the DAG is paused."
            ),
            step=(
                "Key the events and listen with PartitionedAssetTimetable: a run for each key. Or let "
                "the task keep track of what is new itself, whatever events it is given, and "
                "disable this rule."
            ),
        )


@rule("warning", "a listener begins paused", on=False)
def paused_listener(wiring: Wiring) -> Iterator[Finding]:
    """Listeners that begin paused; by Airflow's default, only those that lose events by it.

    A plain listener gets what it missed with its next event: see merged_events.
    """
    for listener in wiring.listeners:
        by_default = listener.begins_paused is Paused.BY_DEFAULT
        if listener.begins_paused is None or (by_default and not listener.keyed):
            continue
        yield paused_listener.finding(
            listener.assets[0] if listener.assets else None,
            (listener,),
            problem=(
                f"{listener.dag_id} does not set is_paused_upon_creation, and Airflow's default is paused."
                if by_default
                else f"{listener.dag_id} has is_paused_upon_creation=True."
            ),
            consequence=(
                "Airflow queues nothing for a paused DAG. "
                + (
                    "The run of a key that comes in that time is never made, not when the DAG is "
                    "unpaused either."
                    if listener.keyed
                    else "An event that comes in that time waits for the next one."
                )
            ),
            step=(
                "Set is_paused_upon_creation=False. For keys that came before, run the emitter "
                "again, or trigger the listener with the key."
            ),
        )


@rule("error", "DAGs trigger one another in a cycle")
def cycle(wiring: Wiring) -> Iterator[Finding]:
    """DAGs that trigger one another in a cycle, and a DAG that triggers itself."""
    by_id = {listener.dag_id: listener for listener in wiring.listeners}
    sets_off = _who_sets_off_whom(wiring, wiring.emitters, wiring.triggers)
    reported: set[str] = set()
    for dag_id in sets_off:
        if dag_id in reported:
            continue
        reached = _reached(dag_id, sets_off)
        if dag_id not in reached:
            continue
        members = sorted(each for each in reached if dag_id in _reached(each, sets_off))
        reported |= set(members)
        listeners = [by_id[each] for each in members if each in by_id]
        links = [
            emitter
            for emitter in wiring.emitters
            if emitter.dag_id in members and any(each.hears(emitter) for each in listeners)
        ]
        triggers = [
            each for each in wiring.triggers if each.dag_id in members and each.target in members
        ]
        # What may be skipped, or may have another key, may also end it.
        keyed = all(each.keys is not Keys.MAYBE for each in links)
        certain = keyed and _goes_on(
            wiring,
            [each for each in links if each.always],
            [each for each in triggers if each.always],
        )
        does = "Each run makes the next, without end." if triggers else _begins(wiring, listeners)
        if does is None and keyed:
            certain = True
            does = "Each waits for an event of the others: Airflow never makes a first run."
        elif does is None or not certain:
            certain = False
            does = "Each run makes the next, until a task of it is skipped."
        path = _path(dag_id, sets_off)
        if len(path) > 2:
            problem = f"{' → '.join(path)} trigger one another."
        elif links:
            problem = f"{dag_id} listens to {links[0].asset}, which it emits itself."
        else:
            problem = f"{dag_id} triggers itself."
        yield cycle.finding(
            links[0].asset if links else None,
            (*links, *triggers, *listeners),
            level="error" if certain else "warning",
            problem=problem,
            consequence=does,
            step=(
                "Remove one of these triggers, or one of the assets from a schedule."
                if triggers
                else "Remove one of these assets from a schedule, or from a task's outlets."
            ),
        )


def _begins(wiring: Wiring, members: list[Listener]) -> str | None:
    """What a cycle of assets does once it runs; None where it never does."""
    ids = {each.dag_id for each in members}
    inside = {each.asset for each in wiring.emitters if each.dag_id in ids}
    outside = {each.asset for each in wiring.emitters if each.dag_id not in ids}
    outside |= {asset.id for asset in wiring.assets.values() if asset.external}
    endless = all(is_met(each.condition, inside) for each in members)
    begins = any(each.clock or is_met(each.condition, outside) for each in members)
    if endless:
        return "Each run makes the next, without end" + (
            "." if begins else "; and no event from outside makes the first."
        )
    if begins:
        return "A run can make its own next run, once the other assets of the schedule have events."
    return None


def _goes_on(wiring: Wiring, emitters: Iterable[Emitter], triggers: Iterable[Trigger]) -> bool:
    """Whether these alone close a cycle."""
    edges = _who_sets_off_whom(wiring, emitters, triggers)
    return any(each in _reached(each, edges) for each in edges)


def _who_sets_off_whom(
    wiring: Wiring, emitters: Iterable[Emitter], triggers: Iterable[Trigger]
) -> Mapping[str, tuple[str, ...]]:
    edges: dict[str, dict[str, None]] = {}
    for emitter in emitters:
        for listener in wiring.listeners_of(emitter.asset):
            if emitter.dag_id is not None and listener.hears(emitter):
                edges.setdefault(emitter.dag_id, {})[listener.dag_id] = None
    for trigger in triggers:
        edges.setdefault(trigger.dag_id, {})[trigger.target] = None
    return {dag_id: tuple(heard) for dag_id, heard in edges.items()}


def _reached(start: str, edges: Mapping[str, tuple[str, ...]]) -> set[str]:
    """Every DAG that a run of ``start`` sets off in the end; itself, if it comes round."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for each in edges.get(waiting.pop(), ()):
            if each not in found:
                found.add(each)
                waiting.append(each)
    return found


def _path(start: str, edges: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The shortest way from a DAG back to itself, itself at both ends."""
    before: dict[str, str] = {}
    waiting = deque([start])
    while waiting and start not in before:
        at = waiting.popleft()
        for each in edges.get(at, ()):
            if each not in before:
                before[each] = at
                waiting.append(each)
    path = [start]
    while len(path) == 1 or path[-1] != start:
        path.append(before[path[-1]])
    return path[::-1]
