"""Regular expressions that mean the same to Java, which Spark uses, and to RE2, which DuckDB uses."""

from __future__ import annotations

from collections.abc import Iterator

# Java's \s; RE2's has no vertical tab.
_SPACE = r"\t\n\x0B\f\r "
# Java's "." stops at more than a line feed.
_ANY = r"[^\n\r\x{85}\x{2028}\x{2029}]"
_MOST = 1000
_HINTS = {
    "$": r"write \z: $ stops before a last line break too",
    "(?": "of groups with a question mark there is (?: alone",
}


class PatternError(ValueError):
    """A pattern is none, or the engines do not agree about a part of it, which the message names."""


def re2(pattern: str) -> str:
    """The pattern for RE2, where Java finds the same texts by it.

    Known are characters, ``.``, classes, groups, alternatives, counts, ``^``, ``\\A``, ``\\z`` and the
    escapes ``\\d \\D \\w \\W \\s \\S \\t \\n \\r \\f``.

    :raises PatternError: for anything else
    """
    return "".join(_parts(pattern))


def _parts(pattern: str) -> Iterator[str]:
    place, depth, repeats = 0, 0, 1
    atom = False  # whether a count may follow
    while place < len(pattern):
        each = pattern[place]
        place += 1
        if each in "*+?{":
            if not atom:
                raise PatternError(f"{each!r} follows nothing that it could count")
            if each == "{":
                end = pattern.find("}", place)
                counted = pattern[place : max(end, place)]
                low, comma, high = counted.partition(",")
                digits = [part for part in (low, high) if part]
                if not low or not all(part.isascii() and part.isdigit() for part in digits):
                    raise PatternError(f"{{{counted} is no count; write \\{{ for the character")
                if comma and high and int(high) < int(low):
                    raise PatternError(f"{{{counted}}} has the smaller second")
                repeats *= max(1, *(int(part) for part in digits))
                if repeats > _MOST:
                    raise PatternError(f"its counts come to {repeats}, more than {_MOST}")
                each, place = pattern[place - 1 : end + 1], end + 1
            if pattern[place : place + 1] == "?":
                each, place = each + "?", place + 1
            yield each
            atom = False
            if pattern[place : place + 1] in ("*", "+", "?", "{"):
                raise PatternError(f"a count follows the count {each!r}")
            continue
        atom = each not in "^|("
        if each == "\\":
            each, place = pattern[place : place + 1], place + 1
            atom = each not in ("A", "z")
            yield _escaped(each, in_class=False) if atom else f"\\{each}"
        elif each == "[":
            text, place = _class(pattern, place)
            yield text
        elif each == "(":
            depth += 1
            if pattern[place : place + 1] == "?":
                if pattern[place : place + 2] != "?:":
                    raise PatternError(f"{pattern[place - 1 : place + 2]!r}: {_HINTS['(?']}")
                each, place = "(?:", place + 2
            yield each
        elif each in "$]}" or (each == ")" and depth == 0):
            raise PatternError(f"{each!r}: {_HINTS.get(each, f'write {chr(92)}{each}')}")
        else:
            depth -= each == ")"
            yield _ANY if each == "." else each
    if depth:
        raise PatternError("a group is not closed")


def _escaped(each: str, *, in_class: bool) -> str:
    if each == "s":
        return _SPACE if in_class else f"[{_SPACE}]"
    if each == "S" and not in_class:
        return f"[^{_SPACE}]"
    punctuation = each.isascii() and each.isprintable() and not each.isalnum()
    if each and (each in "dDwWtnrf" or punctuation):
        return f"\\{each}"
    raise PatternError(f"the escape \\{each} is not the same in Java and RE2")


def _class(pattern: str, place: int) -> tuple[str, int]:
    """A class from behind its bracket, and the place behind it."""
    text = "["
    if pattern[place : place + 1] == "^":
        text, place = "[^", place + 1
    first = place
    while (each := pattern[place : place + 1]) != "]" or place == first:
        if not each or each in "[]&" or (each == "^" and place == first):
            found = each or "its end"
            raise PatternError(f"a class in brackets has {found!r}; there write \\ before it")
        low, place = _member(pattern, place)
        text += low
        if each == "-" and place - 1 != first and pattern[place : place + 1] != "]":
            raise PatternError("a class has '-' between two of its parts; write it first or last")
        if pattern[place : place + 1] == "-" and pattern[place + 1 : place + 2] not in ("]", ""):
            high, place = _member(pattern, place + 1)
            if len(low) > 2 or len(high) > 2 or {low, high} & {r"\d", r"\D", r"\w", r"\W"}:
                raise PatternError(f"{low}-{high} is no range of characters")
            if _code_point(low) > _code_point(high):
                raise PatternError(f"the range {low}-{high} has the smaller second")
            text += f"-{high}"
    return text + "]", place + 1


def _member(pattern: str, place: int) -> tuple[str, int]:
    if pattern[place : place + 1] != "\\":
        return pattern[place : place + 1], place + 1
    return _escaped(pattern[place + 1 : place + 2], in_class=True), place + 2


def _code_point(member: str) -> int:
    """That of one character of a class, which may be escaped."""
    return ord({"t": "\t", "n": "\n", "r": "\r", "f": "\f"}.get(member[1:], member[-1]))
