"""Findings as text for people and as JSON for programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from feira_airflow.wiring.finding import Finding
from feira_airflow.wiring.model import Wiring

FORMAT_VERSION = 2
WIDTH = 100
_INDENT = " " * 9


@dataclass(frozen=True)
class Report:
    """What was looked at, and what was found."""

    wiring: Wiring
    findings: Sequence[Finding]
    disabled: Collection[str] = ()


def as_text(report: Report) -> str:
    """A paragraph a finding, and a last line with the counts."""
    return "\n\n".join([*map(_paragraph, report.findings), _counts(report)])


def as_json(report: Report) -> str:
    """The report as a JSON object; fields are added to it, never changed, within a ``version``."""
    value: dict[str, Any] = {
        "version": FORMAT_VERSION,
        "folder": report.wiring.folder,
        "dags": len(report.wiring.dag_ids),
        "assets": len(report.wiring.assets),
        "disabled": sorted(report.disabled),
        "findings": [
            {
                "rule": each.rule,
                "level": each.level,
                "asset": each.asset,
                "dags": each.dags,
                "tasks": each.tasks,
                "places": [{"file": place.file, "line": place.line} for place in each.places],
                "problem": each.problem,
                "consequence": each.consequence,
                "next_step": each.step,
            }
            for each in report.findings
        ],
    }
    return json.dumps(value, indent=2)


def _paragraph(finding: Finding) -> str:
    lines = [
        f"{finding.level:<9}{finding.rule}" + (f"  {finding.asset}" if finding.asset else ""),
        *_wrapped(finding.problem),
        *_wrapped(f"In Airflow: {finding.consequence}"),
        *_wrapped(f"Next: {finding.step}"),
        *(f"{_INDENT}{place}" for place in finding.places),
    ]
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _counts(report: Report) -> str:
    wiring = report.wiring
    looked_at = (
        f"{_number(len(wiring.dag_ids), 'DAG')} and {_number(len(wiring.assets), 'asset')} "
        f"in {wiring.folder}"
    )
    off = f"; disabled: {', '.join(sorted(report.disabled))}" if report.disabled else ""
    if not report.findings:
        return f"No findings: {looked_at}{off}."
    errors = sum(each.level == "error" for each in report.findings)
    warnings = len(report.findings) - errors
    return f"{_number(errors, 'error')} and {_number(warnings, 'warning')}: {looked_at}{off}."


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
