"""A text from outside as people may read it: one line, and nothing in it that cannot be seen."""

from __future__ import annotations

import unicodedata

LONGEST_NAME = 120
# Control, format, lone surrogate, private use, not assigned.
_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn")


def one_line(text: str, longest: int = LONGEST_NAME) -> str:
    """A text from outside as one line of at most ``longest`` characters.

    Line breaks, control characters, direction overrides and invisible characters would let a product's
    name forge a figure of its own, or change how what follows it is read.
    """
    # A character may be invisible: the cut begins early, so that 3 MB are not looked at.
    seen = "".join(
        " " if character.isspace() else character
        for character in text[: 10 * longest]
        if character.isspace() or unicodedata.category(character) not in _INVISIBLE
    )
    line = " ".join(seen.split())
    whole = len(text) <= 10 * longest and len(line) <= longest
    return line if whole else f"{line[: longest - 1]}…"
