"""The findings of a day that are known, so that only new ones are reported."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from feira_wiring.finding import Finding
from feira_wiring.report import Report, Suppressed

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
        about += [sorted({Path(each.file).name for each in finding.places}), finding.problem]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]


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
