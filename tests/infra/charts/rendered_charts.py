"""Charts rendered as Helm does, and held to Kubernetes' own schemas, for the tests beside it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import helm_python
import yaml
from jsonschema import Draft7Validator, Draft202012Validator
from referencing import Registry, Resource

from checkout import REPOSITORY

CHARTS = REPOSITORY / "infra" / "charts"
ARGOCD = REPOSITORY / "infra" / "argocd"
# The newest that EKS runs and whose schemas the wheel has.
KUBERNETES = "1.34"
PLACES = ("dev", "staging", "prod")
Manifest = dict[str, Any]


def render(
    chart: Path, values: dict[str, Any] | None = None, *, name: str, namespace: str
) -> list[Manifest]:
    """The objects that a chart makes of these values; raises HelmError where its schema refuses them."""
    with helm_python.Chart.load(chart) as loaded:
        loaded.validate_schema(values or {})
        texts = loaded.render(values or {}, name=name, namespace=namespace)
    return [
        document
        for path, text in sorted(texts.items())
        if not path.endswith((".txt", ".tpl"))
        for document in yaml.load_all(text, Loader=yaml.CSafeLoader)
        if document
    ]


def root(place: str) -> Manifest:
    """The one application that a person applies, of which ArgoCD makes the others."""
    document: Manifest = yaml.safe_load((ARGOCD / f"{place}.yaml").read_text())
    return document


def applications(place: str, over: dict[str, Any] | None = None) -> list[Manifest]:
    """The project of a place and its applications, with values put over its own."""
    helm = root(place)["spec"]["source"]["helm"]
    values = merged(helm["valuesObject"], over or {})
    return render(CHARTS / "platform", values, name=helm["releaseName"], namespace="argocd")


def sources(application: Manifest) -> list[dict[str, Any]]:
    """Where an application is from: a chart each, or values for one; a project is from nowhere."""
    spec = application["spec"]
    found: list[dict[str, Any]] = spec.get("sources") or [
        s for s in [spec.get("source")] if s is not None
    ]
    return found


def released(
    place: str, suffix: str = "", over: dict[str, Any] | None = None
) -> Iterator[tuple[Manifest, str, list[Manifest]]]:
    """Each of our own charts as ArgoCD makes it: its application, its name, its objects.

    :param suffix: of the namespace, where several places share a cluster
    :param over: values put over the place's own
    """
    for application in applications(place, over):
        for source in sources(application):
            if source.get("path", "").startswith("infra/charts/"):
                chart, helm = CHARTS.parents[1] / source["path"], source["helm"]
                namespace = application["spec"]["destination"]["namespace"] + suffix
                made = render(
                    chart, helm["valuesObject"], name=helm["releaseName"], namespace=namespace
                )
                yield application, chart.name, made


@cache
def _schema(file: str) -> Any:
    folder = (
        files("kubernetes_validate") / "kubernetes-json-schema" / f"v{KUBERNETES}.0-local-strict"
    )
    return json.loads((folder / file).read_text())


@cache
def _validator(kind: str, api_version: str) -> Draft202012Validator:
    group, _, version = api_version.rpartition("/")
    name = "-".join(filter(None, (kind.lower(), group.split(".")[0], version)))
    definitions = Resource.from_contents(_schema("_definitions.json"))
    schema = _schema(f"{name}.json")
    registry: Any = Resource.from_contents(schema) @ (definitions @ Registry())
    return Draft202012Validator(schema, registry=registry)


def violations(manifest: Manifest) -> list[str]:
    """Where an object is not as its kind's schema says; keys that it does not know included."""
    found = _validator(manifest["kind"], manifest["apiVersion"]).iter_errors(manifest)
    return [f"{'.'.join(map(str, each.absolute_path))}: {each.message}" for each in found]


def application_violations(manifest: Manifest) -> list[str]:
    """The same for ArgoCD's kinds, by its own definitions."""
    schema = json.loads((ARGOCD / "crds" / f"{manifest['kind'].lower()}.json").read_text())
    found = Draft7Validator(_closed(schema)).iter_errors(manifest["spec"])
    return [f"{'.'.join(map(str, each.absolute_path))}: {each.message}" for each in found]


def _closed(schema: Any) -> Any:
    """The API server drops a field that a definition has not; here it is a mistake."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get(
        "x-kubernetes-preserve-unknown-fields"
    ):
        closed.setdefault("additionalProperties", False)
    return closed


def merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Values over values, as Helm puts them: maps key by key, all else whole."""
    result = copy.deepcopy(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else copy.deepcopy(value)
    return result


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = (m for m in manifests if m["kind"] == kind and m["metadata"]["name"] == name)
    return found


def pod_specs(manifests: list[Manifest]) -> dict[str, Manifest]:
    """What pods are made from, by their owners' names; Spark's executors are made from a ConfigMap."""
    found = {
        f"{m['kind']}/{m['metadata']['name']}": m["spec"]["template"]["spec"]
        for m in manifests
        if m["kind"] in ("Deployment", "Job", "StatefulSet")
    }
    for manifest in manifests:
        for text in (manifest.get("data") or {}).values():
            if re.match(r"apiVersion: v1\s+kind: Pod\s", text):
                found["Pod/executor"] = yaml.safe_load(text)["spec"]
    return found
