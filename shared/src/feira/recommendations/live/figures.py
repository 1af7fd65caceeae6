"""The figures of what was shown, from what Spark has added up by version, arm, position and group of users."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from feira.recommendations.bootstrap import NOTHING, Figure
from feira.recommendations.live.intervals import GROUPS, mean, share
from feira.recommendations.metrics import Floats

# Of all positions, of all arms; of both slots the slot is None.
EVERY_POSITION, EVERY_ARM = 0, ""
MEASURES = (
    "impressions",
    "users",
    "clicked",
    "converted",
    "information",
    "informed",
    "diverse",
    "lists",
)


@dataclass(frozen=True)
class LiveFigure:
    """A row of ``recommendations.live_figures`` but for its day; the contract says what each is."""

    list_version: str
    arm: str
    position: int
    figure: str
    value: float | None
    low: float | None
    high: float | None
    impressions: int
    users: int
    refused: str | None = None
    slot: str | None = None


def live_figures(cells: pa.Table) -> Iterator[LiveFigure]:
    """CTR and conversion by version, arm, position (0: all) and slot (null: both), and of all positions novelty
    and diversity.

    ``cells`` has ``list_version``, ``arm``, ``position``, ``slot``, ``bucket`` (a group of users) and the columns
    of ``MEASURES``, in any order.
    """
    named = (cells[name].to_pylist() for name in ("list_version", "arm", "position", "slot"))
    keys = list(zip(*named, strict=True))
    if not keys:
        return
    in_order = sorted(set(keys), key=lambda key: (*key[:3], key[3] or ""))
    rows = {key: row for row, key in enumerate(in_order)}
    at = np.array([rows[key] for key in keys], dtype=np.intp), cells["bucket"].to_numpy()
    by_group = {name: np.zeros((len(rows), GROUPS)) for name in MEASURES}
    for name, sums in by_group.items():
        sums[at] = cells[name].to_numpy()
    for key, row in rows.items():
        yield from _of({name: sums[row] for name, sums in by_group.items()}, *key)


def _of(
    sums: dict[str, Floats], version: str, arm: str, position: int, slot: str | None
) -> Iterator[LiveFigure]:
    impressions, users = int(sums["impressions"].sum()), int(sums["users"].sum())

    def row(name: str, found: Figure) -> LiveFigure:
        ends = (found.value, found.low, found.high, impressions, users)
        return LiveFigure(version, arm, position, name, *ends, slot=slot)

    yield row("ctr", share(sums["clicked"], sums["impressions"], users))
    clickers = int(min(users, sums["clicked"].sum()))
    yield row("conversion", share(sums["converted"], sums["clicked"], clickers))
    if position == EVERY_POSITION:
        informed = sums["informed"].any()
        yield row("novelty", mean(sums["information"], sums["informed"]) if informed else NOTHING)
        yield row("category_diversity", share(sums["diverse"], sums["lists"], users))


def two_arms(version: str, twice: int, users: int, impressions: int) -> LiveFigure:
    """How many of the version's users were shown it in more than one arm."""
    return LiveFigure(
        version,
        EVERY_ARM,
        EVERY_POSITION,
        "users_in_two_arms",
        float(twice),
        None,
        None,
        impressions,
        users,
    )
