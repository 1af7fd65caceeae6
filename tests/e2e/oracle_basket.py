"""The independent check of what goes with what: plain loops over interactions, the published bytes, and what a
guest's basket is offered. It shares no code with the platform."""

from __future__ import annotations

import json
import struct
from collections import Counter, defaultdict
from collections.abc import Mapping
from math import sqrt

from oracle_lists import NEAR, Known, Offer

# Of an item what goes with it, best first, each with its similarity.
Pairs = Mapping[str, list[tuple[str, float]]]


def goes_with(known: Known) -> Pairs:
    """Of each item the 20 that go with it, best first: the customers that had both by the root of the product of
    (10 + how many had each), of pairs that two customers had at least. Of equals, to nine decimals, the one that
    more customers had is first, then by name."""
    had, both = Counter[int](), Counter[tuple[int, int]]()
    for user in known.users:
        items = known.had(user)
        had.update(items)
        both.update((one, other) for one in items for other in items if one != other)
    found: dict[int, list[tuple[float, int, str]]] = defaultdict(list)
    for (one, other), users in both.items():
        if users >= 2:
            similarity = users / sqrt((10 + had[one]) * (10 + had[other]))
            found[one].append((-round(similarity, 9), -had[other], known.items[other]))
    return {
        known.items[item]: [(name, -similarity) for similarity, _, name in sorted(of)[:20]]
        for item, of in found.items()
    }


def published_pairs(values: Mapping[bytes, bytes], version: str) -> tuple[list[str], Pairs]:
    """A version's items by number, and what goes with what: a key of an item has the numbers of others, then the
    similarity of each."""
    prefix = f"reco:{version}:"
    items: list[str] = json.loads(values[f"{prefix}items".encode()])
    found = {}
    for key, value in values.items():
        name = key.decode().removeprefix(prefix)
        if name.startswith("with:"):
            count = len(value) // 8
            numbers = struct.unpack(f"<{count}I", value[: 4 * count])
            similar = struct.unpack(f"<{count}f", value[4 * count :])
            named = [items[number] for number in numbers]
            found[name.removeprefix("with:")] = list(zip(named, similar, strict=True))
    return items, found


def pairs_differ(must: Pairs, held: Pairs) -> list[str]:
    """What is published to go with what against what must."""
    problems = [
        f"what goes with {item}: {held.get(item)}, must be {must.get(item)}"
        for item in sorted(must.keys() | held.keys())
        if [name for name, _ in held.get(item, [])] != [name for name, _ in must.get(item, [])]
        or any(
            abs(one - other) > NEAR
            for (_, one), (_, other) in zip(held.get(item, []), must.get(item, []), strict=False)
        )
    ]
    return problems[:3]


def basket_offers(
    basket: list[str], pairs: Pairs, items: list[str], popular: list[str]
) -> list[Offer]:
    """What a guest's basket is offered: by the sum of the similarities, of equals the item of the lesser number, each
    with the item of the basket that adds most; then what is popular."""
    total: dict[str, float] = defaultdict(float)
    most: dict[str, tuple[float, str]] = {}
    for item in basket:
        for name, similarity in pairs.get(item, []):
            total[name] += similarity
            if similarity > most.get(name, (0.0, ""))[0]:
                most[name] = similarity, item
    order = sorted(total, key=lambda name: (-total[name], items.index(name)))
    offers: list[Offer] = [(name, "goes_with", most[name][1]) for name in order]
    offers += [(name, "popular", None) for name in popular if name not in total]
    return [offer for offer in offers if offer[0] not in basket]
