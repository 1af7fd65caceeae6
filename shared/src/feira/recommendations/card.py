"""A version's model card: what it was made from and how, for people, and what it must not be used for."""

from __future__ import annotations

import json
from typing import Any

from feira.recommendations.history import HISTORY_CAP, History
from feira.recommendations.interactions import day_of
from feira.recommendations.training import Trained

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
        f"Interactions before {day_of(history.as_of)}, of each user the newest {HISTORY_CAP:,} learned from.",
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
    lines += ["## Figures", "On held-out days, by the gate: `gate.json` beside this file.", ""]
    lines += ["## Not for", *(f"* {each}" for each in NOT_FOR)]
    return "\n".join(lines) + "\n"


def _block(value: Any) -> list[str]:
    return ["```json", json.dumps(value, indent=2, sort_keys=True), "```"]
