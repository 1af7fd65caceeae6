"""Airflow's official chart with our values: fetched, rendered for each place, and what it makes checked.

``make airflow-chart``; with a folder or an archive nothing is fetched. Ends with 1 and what is wrong.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import helm_python
import yaml
from rendered_charts import (
    CHARTS,
    PLACES,
    Manifest,
    applications,
    merged,
    pod_specs,
    render,
    sources,
    violations,
)

REPOSITORY_URL = "https://airflow.apache.org"
NAME, NAMESPACE = "airflow", "airflow"
# The scheduler's pods run the tasks.
ASK_THE_API = ("scheduler", "triggerer", "dag-processor")


def places() -> dict[str, tuple[str, dict[str, Any]]]:
    """The version of the chart and the whole values of each place, by its name."""
    found = {}
    own = yaml.safe_load((CHARTS / "airflow" / "values.yaml").read_text())
    for place in PLACES:
        (source,) = (
            source
            for application in applications(place)
            for source in sources(application)
            if source.get("chart") == "airflow"
        )
        found[place] = (source["targetRevision"], merged(own, source["helm"]["valuesObject"]))
    return found


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a selector of Kubernetes, by labels and ``In``, is for these labels."""
    return all(labels.get(k) == v for k, v in selector.get("matchLabels", {}).items()) and all(
        labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", ())
    )


def shut_out(manifests: list[Manifest]) -> list[str]:
    """Parts of Airflow that ask its API server, and that a network policy does not let through to it."""
    pods = {
        f"{m['kind']}/{m['metadata']['name']}": m["spec"]["template"]["metadata"]["labels"]
        for m in manifests
        if m["kind"] in ("Deployment", "StatefulSet")
    }
    (server,) = (labels for labels in pods.values() if labels["component"] == "api-server")
    policies = [
        m["spec"]
        for m in manifests
        if m["kind"] == "NetworkPolicy" and matches(m["spec"]["podSelector"], server)
    ]
    found = [] if policies else ["no network policy is for the API server"]
    for policy in policies:
        let_in = [
            peer["podSelector"]
            for rule in policy.get("ingress") or ()
            for peer in rule.get("from", ())
            if "podSelector" in peer and "namespaceSelector" not in peer
        ]
        found += [
            f"{owner} does not reach the API server"
            for owner, labels in pods.items()
            if labels["component"] in ASK_THE_API
            and not any(matches(selector, labels) for selector in let_in)
        ]
    return found


def wrong(manifests: list[Manifest]) -> list[str]:
    """What Kubernetes does not know, pods that may run as root or keep capabilities, or that the quota refuses, and
    who does not reach the API server."""
    found = [f"{m['kind']}/{m['metadata']['name']}: {v}" for m in manifests for v in violations(m)]
    found += shut_out(manifests)
    for owner, spec in pod_specs(manifests).items():
        if spec.get("securityContext", {}).get("runAsNonRoot") is not True:
            found.append(f"{owner} may run as root")
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            if container.get("securityContext", {}).get("allowPrivilegeEscalation") is not False:
                found.append(f"{owner}: {container['name']} may gain privileges")
            resources = container.get("resources") or {}
            for kind, name in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
                if name not in (resources.get(kind) or {}):
                    found.append(f"{owner}: {container['name']} has no {kind} of {name}")
    return found


def without(manifests: list[Manifest], image: str) -> list[str]:
    """Containers that run another image than ours."""
    return [
        f"{owner}: {container['name']} runs {container['image']}"
        for owner, spec in pod_specs(manifests).items()
        for container in (*spec["containers"], *spec.get("initContainers", ()))
        if container["image"] != image
    ]


def check(chart: Path, values: dict[str, Any]) -> list[str]:
    """What is wrong with what a chart makes of these values, its own schema's refusal included."""
    try:
        manifests = render(chart, values, name=NAME, namespace=NAMESPACE)
    except helm_python.HelmError as error:
        return [str(error)]
    image = f"{values['defaultAirflowRepository']}:{values['defaultAirflowTag']}"
    return [*wrong(manifests), *without(manifests, image)]


def main(arguments: list[str]) -> int:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for place, (version, values) in places().items():
            if arguments:
                chart = Path(arguments[0])
            else:
                helm_python.pull(
                    "airflow", repo_url=REPOSITORY_URL, version=version, destination=folder
                )
                (chart,) = Path(folder).glob(f"airflow-{version}.tgz")
            found += [f"{place}: {each}" for each in check(chart, values)]
    print(
        "\n".join(found) if found else f"Airflow's chart takes the values of {', '.join(places())}."
    )
    return 1 if found else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except helm_python.HelmError as error:
        sys.exit(f"The chart could not be had from {REPOSITORY_URL}: {error}")
