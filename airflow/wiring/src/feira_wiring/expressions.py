"""From Airflow's asset expressions to ours, references resolved within the folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from airflow.serialization.definitions.assets import (
    SerializedAsset,
    SerializedAssetAlias,
    SerializedAssetAll,
    SerializedAssetBooleanCondition,
    SerializedAssetNameRef,
    SerializedAssetUriRef,
)
from airflow.serialization.encoders import ensure_serialized_asset

from feira_wiring.model import AllOf, AnyOf, Asset, AssetId, Condition

TERMINAL, EXTERNAL, IGNORED = "terminal", "external", "lint_ignore"


class Expressions:
    """Reads expressions, once it knows every asset that the folder declares."""

    def __init__(self, expressions: Iterable[Any]) -> None:
        self.assets: dict[AssetId, Asset] = {}
        # (asset, name) of every watcher; an asset may be declared many times.
        self.watchers: dict[tuple[AssetId, str], None] = {}
        self._by_name: dict[str, AssetId] = {}
        self._by_uri: dict[str, AssetId] = {}
        for each in expressions:
            self.declare(each)

    def declare(self, expression: Any) -> None:
        """Takes up the assets of one more expression; of two that share a name or a URI, references are to the
        first."""
        for declared in _leaves(core(expression)):
            if isinstance(declared, SerializedAsset):
                self._declare(declared)

    def _declare(self, declared: SerializedAsset) -> None:
        asset = AssetId(declared.name, declared.uri)
        known = self.assets.get(asset, Asset(asset))
        self.assets[asset] = Asset(
            asset,
            terminal=known.terminal or bool(declared.extra.get(TERMINAL)),
            external=known.external or bool(declared.extra.get(EXTERNAL)),
            ignored=known.ignored | _ignored(declared.extra.get(IGNORED)),
        )
        self._by_name.setdefault(asset.name, asset)
        self._by_uri.setdefault(asset.uri, asset)
        self.watchers |= {(asset, watcher.name): None for watcher in declared.watchers}

    def condition(self, expression: Any) -> Condition:
        """The expression as a condition. Raises TypeError on a kind of expression not known here."""
        match core(expression):
            case SerializedAssetBooleanCondition() as several:
                parts = tuple(self.condition(each) for each in several.objects)
                return AllOf(parts) if isinstance(several, SerializedAssetAll) else AnyOf(parts)
            case single:
                return self.asset(single)

    def asset(self, one: Any) -> AssetId:
        """The asset, alias or reference. A reference gives the asset it refers to, if there is one."""
        match core(one):
            case SerializedAsset() as asset:
                return AssetId(asset.name, asset.uri)
            case SerializedAssetAlias() as alias:
                return AssetId(alias.name, kind="alias")
            case SerializedAssetNameRef() as ref:
                return self.referred(AssetId(ref.name, kind="ref"))
            case SerializedAssetUriRef() as ref:
                return self.referred(AssetId("", ref.uri, kind="ref"))
            case other:
                raise TypeError(
                    f"{type(other).__name__} is an asset expression that the wiring linter cannot "
                    "read; it knows Asset, AssetAlias, Asset.ref, AssetAny and AssetAll."
                )

    def referred(self, asset: AssetId) -> AssetId:
        """What a reference refers to, as far as is known by now; what is none stays itself."""
        if asset.kind != "ref":
            return asset
        return self._by_name.get(asset.name) or self._by_uri.get(asset.uri) or asset


def expression_text(expression: Any) -> str:
    """An expression as a DAG file would write it: ``a & (b | c)``."""
    one = core(expression)
    if not isinstance(one, SerializedAssetBooleanCondition):
        return str(getattr(one, "name", "") or getattr(one, "uri", one))
    sign = " & " if isinstance(one, SerializedAssetAll) else " | "
    parts = (expression_text(each) for each in one.objects)
    return sign.join(f"({each})" if " " in each else each for each in parts)


def core(expression: Any) -> Any:
    """An asset expression of a DAG file in the form that Airflow stores."""
    return ensure_serialized_asset(expression)


def _ignored(marked: Any) -> frozenset[str]:
    """Rules that an asset is marked with: one, or a list of them."""
    names = [marked] if isinstance(marked, str) else marked
    return frozenset(map(str, names)) if isinstance(names, list | tuple | set) else frozenset()


def _leaves(expression: Any) -> Iterator[Any]:
    if isinstance(expression, SerializedAssetBooleanCondition):
        for each in expression.objects:
            yield from _leaves(each)
    else:
        yield expression
