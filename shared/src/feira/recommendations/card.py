"""A version's model card: what it was made from and how, for people, and what it must not be used for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from feira.recommendations.history import HISTORY_CAP, History
from feira.recommendations.interactions import day_of
from feira.recommendations.training import Trained

if TYPE_CHECKING:
    # A verdict is of a version, and a version has a card.
    from feira.recommendations.verdicts import Verdict

NOT_FOR = (
    "prices, credit, or anything else that is decided about a person: it knows what was bought and when alone",
    "statements on what a customer is or needs; products may hint at health, belief or family",
    "another shop, or days after those of the next version",
    "measuring a new method: what was bought depends on what was offered",
)


def card(version: str, sources: Any, history: History, learned: Trained | None) -> str:
    """The card as Markdown. The figures of the version are the gate's, in a file of its own."""
    lines = [
        f"# Lists {version}",
        "",
        f"Interactions to {day_of(history.as_of - 1)}, of each user the newest {HISTORY_CAP:,} learned from.",
        "",
        "| | |",
        "|---|---|",
        f"| interactions | {len(history.days):,} |",
        f"| users | {len(history.user_ids):,} |",
        f"| items | {len(history.item_ids):,} |",
    ]
    if learned is not None:
        lines += [
            f"| first day | {day_of(history.days.min())} |",
            f"| last day with any | {day_of(history.days.max())} |",
            f"| SHA-256 of the models | {learned.models.hash()} |",
            "",
            "## Method",
            *_block(learned.method.described()),
            *(f"* Re-ranking of *{slot}*: {why}" for slot, why in learned.reranking.items()),
        ]
    lines += ["", "## Data", "The snapshots that were read, by table:", *_block(sources)]
    lines += [
        "## Figures",
        "Of the gate, which judges after this: `gate.json` beside this file.",
        "",
    ]
    lines += ["## Not for", *(f"* {each}" for each in NOT_FOR)]
    return "\n".join(lines) + "\n"


def figures(verdict: Verdict) -> str:
    """What the gate has found of a card's version, as Markdown: its verdict and each figure with its interval and
    limit, those that gate nothing too."""
    beside = f"beside {verdict.live}" if verdict.live else "with nothing served"
    lines = [
        "## What the gate found",
        f"{verdict.verdict}: on {verdict.days} days from {verdict.cut}, {beside}.",
        "",
        "| figure | slot | value | 95 % interval | limit | users | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in verdict.all_figures():
        value = "–" if each.value is None else f"{each.value:.3f}"
        ends = "–" if each.low is None else f"{each.low:.3f} to {each.high:.3f}"
        end = "" if each.must == "value" else f" ({each.must} end)"
        limit = f"{each.limit:.2f}{end}" if each.limit else "–"
        cells = (each.figure, each.slot, value, ends, limit, f"{each.users:,}", each.verdict)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _block(value: Any) -> list[str]:
    return ["```json", json.dumps(value, indent=2, sort_keys=True), "```"]
