"""Drift: how far a distribution has moved from another, as the population stability index (PSI).

PSI = Σ (a - e) ln(a / e) over the bins, e and a the shares of the expected and the actual (Siddiqi, Credit Risk
Scorecards, 2006). By the usual words it is small below 0.1 and large from 0.25 on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import IO, TypeVar

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

SOME, MUCH = 0.1, 0.25
BINS = 10
# A bin that one side leaves empty has this share: the index would be infinite.
LEAST_SHARE = 1e-4
_OTHER_SHARE = 0.01

Key = TypeVar("Key", bound=Hashable)


def psi(expected: Sequence[float], actual: Sequence[float]) -> float | None:
    """Of counts by bin, in the same order; None where one side has nothing."""
    if len(expected) != len(actual):
        raise ValueError(
            f"{len(expected)} bins of what is expected, and {len(actual)} of the actual"
        )
    e, a = (np.asarray(each, dtype=float) for each in (expected, actual))
    if not e.sum() > 0 or not a.sum() > 0:
        return None
    e, a = (np.maximum(each / each.sum(), LEAST_SHARE) for each in (e, a))
    return float(np.sum((a - e) * np.log(a / e)))


def in_equal_bins(expected: Mapping[Key, float], actual: Mapping[Key, float]) -> float | None:
    """Of counts by key, as items by how often they are shown: keys go into ten bins of about the same
    share of what is expected, the most frequent first. Those that only the actual has are in the last."""
    order = sorted(expected, key=lambda key: (-expected[key], str(key)))
    shares = np.cumsum([expected[key] for key in order]) / max(sum(expected.values()), 1)
    # A key belongs where its middle is: one with half of all is in one bin, and leaves others empty.
    middle = shares - np.diff(shares, prepend=0) / 2
    bins = np.minimum((middle * BINS).astype(int), BINS - 1)
    bin_of = dict(zip(order, bins.tolist(), strict=True))
    used = sorted({*bin_of.values(), BINS - 1})
    counts = [dict.fromkeys(used, 0.0) for _ in range(2)]
    for count, side in zip(counts, (expected, actual), strict=True):
        for key, value in side.items():
            count[bin_of.get(key, BINS - 1)] += value
    return psi(*([count[each] for each in used] for count in counts))


def by_key(expected: Mapping[Key, float], actual: Mapping[Key, float]) -> float | None:
    """Of counts by key, as categories: each is a bin, those under 1 % of what is expected are one together."""
    of_all = sum(expected.values())
    own = [key for key, value in expected.items() if value >= _OTHER_SHARE * of_all]
    counts = []
    for side in (expected, actual):
        named = [side.get(key, 0.0) for key in own]
        counts.append([*named, max(sum(side.values()) - sum(named), 0.0)])
    if not any(count[-1] for count in counts):
        counts = [count[:-1] for count in counts]
    return psi(*counts)


def word(value: float | None) -> str:
    """How large an index is: ``stable``, ``some_drift``, ``much_drift``; ``unknown`` where there is none."""
    if value is None:
        return "unknown"
    return "stable" if value < SOME else "some_drift" if value < MUCH else "much_drift"


def shown(parquet: IO[bytes], most: int = 10) -> Counter[str]:
    """How often each item is in the first places of the users' lists of a version's file."""
    found: Counter[str] = Counter()
    file = pq.ParquetFile(parquet)
    for batch in file.iter_batches(columns=["user_id", "position", "item"]):
        # Lists of nobody in particular are shown to an unknown number.
        first = pc.and_(pc.less_equal(batch["position"], most), pc.not_equal(batch["user_id"], ""))
        for count in pc.value_counts(batch["item"].filter(first)).to_pylist():
            found[count["values"]] += count["counts"]
    return found
