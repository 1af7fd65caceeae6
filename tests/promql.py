"""Which metrics a query of Prometheus names, and which there are; and where its own programs are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from feira.core.settings import repository_root
from feira.monitoring.figures import Figures
from feira.recommendations.serving.metrics import Metrics

MONITORING = repository_root() / "infra" / "monitoring"
# Of Prometheus itself.
_OWN = {"up", "ALERTS"}


def rules(*kinds: str) -> list[dict[str, Any]]:
    """The rules of a kind, ``alert`` or ``record``, of all files."""
    found: list[dict[str, Any]] = []
    for path in sorted((MONITORING / "rules").glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            found += [rule for rule in group["rules"] if any(kind in rule for kind in kinds)]
    return found


def metrics(query: str) -> set[str]:
    """The metrics that it names. Raises ValueError where it is none."""
    return set(_names(promql_parser.parse(query)))


def exported(query_names: set[str]) -> set[str]:
    """Those metrics, and those that the recording rules among them are made of."""
    recorded = {rule["record"]: rule["expr"] for rule in rules("record")}
    found = set(query_names)
    for name in query_names & recorded.keys():
        found |= exported(metrics(recorded[name]))
    return found - recorded.keys()


def known() -> set[str]:
    """Every name that is exported, recorded or Prometheus' own."""
    recorded = {rule["record"] for rule in rules("record")}
    return Figures().names() | _names_of(Metrics().registry) | recorded | _OWN


def _names_of(registry: Any) -> set[str]:
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    return {
        family.name + suffix
        for family in registry.collect()
        for suffix in suffixes.get(family.type, ("",))
    }


def _names(node: Any) -> list[str]:
    if isinstance(node, promql_parser.VectorSelector):
        stated = [each.value for each in node.matchers.matchers if each.name == "__name__"]
        return [node.name] if node.name else stated
    found: list[str] = []
    for part in ("lhs", "rhs", "expr", "args", "vector_selector", "param"):
        child = getattr(node, part, None)
        for each in child if isinstance(child, list) else [child]:
            if each is not None:
                found += _names(each)
    return found


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
