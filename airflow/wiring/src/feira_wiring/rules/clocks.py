"""Rules about keys that a clock makes: too many at once, a window never full, keys that never meet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from enum import Enum

from airflow.configuration import conf
from airflow.partition_mappers.base import is_rollup

from feira_wiring.keys import Arrivals, Span, event_keys, folder_keys, map_key
from feira_wiring.model import AssetId, Emitter, Listener, Wiring, is_met
from feira_wiring.report import Finding, rule

# Days that a clock's keys are listed for, and how many keys at most: some weeks find what meets at
# once, years are looked at only where nothing has.
_DENSE = (3, 4500)  # every minute
_NEAR = (40, 1500)  # every hour
_FAR = (400, 10_000)  # every hour; a year, with both changes of the clocks
_FARTHEST = (4100, 4200)  # every day, until each date has had each weekday
# With so many keys each in _FAR, clocks have shown their whole pattern.
_MANY = 200
_DAYS = tuple(date(2026, 1, 1) + timedelta(days=each) for each in range(366))


@rule("error", "a mapper makes more keys of one than it may")
def fan_out_limit(wiring: Wiring) -> Iterator[Finding]:
    """A mapper that makes more keys of one than it may."""
    keys = folder_keys(wiring, *_NEAR)
    for listener in wiring.listeners:
        if listener.mapper is None:
            continue
        for asset in listener.assets:
            for emitter in wiring.emitters_of(asset):
                if listener.hears(emitter) and asset.kind == "asset":
                    yield from _over_the_limit(listener, emitter, _tried(listener, emitter, keys))


def _tried(
    listener: Listener, emitter: Emitter, keys: dict[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Keys of the emitter; where they are not known, days of a year in the mapper's own format."""
    if known := event_keys(emitter, keys):
        return known
    assert listener.mapper is not None
    reads = getattr(listener.mapper(emitter.asset), "upstream_mapper", None)
    form = getattr(reads, "input_format", None)
    return tuple(day.strftime(form) for day in _DAYS) if isinstance(form, str) else ()


def _over_the_limit(
    listener: Listener, emitter: Emitter, keys: tuple[str, ...]
) -> Iterator[Finding]:
    assert listener.mapper is not None
    mapper = listener.mapper(emitter.asset)
    own = mapper.max_downstream_keys
    limit = own or conf.getint("scheduler", "partition_mapper_max_downstream_keys")
    for key in keys:
        try:
            made = len(map_key(listener, emitter.asset, key))
        except Exception:  # a rule of its own reports it
            return
        if made > limit:
            of = (
                "max_downstream_keys" if own else "[scheduler] partition_mapper_max_downstream_keys"
            )
            yield fan_out_limit.finding(
                emitter.asset,
                (emitter, listener),
                problem=(
                    f"The {type(mapper).__name__} of {listener.dag_id} makes {made} keys of one such "
                    f"as {key!r}; its {of} is {limit}."
                ),
                consequence=(
                    f"Airflow makes no run of {listener.dag_id} for such an event, not for the first "
                    f"{limit} keys either; its audit log gets `partition fan-out exceeded`."
                ),
                step=f"Raise {of} to {made} or more, or choose a smaller window.",
            )
            return


@rule("error", "a rollup waits for keys that no clock makes", missing="emitter")
def rollup_never_full(wiring: Wiring) -> Iterator[Finding]:
    """A rollup whose window holds keys that its emitters' clocks never make."""
    arrivals = Arrivals(wiring)
    for listener in wiring.listeners:
        for asset in listener.assets if listener.mapper is not None else ():
            if asset.kind != "asset" or not is_rollup(listener.mapper(asset)):  # type: ignore[misc]
                continue
            yield from _never_full(arrivals, listener, asset)


def _never_full(arrivals: Arrivals, listener: Listener, asset: AssetId) -> Iterator[Finding]:
    assert listener.mapper is not None
    mapper = listener.mapper(asset)
    assert is_rollup(mapper)
    for span in (_NEAR, _FAR):
        arrived = arrivals.of(asset, span)
        if arrived is None:
            return
        periods: dict[str, set[str]] = defaultdict(set)
        for key in arrived:
            try:
                for period in map_key(listener, asset, key):
                    periods[period].add(key)
            except Exception:
                return
        example: tuple[str, set[str], bool] | None = None
        # The first and the last are cut off by where the listing begins and ends.
        for period in list(periods)[1:-1]:
            try:
                expected = mapper.to_upstream(period)
            except Exception:
                continue  # Airflow makes no run of it
            if not expected & arrived.keys():
                return  # unreadable-key reports it
            # Of all keys that arrive, a period is given those alone that the mapper brings to it.
            if mapper.wait_policy.is_satisfied_by_keys(
                matched=periods[period], expected=expected
            ).satisfied:
                return
            missing = set(expected - periods[period])
            example = example or (period, missing, missing <= arrived.keys())
    if example is None:
        return
    emitters, (period, missing, made) = arrivals.wiring.emitters_of(asset), example
    lacks = f"{period!r} lacks {len(missing)}{f', such as {min(missing)!r}' if missing else ''}"
    if missing and made:
        problem = f"its {type(mapper.upstream_mapper).__name__} brings no period"
        step = "Take the mapper whose periods are those of the window."
    else:
        problem = f"the clock of {emitters[0].dag_id} never makes"
        step = (
            "Give the rollup wait_policy=MinimumCount(…) with a number that the clock reaches, or "
            "let the emitter run for every key of the window."
        )
    yield rollup_never_full.finding(
        asset,
        (*emitters, listener),
        problem=(
            f"{listener.dag_id} rolls {asset} up, and {problem} all the keys that its "
            f"{type(mapper.window).__name__} waits for: {lacks}."
        ),
        consequence=f"Airflow keeps waiting: it makes no run of {listener.dag_id}, and logs nothing.",
        step=step,
    )


@rule(
    "error", "a listener waits for keys that two clocks never have in common", missing="any emitter"
)
def keys_never_meet(wiring: Wiring) -> Iterator[Finding]:
    """A listener of several assets, whose clocks never make one key in common."""
    arrivals = Arrivals(wiring)
    for listener in wiring.listeners:
        if listener.mapper is None or len(listener.assets) < 2:
            continue
        if _never_meet(arrivals, listener):
            emitters = [each for asset in listener.assets for each in wiring.emitters_of(asset)]
            samples = [_sample(arrivals, listener, asset) for asset in listener.assets]
            yield keys_never_meet.finding(
                listener.assets[0],
                (listener, *emitters),
                problem=(
                    f"{listener.dag_id} waits for one key of all of "
                    f"{', '.join(map(str, listener.assets))}, and they never have one in common: "
                    f"{'; '.join(samples)}."
                ),
                consequence=(
                    f"Each key waits for its counterpart: Airflow makes no run of {listener.dag_id}, "
                    "and logs nothing."
                ),
                step=(
                    "Give the clocks one key_format and the same times, or map the keys of each asset "
                    "to a common one with partition_mapper_config (such as StartOfDayMapper)."
                ),
            )


class _Meet(Enum):
    """Whether keys of several clocks meet within some days."""

    YES = "one key meets the condition"
    NO = "all keys are known, and none meets it"
    UNKNOWN = "there are keys that are not known"
    CUT_OFF = "there are too many keys to list them"


def _never_meet(arrivals: Arrivals, listener: Listener) -> bool:
    """Whether no key ever meets the listener's condition; False as well where that is unknown.

    The longest span whose keys can all be listed decides: clocks that tick by the minute are
    compared over days, yearly ones over years.
    """
    never = False
    for span in (_DENSE, _NEAR, _FAR, _FARTHEST):
        meet, fewest = _meeting(arrivals, listener, span)
        if meet is _Meet.YES:
            return False
        if meet is _Meet.CUT_OFF:
            break
        # One key proves nothing: its next one may meet.
        never = meet is _Meet.NO and fewest > 1
        if (never and fewest > _MANY) or (span == _FAR and _none_comes(arrivals, listener)):
            break
    return never


def _none_comes(arrivals: Arrivals, listener: Listener) -> bool:
    """Whether an asset has no key in a year though no clock emits it: what is above it never runs."""
    clocks = arrivals.wiring.clock_keys
    return any(
        arrivals.of(asset, _FAR) == {}
        and not any(each.dag_id in clocks for each in arrivals.wiring.emitters_of(asset))
        for asset in listener.assets
    )


def _meeting(arrivals: Arrivals, listener: Listener, span: Span) -> tuple[_Meet, int]:
    """Whether keys meet in these days, and the number of keys of the asset that has the fewest."""
    made = {asset: arrivals.mapped(listener, asset, span) for asset in listener.assets}
    known = {asset: keys for asset, keys in made.items() if keys is not None}
    anything = made.keys() - known.keys()
    cut_off = any(len(arrivals.of(asset, span) or ()) >= span[1] for asset in known)
    if not known or is_met(listener.condition, anything):
        return _Meet.UNKNOWN, 0
    for key in set().union(*known.values()):
        with_it = {asset for asset, keys in known.items() if key in keys}
        if is_met(listener.condition, anything | with_it):
            # What is not known may have the key or not: no finding, and nothing more to look for.
            return _Meet.YES, 0
    return _Meet.CUT_OFF if cut_off else _Meet.NO, min(map(len, known.values()))


def _sample(arrivals: Arrivals, listener: Listener, asset: AssetId) -> str:
    for span in (_NEAR, _FAR):
        if made := arrivals.mapped(listener, asset, span):
            return f"{asset} has {', '.join(map(repr, [*made][:2]))}"
    return f"those of {asset} are not known"
