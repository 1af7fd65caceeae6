"""A report as text for people, and for programs as JSON, SARIF and GitHub annotations."""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from feira_wiring.model import Place
from feira_wiring.report import LEVELS, Finding, Report
from feira_wiring.suppression import fingerprint

FORMAT_VERSION = 2
WIDTH = 100
_INDENT = " " * 9
_HALF = re.compile("[\ud800-\udfff]")
_GITHUB = {"error": "error", "warning": "warning", "note": "notice"}


def as_text(report: Report) -> str:
    """A paragraph a finding, and a last line with the counts."""
    stale = [
        f"The baseline has {each}, which is no longer found: write it again."
        for each in report.stale
    ]
    return "\n\n".join([*map(_paragraph, _grouped(report.findings)), *stale, _counts(report)])


def as_json(report: Report) -> str:
    """The report as a JSON object; fields are added to it, never changed, within a ``version``."""
    value: dict[str, Any] = {
        "version": FORMAT_VERSION,
        "folders": list(report.folders),
        "dags": report.dags,
        "assets": report.assets,
        "ignored": list(report.ignored),
        "findings": [_as_value(each) for each in report.findings],
        "suppressed": [{**_as_value(each.finding), "by": each.by} for each in report.suppressed],
        "stale_baseline": list(report.stale),
    }
    return json_text(value)


def failed_as_json(why: str) -> str:
    """The JSON object where there is no report."""
    return json_text({"version": FORMAT_VERSION, "error": why})


def json_text(value: Any) -> str:
    """JSON that every parser takes: half a surrogate pair, as of a file name that is not UTF-8, is shown escaped."""
    text = _HALF.sub(lambda half: rf"\\u{ord(half[0]):04x}", json.dumps(value, ensure_ascii=False))
    return json.dumps(json.loads(text), indent=2)


def as_github(report: Report) -> str:
    """A workflow command a finding, which GitHub shows at the line of the pull request."""
    return "\n".join(map(_annotation, report.findings))


def _annotation(finding: Finding) -> str:
    properties = {"title": f"{finding.rule} {finding.asset or ''}".strip()}
    if finding.places:
        place = finding.places[0]
        properties = {"file": place.file} | properties
        if place.line is not None:
            properties["line"] = str(place.line)
    listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    message = f"{finding.problem} In Airflow: {finding.consequence} Next: {finding.step}"
    return f"::{_GITHUB[finding.level]} {listed}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _as_value(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "level": finding.level,
        "asset": finding.asset,
        "dags": list(finding.dags),
        "tasks": list(finding.tasks),
        "places": [{"file": place.file, "line": place.line} for place in finding.places],
        "problem": finding.problem,
        "consequence": finding.consequence,
        "next_step": finding.step,
    }


def _grouped(findings: Iterable[Finding]) -> Iterable[Finding]:
    """Findings that differ in their places alone as one: forty files lack the same package."""
    groups: dict[Finding, Finding] = {}
    for each in findings:
        bare = replace(each, places=())
        known = groups.get(bare)
        groups[bare] = each if known is None else replace(each, places=known.places + each.places)
    return groups.values()


def _paragraph(finding: Finding) -> str:
    lines = [
        f"{finding.level:<9}{finding.rule}"
        + (f"  {_line(finding.asset)}" if finding.asset else ""),
        *_wrapped(finding.problem),
        *_wrapped(f"In Airflow: {finding.consequence}"),
        *_wrapped(f"Next: {finding.step}"),
        *(f"{_INDENT}{_line(str(place))}" for place in dict.fromkeys(finding.places)),
    ]
    return "\n".join(lines)


def _line(text: str) -> str:
    """Names may hold line breaks and terminal codes."""
    return "".join(each if each.isprintable() else "?" for each in text)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        "".join(each if each.isprintable() else " " for each in text),
        WIDTH,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _counts(report: Report) -> str:
    looked_at = (
        f"{_number(report.dags, 'DAG')} and {_number(report.assets, 'asset')} "
        f"in {', '.join(report.folders)}"
    )
    off = f"; ignored: {', '.join(report.ignored)}" if report.ignored else ""
    if report.suppressed:
        off += f"; {len(report.suppressed)} suppressed"
    if not report.findings:
        return f"No findings: {looked_at}{off}."
    counts = {level: sum(each.level == level for each in report.findings) for level in LEVELS}
    shown = f"{_number(counts['error'], 'error')} and {_number(counts['warning'], 'warning')}"
    if counts["note"]:
        shown += f", {_number(counts['note'], 'note')}"
    return f"{shown}: {looked_at}{off}."


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


_NAME = "feira-lint-assets"
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def as_sarif(report: Report) -> str:
    """One run, with every rule, every finding, and the suppressed ones marked as such."""
    ids = [each.id for each in report.rules]
    results = [_result(each, ids) for each in report.findings]
    for each in report.suppressed:
        kind = "inSource" if each.in_source else "external"
        suppression = {"kind": kind, "justification": each.by}
        results.append(_result(each.finding, ids) | {"suppressions": [suppression]})
    driver = {
        "name": _NAME,
        "rules": [
            {
                "id": each.id,
                "shortDescription": {"text": each.summary},
                "defaultConfiguration": {"level": each.level, "enabled": each.ran},
            }
            for each in report.rules
        ],
    }
    return _log({"tool": {"driver": driver}, "columnKind": "utf16CodeUnits", "results": results})


def failed_as_sarif(why: str) -> str:
    """A run that did not succeed, and so has no results."""
    notification = {"level": "error", "message": {"text": why}}
    invocation = {"executionSuccessful": False, "toolExecutionNotifications": [notification]}
    return _log({"tool": {"driver": {"name": _NAME}}, "invocations": [invocation]})


def _log(run: dict[str, Any]) -> str:
    return json_text({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]})


def _result(finding: Finding, ids: list[str]) -> dict[str, Any]:
    locations: list[dict[str, Any]] = []
    for each in map(_location, finding.places):
        if each not in locations:  # the schema wants each once
            locations.append(each)
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "level": finding.level,
        "message": {
            "text": f"{finding.problem} In Airflow: {finding.consequence} Next: {finding.step}"
        },
        "locations": locations[:1],
        "relatedLocations": locations[1:],
        "partialFingerprints": {"feiraLint/v1": fingerprint(finding)},
    }
    if finding.rule in ids:
        result["ruleIndex"] = ids.index(finding.rule)
    return result


def _location(place: Place) -> dict[str, Any]:
    path = Path(place.file)
    # Relative paths are what a service joins to the repository; a URI of its own otherwise.
    uri = path.as_uri() if path.is_absolute() else quote(os.fsencode(PurePath(path).as_posix()))
    physical: dict[str, Any] = {"artifactLocation": {"uri": uri}}
    if place.line:  # lines begin at 1; code that is made at run time may have 0
        physical["region"] = {"startLine": place.line}
    return {"physicalLocation": physical}
