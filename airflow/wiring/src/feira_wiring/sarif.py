"""Findings in SARIF 2.1.0 (OASIS), which code-scanning services read."""

from __future__ import annotations

import os
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from feira_wiring.baseline import fingerprint
from feira_wiring.finding import Finding
from feira_wiring.model import Place
from feira_wiring.rendering import json_text
from feira_wiring.report import Report

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
