"""A real API server takes every object of the charts, in every place, and refuses what schemas let through.

`make test-k8s`, which builds the server first. It is asked as the service accounts too.
"""

from __future__ import annotations

import copy
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from api_server import Api, RefusedError, running
from rendered_charts import (
    ARGOCD,
    PLACES,
    Manifest,
    applications,
    merged,
    pod_specs,
    released,
    root,
    violations,
)


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(Path(os.environ["FEIRA_KUBERNETES"]), tmp_path_factory.mktemp("api")) as server:
        yield server


@pytest.fixture(scope="session")
def argocd(api: Api) -> Api:
    """With ArgoCD's kinds, by its own definitions whole."""
    sys.path.insert(0, str(ARGOCD / "crds"))
    from derive import KINDS, fetched

    for kind in KINDS:
        file = fetched() / "manifests" / "crds" / f"{kind}-crd.yaml"
        api.create(yaml.safe_load(file.read_text()))
    api.create(namespace_of("argocd", {}))
    end = time.monotonic() + 60
    while not _served(api, "/apis/argoproj.io/v1alpha1", len(KINDS)):
        assert time.monotonic() < end, "The API server does not serve ArgoCD's kinds."
        time.sleep(0.2)
    return api


def _served(api: Api, group: str, kinds: int) -> bool:
    """Whether all are listed, which `Api.path` reads, and answer: one may be so before the other."""
    try:
        listed = [each["name"] for each in api.ask("GET", group)[0]["resources"]]
        plurals = [name for name in listed if "/" not in name]
        for name in plurals:
            api.ask("GET", f"{group}/{name}")
    except RefusedError:
        return False
    return len(plurals) == kinds


def namespace_of(name: str, labels: dict[str, str]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name} | labels},
    }


def charts(place: str) -> list[tuple[str, dict[str, str], list[Manifest]]]:
    """Each chart of a place as ArgoCD would make it: its namespace, that one's labels, its objects."""
    return [
        (
            f"{application['spec']['destination']['namespace']}-{place}",
            application["spec"]["syncPolicy"]["managedNamespaceMetadata"]["labels"],
            made,
        )
        for application, _, made in released(place, f"-{place}")
    ]


def as_its_controller_would(api: Api, quota: Manifest) -> None:
    """A quota whose state nobody has counted lets nothing in."""
    hard = quota["spec"]["hard"]
    status = {"status": {"hard": hard, "used": dict.fromkeys(hard, "0")}}
    api.ask("PATCH", f"{api.path(quota)}/{quota['metadata']['name']}/status", status)


@pytest.fixture(scope="session")
def cluster(api: Api) -> Api:
    """With all objects of all places."""
    for place in PLACES:
        for namespace, labels, made in charts(place):
            api.create(namespace_of(namespace, labels))
            for manifest in sorted(made, key=lambda m: m["kind"] != "ServiceAccount"):
                assert api.create(manifest) == [], manifest["metadata"]["name"]
                if manifest["kind"] == "ResourceQuota":
                    as_its_controller_would(api, manifest)
    return api


def pods(place: str) -> Iterator[Manifest]:
    """The pods that Deployments, Jobs and Spark would make."""
    for namespace, _, made in charts(place):
        for owner, spec in pod_specs(made).items():
            spec = copy.deepcopy(spec)
            if owner == "Pod/executor":
                # What Spark adds.
                spec["containers"][0] |= {"image": "a/b:1", "args": ["executor"]}
                spec["containers"][0]["resources"]["requests"] |= {"cpu": "1", "memory": "13Gi"}
                spec["containers"][0]["resources"]["limits"] |= {"memory": "13Gi"}
                spec["serviceAccountName"] = "spark-connect-executor"
            name = owner.replace("/", "-").lower()
            yield {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": namespace},
                "spec": spec,
            }


def test_it_takes_every_object_and_every_pod_that_follows(cluster: Api) -> None:
    """Without a warning, which the labels of the namespaces ask for where `restricted` would refuse."""
    created = 0
    for place in PLACES:
        for pod in pods(place):
            assert cluster.create(pod) == [], pod["metadata"]
            created += 1
    assert created == len(PLACES) * 6


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("runAsUser", 0),
        ("runAsNonRoot", False),
        ("seccompProfile", {"type": "Unconfined"}),
        ("hostNetwork", True),
        ("allowPrivilegeEscalation", True),
        ("capabilities", {"add": ["NET_ADMIN"]}),
    ],
)
def test_pod_security_refuses_a_pod_that_asks_for_more(
    cluster: Api, field: str, value: Any
) -> None:
    pod = next(each for each in pods("prod") if each["metadata"]["namespace"] == "serving-prod")
    pod["metadata"]["name"] = "more"
    (container,) = pod["spec"]["containers"]
    if field in ("allowPrivilegeEscalation", "capabilities"):
        container["securityContext"][field] = value
    elif field == "hostNetwork":
        pod["spec"][field] = value
    else:
        pod["spec"]["securityContext"][field] = value
    with pytest.raises(RefusedError, match="PodSecurity") as refused:
        cluster.create(pod)
    assert refused.value.status == 403


def changed(kind: str, path: tuple[Any, ...], value: Any) -> Manifest:
    (found,) = (
        m
        for namespace, _, made in charts("prod")
        if namespace == "serving-prod"
        for m in made
        if m["kind"] == kind
    )
    found = copy.deepcopy(found)
    found["metadata"]["name"] = "changed"
    holder = found
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = value
    return found


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("PodDisruptionBudget", ("spec", "maxUnavailable"), "one"),
        ("Service", ("spec", "ports", 0, "port"), 155002),
        ("NetworkPolicy", ("spec", "ingress", 0, "ports", 0, "port"), 155002),
        ("Deployment", ("spec", "selector", "matchLabels"), {"app": "another"}),
        (
            "Deployment",
            ("spec", "template", "spec", "containers", 0, "volumeMounts", 0, "name"),
            "none",
        ),
        ("ResourceQuota", ("spec", "hard", "pods"), "-1"),
        ("ServiceAccount", ("metadata", "name"), "Upper_Case"),
    ],
)
def test_it_refuses_what_a_schema_lets_through(
    cluster: Api, kind: str, path: tuple[Any, ...], value: Any
) -> None:
    manifest = changed(kind, path, value)
    assert violations(manifest) == []
    with pytest.raises(RefusedError) as refused:
        cluster.create(manifest)
    assert refused.value.status == 422


def test_the_quota_ends_where_the_values_say(cluster: Api) -> None:
    executor = next(p for p in pods("dev") if p["metadata"]["name"] == "pod-executor")
    # A server and an executor are there; of 4 executors and a tenth more, and a server, there may be 6 pods.
    for number in range(4):
        executor["metadata"]["name"] = f"executor-{number}"
        cluster.create(executor)
    executor["metadata"]["name"] = "executor-4"
    with pytest.raises(RefusedError, match="exceeded quota") as refused:
        cluster.create(executor)
    assert refused.value.status == 403


ASKED = [
    (verb, resource)
    for resource in (
        "pods",
        "secrets",
        "configmaps",
        "services",
        "batch/jobs",
        "pods/exec",
        "nodes",
    )
    for verb in ("get", "list", "create", "delete")
]
GRANTED = {("spark-connect", verb, "pods") for verb in ("get", "list", "create", "delete")}


def granted(api: Api, place: str) -> set[tuple[str, str, str]]:
    """What each service account of a place may do, in any of its namespaces."""
    accounts = {
        (m["metadata"]["namespace"], m["metadata"]["name"])
        for _, _, made in charts(place)
        for m in made
        if m["kind"] == "ServiceAccount"
    }
    namespaces = sorted({namespace for namespace, _ in accounts} | {"default", "kube-system"})
    found = set()
    for home, name in sorted(accounts):
        for verb, resource in ASKED:
            for namespace in namespaces:
                if api.may(f"{home}:{name}", namespace, verb, resource):
                    assert namespace == home, (home, name, namespace, verb, resource)
                    found.add((name, verb, resource))
    return found


def test_each_service_account_may_do_what_it_must_and_nothing_else(cluster: Api) -> None:
    assert granted(cluster, "prod") == GRANTED
    metadata = {"name": "wider", "namespace": "serving-staging"}
    kind = "rbac.authorization.k8s.io"
    cluster.create(
        {
            "apiVersion": f"{kind}/v1",
            "kind": "Role",
            "metadata": metadata,
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
        }
    )
    account = {"kind": "ServiceAccount", "name": "recommendations", "namespace": "serving-staging"}
    cluster.create(
        {
            "apiVersion": f"{kind}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": kind, "kind": "Role", "name": "wider"},
            "subjects": [account],
        }
    )
    assert granted(cluster, "staging") == GRANTED | {("recommendations", "get", "secrets")}


def test_argocds_kinds_are_taken_and_a_field_of_none_is_not(argocd: Api) -> None:
    for place in PLACES:
        for manifest in (root(place), *applications(place)):
            argocd.create(manifest)
    wrong = merged(
        root("dev"), {"metadata": {"name": "wrong"}, "spec": {"syncPolicy": {"automatd": {}}}}
    )
    with pytest.raises(RefusedError, match="automatd"):
        argocd.create(wrong)
