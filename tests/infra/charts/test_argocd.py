"""ArgoCD's applications of each place: as its own definitions have them, in order, with values the charts take."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from rendered_charts import (
    ARGOCD,
    CHARTS,
    PLACES,
    Manifest,
    application_violations,
    applications,
    merged,
    released,
    root,
    sources,
    violations,
)

from checkout import REPOSITORY


def unsound(manifests: list[Manifest]) -> list[str]:
    found = []
    for manifest in manifests:
        found += application_violations(manifest)
        for text in manifest["metadata"].get("annotations", {}).values():
            if not isinstance(text, str):
                found.append(f"annotation {text!r} is no text")
    return found


@pytest.mark.parametrize("place", PLACES)
def test_argocd_knows_all_that_is_said(place: str) -> None:
    assert unsound([root(place), *applications(place)]) == []


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Application", ("spec", "syncPolicy", "automatd"), {}),
        ("Application", ("spec", "syncPolicy", "automated", "prune"), "yes"),
        ("Application", ("spec", "destination", "cluster"), "x"),
        ("Application", ("spec", "project"), None),
        ("Application", ("spec", "syncPolicy", "retry", "limit"), "5"),
        ("Application", ("metadata", "annotations", "argocd.argoproj.io/sync-wave"), 1),
        ("AppProject", ("spec", "sourceRepo"), ["x"]),
        ("AppProject", ("spec", "destinations", 0, "namespaces"), "spark"),
    ],
)
def test_a_fault_in_a_copy_is_found(kind: str, path: tuple[Any, ...], value: Any) -> None:
    manifests = applications("dev")
    holder: Any = next(m for m in manifests if m["kind"] == kind)
    for name in path[:-1]:
        holder = holder[name]
    if value is None:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    assert unsound(manifests)


@pytest.mark.parametrize("place", PLACES)
def test_every_chart_takes_the_values_that_it_is_given(place: str) -> None:
    seen = set()
    for _, chart, manifests in released(place):
        assert [each for m in manifests for each in violations(m)] == []
        seen.add(chart)
    assert seen == {"spark-connect", "release", "serving"}
    (source,) = (s for a in applications(place) for s in sources(a) if s.get("chart") == "airflow")
    (file,) = source["helm"]["valueFiles"]
    values = yaml.safe_load((CHARTS.parents[1] / file.removeprefix("$feira/")).read_text())
    schema = json.loads((CHARTS / "airflow" / "values.schema.json").read_text())
    over = merged(values, source["helm"]["valuesObject"])
    assert [e.message for e in Draft7Validator(schema).iter_errors(over)] == []
    (bundle,) = over["dagProcessor"]["dagBundleConfigList"]
    assert bundle["kwargs"]["tracking_ref"] == f"v{over['defaultAirflowTag']}"


@pytest.mark.parametrize("place", PLACES)
def test_spark_comes_before_airflow_and_airflow_before_what_reads_its_lists(place: str) -> None:
    waves = {
        m["metadata"]["name"].removesuffix(f"-{place}"): int(
            m["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]
        )
        for m in applications(place)
        if m["kind"] == "Application"
    }
    assert waves["spark-connect"] < waves["airflow"] < waves["serving"]
    # What migrates and builds marts is of Airflow's own application, before all else of it.
    (airflow,) = (m for m in applications(place) if m["metadata"]["name"] == f"airflow-{place}")
    assert {s.get("path") or s.get("chart") or s.get("ref") for s in sources(airflow)} == {
        "infra/charts/release",
        "airflow",
        "feira",
    }


@pytest.mark.parametrize("place", PLACES)
def test_all_is_of_one_version_and_from_the_repositories_of_the_project(place: str) -> None:
    project, *rest = applications(place)
    version = root(place)["spec"]["source"]["helm"]["valuesObject"]["version"]
    for application in rest:
        assert application["spec"]["project"] == project["metadata"]["name"]
        where = application["spec"]["destination"]
        assert where in project["spec"]["destinations"]
        for source in sources(application):
            assert source["repoURL"] in project["spec"]["sourceRepos"]
            if source.get("chart") != "airflow":
                assert source["targetRevision"] == f"v{version}"
    tags = re.findall(r"tag: (\S+)", yaml.safe_dump_all(rest))
    assert set(tags) == {version}


def test_a_place_that_leaves_out_what_is_its_own_is_refused() -> None:
    import helm_python

    for over in (
        {"environment": "production"},
        {"version": ""},
        {"roles": {"spark": ""}},
        {"airflowUrl": "http://airflow.example.com"},
        {"lakes": {}},
    ):
        with pytest.raises(helm_python.HelmError):
            applications("dev", over)


@pytest.mark.parametrize("place", PLACES)
def test_what_is_deleted_takes_along_what_it_made(place: str) -> None:
    for application in (root(place), *applications(place)):
        if application["kind"] == "Application":
            finalizers = application["metadata"].get("finalizers")
            assert finalizers == ["resources-finalizer.argocd.argoproj.io"], application["metadata"]


def test_argocd_is_told_how_to_judge_an_applications_health() -> None:
    """Without it no wave waits for the one before it."""
    patch = yaml.safe_load((ARGOCD / "health" / "argocd-cm.yaml").read_text())
    assert list(patch) == ["data"]
    assert list(patch["data"]) == ["resource.customizations.health.argoproj.io_Application"]
    whole = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}} | patch
    assert violations(whole) == []


def test_production_is_corrected_by_people() -> None:
    """Its root too: one that corrects itself would put a changed version into the others."""

    def automated(place: str) -> set[bool]:
        return {
            "automated" in m["spec"].get("syncPolicy", {})
            for m in (root(place), *applications(place))
            if m["kind"] == "Application"
        }

    assert automated("dev") == automated("staging") == {True}
    assert automated("prod") == {False}


def test_terraform_gives_its_roles_to_the_charts_service_accounts() -> None:
    """A role's trust names accounts by namespace and name: one that is another by a letter has no rights."""
    terraform = (REPOSITORY / "infra" / "terraform" / "modules" / "roles" / "main.tf").read_text()
    trusted = {
        account: component
        for component, listed in re.findall(
            r"^    (\w+) = \{\n +service_accounts = \[(.+)\]", terraform, re.MULTILINE
        )
        for account in re.findall(r'"([^"]+)"', listed)
    }
    made = {}
    for application, _, manifests in released("prod"):
        namespace = application["spec"]["destination"]["namespace"]
        for m in manifests:
            role = m["metadata"].get("annotations", {}).get("eks.amazonaws.com/role-arn")
            if role is not None:
                made[f"{namespace}:{m['metadata']['name']}"] = role.rpartition("prod-")[2]
    # The chart of Airflow names its own; these are its names for the release `airflow`.
    own = {
        f"airflow:airflow-{part}": "airflow"
        for part in ("scheduler", "triggerer", "dag-processor", "api-server")
    }
    autoscaler = {"kube-system:cluster-autoscaler": "autoscaler"}
    assert made | own | autoscaler == trusted
