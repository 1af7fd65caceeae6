"""Findings that are not to be reported: a comment on their line, a mark on their asset, a pattern."""

from __future__ import annotations

import fnmatch
import io
import re
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from feira_wiring.finding import Finding
from feira_wiring.model import Asset, AssetId, Place
from feira_wiring.report import Suppressed

_COMMENT = re.compile(r"#\s*feira-lint:\s*ignore\[(?P<rules>[^\]]*)\]")


@dataclass(frozen=True)
class Pattern:
    """Rules that are not reported of assets whose name or URI matches a glob."""

    match: str
    ignore: tuple[str, ...]
    reason: str = ""

    def covers(self, asset: AssetId) -> bool:
        names = (each for each in (asset.name, asset.uri) if each)
        return any(fnmatch.fnmatchcase(each, self.match) for each in names)


def suppress(
    findings: Iterable[Finding], assets: Mapping[AssetId, Asset], patterns: Iterable[Pattern] = ()
) -> tuple[tuple[Finding, ...], tuple[Suppressed, ...]]:
    """The findings to report, and the others with what suppresses each."""
    patterns = tuple(patterns)
    kept: list[Finding] = []
    suppressed: list[Suppressed] = []
    for finding in findings:
        if comment := _comment(finding):
            suppressed.append(Suppressed(finding, comment, in_source=True))
        elif by := _by(finding, assets, patterns):
            suppressed.append(Suppressed(finding, by))
        else:
            kept.append(finding)
    return tuple(kept), tuple(suppressed)


def _comment(finding: Finding) -> str | None:
    for place in finding.places:
        if finding.rule in _rules_at(place):
            return f"comment at {place}"
    return None


def _by(
    finding: Finding, assets: Mapping[AssetId, Asset], patterns: tuple[Pattern, ...]
) -> str | None:
    if finding.subject is None:
        return None
    declared = assets.get(finding.subject)
    if declared is not None and finding.rule in declared.ignored:
        return f"lint_ignore of {finding.subject}"
    for pattern in patterns:
        if finding.rule in pattern.ignore and pattern.covers(finding.subject):
            return f"pattern {pattern.match}"
    return None


def _rules_at(place: Place) -> frozenset[str]:
    """The rules that comments on a place's line name, or a comment alone on the line above."""
    if place.line is None:
        return frozenset()
    comments = _comments(place.file)
    on_it = comments.get(place.line, (frozenset(), False))[0]
    above, alone = comments.get(place.line - 1, (frozenset(), False))
    return on_it | above if alone else on_it


@lru_cache(maxsize=256)
def _comments(file: str) -> dict[int, tuple[frozenset[str], bool]]:
    """Line → rules named in its comment, and whether nothing else stands there."""
    found: dict[int, tuple[frozenset[str], bool]] = {}
    try:
        text = Path(file).read_bytes()
        for token in tokenize.tokenize(io.BytesIO(text).readline):
            comment = _COMMENT.match(token.string) if token.type == tokenize.COMMENT else None
            if comment:
                rules = frozenset(each.strip() for each in comment["rules"].split(","))
                found[token.start[0]] = (rules, token.line.lstrip().startswith("#"))
    except (OSError, SyntaxError, tokenize.TokenError, UnicodeDecodeError):
        pass  # a DAG in a zip, or a file that is no Python: what was read until then counts
    return found
