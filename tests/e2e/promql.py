"""The queries of rules and dashboards, what series there are for them, and where Prometheus' own programs are.

One reading holds for every query, wherever it stands: ``labels`` follows the labels from the exported series
through functions, matchings and recording rules, so that a metric or a label that is renamed is an error, and
two sides that can never match are one too.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from feira.core.settings import repository_root
from feira.monitoring.airflow_metrics import TAKEN
from feira.monitoring.figures import Figures
from feira.recommendations.serving.metrics import Metrics
from feira_local.stack import spark

MONITORING = repository_root() / "infra" / "monitoring"
_TARGET = frozenset({"job", "instance"})
_OWN = {
    # Of Prometheus itself.
    "up": _TARGET,
    "ALERTS": frozenset({"alertname", "alertstate", "severity", "owner"}),
    # Of the sums of what Airflow sends, and of Spark.
    **{spark.METRICS_PREFIX + name: _TARGET for name in spark.METRICS},
    "feira_otlp_dropped_points_total": _TARGET | {"reason"},
}
# Of two series that are joined by these, the left one's labels stay.
_SETS = ("and", "or", "unless")
_KEEP = ("topk", "bottomk", "limitk")


@dataclass(frozen=True)
class Named:
    """A query: where it stands, its PromQL without variables, and the text that names its series' labels."""

    where: str
    promql: str
    text: str


def rules(*kinds: str) -> list[dict[str, Any]]:
    """The rules of a kind, ``alert`` or ``record``, of all files."""
    found: list[dict[str, Any]] = []
    for path in files("rules"):
        for group in yaml.safe_load(path.read_text())["groups"]:
            found += [rule for rule in group["rules"] if any(kind in rule for kind in kinds)]
    return found


def dashboards() -> dict[str, dict[str, Any]]:
    """Every dashboard by its file's name without ``.json``."""
    paths = sorted((MONITORING / "dashboards").glob("*.json"))
    return {path.stem: json.loads(path.read_text()) for path in paths}


def queries(dag: str = "sales_etl") -> list[Named]:
    """Every query of rules, alerts and dashboards; a dashboard's variable ``dag`` is that one."""
    found = [
        Named(rule.get("alert") or rule["record"], rule["expr"], str(rule.get("annotations", {})))
        for rule in rules("alert", "record")
    ]
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            found += [
                Named(
                    f"{name}: {panel['title']}"
                    + (f" {target['refId']}" if len(panel["targets"]) > 1 else ""),
                    target["expr"].replace("$dag", dag),
                    target["legendFormat"],
                )
                for target in panel["targets"]
            ]
    return found


def named_labels(text: str) -> set[str]:
    """The labels that a legend, as ``{{task}}``, or an alert's text, as ``{{ $labels.task }}``, names."""
    legend = re.findall(r"\{\{(\w+)\}\}", text)
    return {*legend, *re.findall(r"\$labels\.(\w+)", text)}


def selectors(query: str) -> set[str]:
    """What it reads, without times and comparisons: ``up{job="exporter"}``."""
    every = _selected(promql_parser.parse(query))
    return {re.sub(r" offset .*", "", node.prettify()) for node in every}


def metrics(query: str) -> set[str]:
    """The metrics that it names. Raises ValueError where it is no query."""
    return {_name(node) for node in _selected(promql_parser.parse(query))}


def labels(query: str) -> frozenset[str]:
    """The labels that what it returns has.

    Raises ValueError for what is no query, a metric that nobody exports, a label that it does not have, and two
    sides whose labels cannot be equal.
    """
    return _labels(promql_parser.parse(query)) or frozenset()


@functools.cache
def series() -> dict[str, frozenset[str]]:
    """The labels of every series that is exported or Prometheus' own; recording rules are not among them."""
    exported = _exported(Figures().registry) | _exported(Metrics().registry) | _of_airflow()
    return {name: found | _TARGET for name, found in exported.items()} | _OWN


@functools.cache
def recorded() -> dict[str, str]:
    """The query of each recording rule, by its name."""
    return {rule["record"]: rule["expr"] for rule in rules("record")}


def known() -> set[str]:
    """Every name that is exported, recorded or Prometheus' own."""
    return {*series(), *recorded()}


def exported(query_names: set[str]) -> set[str]:
    """Those metrics, and those that the recording rules among them are made of."""
    found = set(query_names)
    for name in query_names & recorded().keys():
        found |= exported(metrics(recorded()[name]))
    return found - recorded().keys()


def _exported(registry: Any) -> dict[str, frozenset[str]]:
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    names = {
        family.name + suffix
        for family in registry.collect()
        for suffix in suffixes.get(family.type, ("",))
    }
    # Figures of the process itself are of no collector's own name, and have no label.
    collectors = {name: registry._names_to_collectors.get(name) for name in names}
    return {
        name: frozenset(getattr(collector, "_labelnames", ()))
        | ({"le"} if name.endswith("_bucket") else frozenset())
        for name, collector in collectors.items()
    }


def _of_airflow() -> dict[str, frozenset[str]]:
    suffixes = {"counter": ("_total",), "timer": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    return {
        taken.exported + suffix: frozenset(taken.labels)
        | ({"le"} if suffix == "_bucket" else set())
        for taken in TAKEN
        for suffix in suffixes[taken.kind]
    }


def _labels(node: Any) -> frozenset[str] | None:
    """Those of what a part of a query returns; None for a number."""
    if isinstance(node, promql_parser.VectorSelector):
        return _of_selector(node)
    if isinstance(node, promql_parser.AggregateExpr):
        return _of_aggregate(node)
    if isinstance(node, promql_parser.BinaryExpr):
        return _of_binary(node)
    if isinstance(node, promql_parser.Call):
        found = [each for each in map(_labels, node.args) if each is not None]
        if node.func.name == "histogram_quantile":
            return _having({"le"}, found[0], "histogram_quantile") - {"le"}
        return found[0] if found else None
    inner = getattr(node, "vector_selector", None) or getattr(node, "expr", None)
    return None if inner is None else _labels(inner)


def _of_selector(node: Any) -> frozenset[str]:
    name = _name(node)
    if name in recorded():
        found = labels(recorded()[name])
    elif name in series():
        found = series()[name]
    else:
        raise ValueError(f"{name} is neither exported nor recorded")
    matched = {each.name for each in node.matchers.matchers} - {"__name__"}
    return _having(matched, found, name)


def _of_aggregate(node: Any) -> frozenset[str]:
    inner = _labels(node.expr)
    assert inner is not None
    if node.modifier is None:
        return inner if str(node.op) in _KEEP else frozenset()
    stated = frozenset(node.modifier.labels)
    _having(stated, inner, str(node.op))
    by = node.modifier.type == promql_parser.AggModifierType.By
    return stated if by else inner - stated


def _of_binary(node: Any) -> frozenset[str] | None:
    left, right = _labels(node.lhs), _labels(node.rhs)
    if left is None or right is None:
        return right if left is None else left
    matching = node.modifier and node.modifier.matching
    if matching is None:
        on = left | right
    elif matching.type == promql_parser.LabelModifierType.Include:
        on = frozenset(matching.labels)
    else:
        on = (left | right) - frozenset(matching.labels)
    for side in (left, right):
        _having(on, side, str(node.op))
    if str(node.op) in _SETS or matching is None:
        return left
    group = node.modifier.group_labels
    return on if group is None else left | frozenset(group)


def _having(wanted: set[str] | frozenset[str], found: frozenset[str], where: str) -> frozenset[str]:
    if missing := wanted - found:
        raise ValueError(f"{where}: no label {', '.join(sorted(missing))} among {sorted(found)}")
    return found


def _name(selector: Any) -> str:
    stated = [each.value for each in selector.matchers.matchers if each.name == "__name__"]
    return str(selector.name or stated[0])


def _selected(node: Any) -> Iterator[Any]:
    """Every selector below."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for part in ("lhs", "rhs", "expr", "args", "vector_selector", "param"):
        child = getattr(node, part, None)
        for each in child if isinstance(child, list) else [child]:
            if each is not None:
                yield from _selected(each)


def files(folder: str) -> list[Path]:
    """The YAML files of a folder of ``infra/monitoring``."""
    return sorted((MONITORING / folder).glob("*.yml"))


def tool(*names: str) -> str:
    """A program of Prometheus; skips with the command that installs it where there is none."""
    path = os.environ.get("FEIRA_MONITORING_BIN") or os.environ.get("PATH")
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    pytest.skip(
        f"no {names[0]}: `apt-get install prometheus prometheus-alertmanager`, or a folder in "
        "FEIRA_MONITORING_BIN"
    )
