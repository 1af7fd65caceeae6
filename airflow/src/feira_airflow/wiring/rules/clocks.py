"""Rules about keys that a clock makes: too many at once, a window never full, keys that never meet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from airflow.configuration import conf
from airflow.partition_mappers.base import is_rollup

from feira_airflow.wiring.finding import Finding, finding
from feira_airflow.wiring.keys import event_keys, folder_keys, map_key
from feira_airflow.wiring.model import AssetId, Emitter, Keys, Listener, Wiring, is_met

# Days that a clock's keys are listed for, and how many keys at most: a week's worth finds what meets
# at once, years are looked at only where nothing has.
_NEAR = (40, 1500)
_FAR = (1100, 20_000)
_DAYS = tuple(date(2026, 1, 1) + timedelta(days=each) for each in range(366))


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
            yield finding(
                "fan-out-limit",
                "error",
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


def rollup_never_full(wiring: Wiring) -> Iterator[Finding]:
    """A rollup whose window holds keys that its emitters' clocks never make."""
    for listener in wiring.listeners:
        for asset in listener.assets if listener.mapper is not None else ():
            if asset.kind != "asset" or not is_rollup(listener.mapper(asset)):  # type: ignore[misc]
                continue
            yield from _never_full(wiring, listener, asset)


def _never_full(wiring: Wiring, listener: Listener, asset: AssetId) -> Iterator[Finding]:
    assert listener.mapper is not None
    mapper = listener.mapper(asset)
    assert is_rollup(mapper)
    for days, most in (_NEAR, _FAR):
        arrived = _arriving(wiring, listener, asset, days, most)
        if arrived is None:
            return
        periods: dict[str, None] = {}
        for key in arrived:
            try:
                periods.update(dict.fromkeys(map_key(listener, asset, key)))
            except Exception:
                return
        missing: set[str] = set()
        # The first and the last are cut off by where the listing begins and ends.
        for period in list(periods)[1:-1]:
            try:
                expected = mapper.to_upstream(period)
            except Exception:
                return
            if not expected & arrived.keys():
                return  # unreadable-key reports it
            if mapper.wait_policy.is_satisfied_by_keys(
                matched=frozenset(arrived), expected=expected
            ).satisfied:
                return
            if not missing:
                missing, example = set(expected - arrived.keys()), period
    if len(periods) < 3:
        return
    emitters = wiring.emitters_of(asset)
    lacks = f", such as {min(missing)!r}" if missing else ""
    yield finding(
        "rollup-never-full",
        "error",
        asset,
        (*emitters, listener),
        problem=(
            f"{listener.dag_id} rolls {asset} up, and the clock of {emitters[0].dag_id} never makes "
            f"all the keys that its {type(mapper.window).__name__} waits for: {example!r} "
            f"lacks {len(missing)}{lacks}."
        ),
        consequence=f"Airflow keeps waiting: it makes no run of {listener.dag_id}, and logs nothing.",
        step=(
            "Give the rollup wait_policy=MinimumCount(…) with a number that the clock reaches, or "
            "let the emitter run for every key of the window."
        ),
    )


def keys_never_meet(wiring: Wiring) -> Iterator[Finding]:
    """A listener of several assets, whose clocks never make one key in common."""
    for listener in wiring.listeners:
        if listener.mapper is None or len(listener.assets) < 2:
            continue
        if all(_never_meet(wiring, listener, *span) for span in (_NEAR, _FAR)):
            emitters = [each for asset in listener.assets for each in wiring.emitters_of(asset)]
            samples = [_sample(wiring, listener, asset) for asset in listener.assets]
            yield finding(
                "keys-never-meet",
                "error",
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


def _never_meet(wiring: Wiring, listener: Listener, days: int, most: int) -> bool:
    """Whether no key is known to meet the condition; False as well where that cannot be told."""
    made: dict[AssetId, set[str] | None] = {}
    for asset in listener.assets:
        arrived = _arriving(wiring, listener, asset, days, most)
        if arrived is not None and len(arrived) >= most:
            arrived = None  # cut off
        keys: set[str] | None = None if arrived is None else set()
        for key in arrived or ():
            try:
                keys = keys if keys is None else keys | {*map_key(listener, asset, key)}
            except Exception:
                keys = None
        if keys is None and not wiring.emitters_of(asset) and not wiring.assets.get(asset):
            return False
        made[asset] = keys
    anything = {asset for asset, keys in made.items() if keys is None}
    every = set().union(*(keys for keys in made.values() if keys is not None))
    if not every or is_met(listener.condition, anything):
        return False
    for key in every:
        if is_met(
            listener.condition,
            anything | {asset for asset, keys in made.items() if keys and key in keys},
        ):
            return False
    return all(made[asset] is None or made[asset] for asset in made)


def _sample(wiring: Wiring, listener: Listener, asset: AssetId) -> str:
    for key in _arriving(wiring, listener, asset, *_NEAR) or ():
        made = map_key(listener, asset, key)
        return f"{asset} has {', '.join(map(repr, made[:2]))}"
    return f"those of {asset} are not known"


def _arriving(
    wiring: Wiring, listener: Listener, asset: AssetId, days: int, most: int
) -> dict[str, None] | None:
    """Every key that events of an asset carry in these days; None where they cannot all be known."""
    declared = wiring.assets.get(asset)
    if asset.kind != "asset" or (declared is not None and declared.external):
        return None
    if any(targets is None or asset in targets for targets in wiring.resolved.values()):
        return None
    keys = folder_keys(wiring, days, most)
    found: dict[str, None] = {}
    emitters = wiring.emitters_of(asset)
    for emitter in emitters:
        if emitter.keys is Keys.PLAIN:
            continue
        if emitter.keys is Keys.MAYBE or not (own := event_keys(emitter, keys)):
            return None
        found |= dict.fromkeys(own)
    return found or None
