"""Findings that are not to be reported: by a comment, a mark on the asset, a pattern, or the baseline."""

from __future__ import annotations

import fnmatch
import hashlib
import io
import json
import re
import tokenize
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from feira_wiring.model import Asset, AssetId, Place
from feira_wiring.report import Finding, Report, Suppressed

_COMMENT = re.compile(r"#\s*feira-lint:\s*ignore\[([^\]]*)\]")
# What an exception's text says of this machine: absolute paths, where an object lies, a process.
_PATH = re.compile(
    r"(['\"])(?:[A-Za-z]:)?[/\\][^'\"]*?([^/\\'\"]*)[/\\]?\1|(?<![\w.])(?:[A-Za-z]:)?(?:[/\\][^\s/\\'\",;:()]+)*[/\\]([^\s/\\'\",;:()]+)"
)
_OF_A_PROCESS = re.compile(r"\b0x[0-9a-fA-F]+|\bPID: \d+")


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
            named = _COMMENT.findall(token.string) if token.type == tokenize.COMMENT else []
            if named:
                rules = frozenset(each.strip() for each in ",".join(named).split(","))
                found[token.start[0]] = (rules, token.line.lstrip().startswith("#"))
    except (OSError, SyntaxError, tokenize.TokenError, UnicodeDecodeError):
        pass  # a DAG in a zip, or a file that is no Python: what was read until then counts
    return found


_VERSION = 1


class BaselineUnreadable(Exception):
    """There is no such file, or it is no baseline."""


def fingerprint(finding: Finding) -> str:
    """What stays the same of a finding when lines move and sentences are reworded.

    That is the rule, the asset, its DAGs and tasks; and the file's name where there is none of these.
    An asset that each parse names otherwise is known by its DAGs and tasks alone.
    """
    subject = finding.subject
    about: list[Any] = [
        finding.rule,
        []
        if finding.unstable
        else [subject.kind, subject.name, subject.uri]
        if subject
        else [finding.asset],
        sorted(finding.dags),
        sorted(finding.tasks),
    ]
    if subject is None and not finding.dags:
        # Of a file: its cause too, so that it is new once it fails for another reason.
        about += [
            sorted({Path(each.file).name for each in finding.places}),
            _anywhere(finding.problem),
        ]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]


def _anywhere(text: str) -> str:
    """The text without what is of one machine or process: of a path its last name stays."""
    named = _PATH.sub(lambda found: found[2] if found[1] else found[3], text)
    return _OF_A_PROCESS.sub("", named)


def as_baseline(report: Report) -> str:
    """The text of a baseline that covers these findings, one to a line, in a stable order."""
    entries = sorted(
        (
            {
                "fingerprint": fingerprint(each),
                "rule": each.rule,
                "asset": each.asset,
                "dags": list(each.dags),
            }
            for each in report.findings
        ),
        key=lambda entry: (entry["rule"], str(entry["asset"]), entry["fingerprint"]),
    )
    lines = ",\n".join(f"    {json.dumps(entry)}" for entry in entries)
    return f'{{\n  "version": {_VERSION},\n  "findings": [\n{lines}\n  ]\n}}\n'


def without_known(report: Report, file: Path) -> Report:
    """The report without what the baseline has; an entry covers one finding.

    Raises BaselineUnreadable.
    """
    entries = _entries(file)
    left = Counter(entry["fingerprint"] for entry in entries)
    kept: list[Finding] = []
    known: list[Suppressed] = []
    for finding in report.findings:
        mark = fingerprint(finding)
        if left[mark] > 0:
            left[mark] -= 1
            known.append(Suppressed(finding, f"baseline {file}"))
        else:
            kept.append(finding)
    stale: list[str] = []
    for entry in entries:
        if left[entry["fingerprint"]] > 0:
            left[entry["fingerprint"]] -= 1
            about = entry.get("asset") or ", ".join(map(str, entry.get("dags") or ())) or "a file"
            stale.append(f"{entry.get('rule', 'a finding')} of {about}")
    return replace(
        report,
        findings=tuple(kept),
        suppressed=(*report.suppressed, *known),
        stale=tuple(stale),
    )


def _entries(file: Path) -> list[dict[str, Any]]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BaselineUnreadable(
            f"The baseline {file} does not exist. Make it with --write-baseline {file}."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise BaselineUnreadable(f"The baseline {file} cannot be read: {error}.") from None
    entries = value.get("findings") if isinstance(value, dict) else None
    if (
        not isinstance(value, dict)
        or value.get("version") != _VERSION
        or not isinstance(entries, list)
        or not all(isinstance(e, dict) and isinstance(e.get("fingerprint"), str) for e in entries)
    ):
        raise BaselineUnreadable(
            f"{file} is no baseline of version {_VERSION}: an object with `version`, and `findings` "
            "that have a `fingerprint` each. Write it again with --write-baseline."
        )
    return entries
