"""A finding and a report for the tests of what is done with them."""

from __future__ import annotations

from feira_wiring.model import AssetId, Place
from feira_wiring.report import Finding, Report, RuleInfo

ORDERS = AssetId("orders", "s3://lake/orders")
RATES = AssetId("rates", "s3://lake/rates")


def a_finding(rule: str = "no-listener", line: int | None = 3, **more: object) -> Finding:
    given: dict[str, object] = {
        "level": "warning",
        "problem": "p",
        "consequence": "c",
        "step": "s",
        "asset": "orders",
        "dags": ("load",),
        "tasks": ("load.t",),
        "places": (Place("dags/a b.py", line),),
        "subject": ORDERS,
    }
    return Finding(rule=rule, **{**given, **more})  # type: ignore[arg-type]


def a_report(*findings: Finding) -> Report:
    rules = (RuleInfo("no-listener", "warning", "nobody listens", True),)
    return Report(("dags",), 1, 1, findings, rules)
