"""A text from outside as people may read it: one line, and nothing in it that cannot be seen."""

from __future__ import annotations

import re
import unicodedata

LONGEST_NAME = 120
# Control, format, lone surrogate, private use.
_INVISIBLE = ("Cc", "Cf", "Cs", "Co")
# What this Python's Unicode does not know, a newer one may show; these none will: noncharacters, and places that
# are kept for what is not drawn.
_NEVER_SEEN = re.compile(r"[\u2065\ufdd0-\ufdef\ufff0-\ufff8\U000e0000-\U000e0fff]")
# Zero width non-joiner and joiner: without them Persian words run together, and an emoji becomes two.
_JOINERS = "\u200c\u200d"
# Beside right-to-left letters, and Arabic digits, figures change places; what is not known may be one.
_TURNING = ("R", "AL", "AN", "")


def one_line(text: str, longest: int = LONGEST_NAME) -> str:
    """A text from outside as one line of at most ``longest`` characters.

    Line breaks, control characters, direction overrides and invisible characters would let a product's
    name forge a figure of its own, or change how what follows it is read. Joiners stay between
    characters that they join.
    """
    # A character may be invisible: the cut begins early, so that 3 MB are not looked at.
    seen = "".join(
        " " if character.isspace() else character
        for character in text[: 10 * longest]
        if character.isspace() or character in _JOINERS or _is_visible(character)
    )
    line = " ".join(_joined(seen).split())
    whole = len(text) <= 10 * longest and len(line) <= longest
    return line if whole else f"{line[: longest - 1].rstrip(_JOINERS)}…"


def isolated(text: str) -> str:
    """A line as it may stand among figures: right-to-left letters of it, if it has any, turn nothing
    around that stands beside it (UAX 9, first strong isolate)."""
    turns = any(unicodedata.bidirectional(character) in _TURNING for character in text)
    return f"\u2068{text}\u2069" if turns else text


def _is_visible(character: str) -> bool:
    category = unicodedata.category(character)
    if category == "Cn":
        return not (_NEVER_SEEN.match(character) or ord(character) & 0xFFFE == 0xFFFE)
    return category not in _INVISIBLE


def _joined(seen: str) -> str:
    """Without the joiners that join nothing."""
    kept = [" "]
    for character, after in zip(seen, f"{seen} "[1:], strict=True):
        if character not in _JOINERS or (_joins(kept[-1]) and _joins(after)):
            kept.append(character)
    return "".join(kept)


def _joins(character: str) -> bool:
    """Letters, marks, digits and emoji do; no sign that a spreadsheet would evaluate does."""
    category = unicodedata.category(character)
    return category[0] in "LMN" or category in ("So", "Sk", "Cn")
