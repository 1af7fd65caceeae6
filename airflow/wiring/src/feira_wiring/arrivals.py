"""Every partition key that the events of an asset carry in some days, where all of them can be known.

``keys.sample_keys`` gives examples; what never happens can be said only of all keys.
"""

from __future__ import annotations

from feira_wiring.keys import map_key
from feira_wiring.model import AssetId, Keys, Listener, Wiring, is_met

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
        return None if arrived is None else _mapped(listener, asset, arrived)

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
            mapped = None if arrived is None else _mapped(listener, asset, arrived)
            if mapped is None:
                return None
            made[asset] = mapped
        every = {key: None for keys in made.values() for key in keys}
        return {
            key: None
            for key in every
            if is_met(listener.condition, {asset for asset, keys in made.items() if key in keys})
        }


def _mapped(listener: Listener, asset: AssetId, arrived: dict[str, None]) -> Arrived:
    try:
        return {each: None for key in arrived for each in map_key(listener, asset, key)}
    except Exception:  # a rule of its own reports it
        return None
