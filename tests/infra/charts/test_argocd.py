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
    pod_specs,
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
        {"environment": "Prod"},
        {"environment": "production1"},
        {"environment": "my-dev"},
        {"version": ""},
        {"roles": {"spark": ""}},
        {"airflowUrl": "http://airflow.example.com"},
        {"lakes": {}},
        {"releases": {}},
    ):
        with pytest.raises(helm_python.HelmError):
            applications("dev", over)


def test_a_place_may_have_a_name_of_its_own_as_terraforms_environments_have() -> None:
    names = {m["metadata"]["name"] for m in applications("dev", {"environment": "qa2"})}
    assert names == {"feira-qa2", "spark-connect-qa2", "airflow-qa2", "serving-qa2"}
    schema = json.loads((CHARTS / "platform" / "values.schema.json").read_text())
    variables = (REPOSITORY / "infra" / "terraform" / "variables.tf").read_text()
    (pattern,) = re.findall(r'regex\("([^"]+)", var\.environment\)', variables)
    assert schema["properties"]["environment"]["pattern"] == pattern


def test_all_of_a_place_is_in_the_lakes_region() -> None:
    over: dict[str, Any] = {"lake": {"root": "s3://qa-lake", "region": "ap-southeast-2"}}
    assert "eu-central-1" not in yaml.safe_dump_all(applications("dev", over))
    jobs = {}
    for _, _, manifests in released("dev", over=over):
        assert "eu-central-1" not in yaml.safe_dump_all(manifests)
        for owner, spec in pod_specs(manifests).items():
            env = {each["name"]: each.get("value") for each in spec["containers"][0].get("env", ())}
            if owner.startswith("Job/"):
                jobs[owner] = env.get("AWS_DEFAULT_REGION")
    # What reads connections from Secrets Manager; the third asks nothing of AWS.
    assert jobs == {
        "Job/feira-migrate": "ap-southeast-2",
        "Job/feira-dbt": "ap-southeast-2",
        "Job/feira-pools": None,
    }


@pytest.mark.parametrize(
    ("chart", "over", "path", "value"),
    [
        (
            "release",
            {"release": {"secrets": {"region": "us-east-1"}}},
            "secrets.region",
            "us-east-1",
        ),
        ("release", {"release": {"database": {"key": "other"}}}, "database.key", "other"),
        ("serving", {"serving": {"replicas": 5}}, "replicas", 5),
        ("spark-connect", {"sparkConnect": {"executors": {"max": 7}}}, "executors.max", 7),
    ],
)
def test_a_place_puts_its_own_values_over_each_charts(
    chart: str, over: dict[str, Any], path: str, value: Any
) -> None:
    (found,) = (
        source["helm"]["valuesObject"]
        for application in applications("dev", over)
        for source in sources(application)
        if source.get("path") == f"infra/charts/{chart}"
    )
    for name in path.split("."):
        found = found[name]
    assert found == value


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
