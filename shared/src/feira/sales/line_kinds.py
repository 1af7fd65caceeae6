"""The versioned list that says which stock codes are products, postage, fees and so on."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from feira.core.contracts import contract
from feira.core.contracts.document import Node, read_yaml, refuse, require_keys
from feira.core.contracts.registry import contracts_folder
from feira.core.contracts.rule_regex import PatternError, re2

_KEYS = ("version", "exact", "patterns", "otherwise")


@dataclass(frozen=True)
class LineKinds:
    """``exact`` maps codes to kinds; ``patterns`` are (regular expression over the whole code, kind),
    of which Java and RE2 find the same."""

    version: str
    exact: dict[str, str]
    patterns: tuple[tuple[str, str], ...]
    otherwise: str


@functools.cache
def line_kinds(path: Path | None = None) -> LineKinds:
    """The list of this checkout; raises ContractError naming file and line of what is unknown, a kind that
    the contract of ``sales.order_lines`` does not allow among it."""
    path = path or contracts_folder() / "sales/line_kinds.yaml"
    content = read_yaml(path)
    require_keys(content, _KEYS, "the list of stock codes")
    for key, kind in zip(_KEYS, (str, Node, list, str), strict=True):
        if not isinstance(content.get(key), kind) or not content[key]:
            refuse(content, key, f"{key} is {content.get(key)!r}; state it.")
    exact, patterns = content["exact"], content["patterns"]
    for code, kind in exact.items():
        if not isinstance(kind, str):
            refuse(exact, code, f"code {code!r} has the kind {kind!r}, which is no text.")
        _require_allowed(exact, code, kind)
    _require_allowed(content, "otherwise", content["otherwise"])
    return LineKinds(
        version=content["version"],
        exact=dict(exact),
        patterns=tuple(_pattern(content, each) for each in patterns),
        otherwise=content["otherwise"],
    )


def _pattern(content: Node, entry: object) -> tuple[str, str]:
    if not isinstance(entry, Node):
        refuse(content, "patterns", f"{entry!r} is no pattern with its kind.")
    require_keys(entry, ("pattern", "kind"), "a pattern")
    pattern, kind = entry.get("pattern"), entry.get("kind")
    if not (isinstance(pattern, str) and pattern and isinstance(kind, str) and kind):
        refuse(entry, None, "a pattern has a text and a kind.")
    _require_allowed(entry, "kind", kind)
    try:
        alike = re2(pattern) == pattern
    except PatternError as error:
        refuse(entry, "pattern", f"the pattern {pattern!r}: {error}.")
    # Other programs than Spark read the list, and have only the pattern as it is written.
    if not alike:
        problem = (
            f"the pattern {pattern!r} has ., \\s or \\S, which engines read differently; write [\\d\\D] "
            "for any character."
        )
        refuse(entry, "pattern", problem)
    return pattern, kind


def _require_allowed(node: Node, key: str, kind: str) -> None:
    declared = contract("sales.order_lines")
    allowed = declared.column("line_kind").allowed
    if kind not in allowed:
        problem = (
            f"{key!r} has the kind {kind!r}; contract {declared.id} allows {', '.join(allowed)} in "
            "line_kind. Take one of these, or add it to the contract."
        )
        refuse(node, key, problem)
