"""The charts make what Kubernetes knows and what the platform's own code asks for, and refuse mistyped values."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import helm_python
import pytest
import typer.main
import yaml
from rendered_charts import CHARTS, Manifest, named, pod_specs, render, violations

from feira.core.settings import LakeSettings
from feira.recommendations.serving.__main__ import main as serving_main
from feira.recommendations.serving.baked import served_path
from feira_spark.core.session import spark_conf

RELEASES = {
    "spark-connect": ("spark-connect", "spark"),
    "serving": ("recommendations", "serving"),
    "release": ("feira", "airflow"),
}


def of(chart: str, values: dict[str, Any] | None = None, folder: Path = CHARTS) -> list[Manifest]:
    name, namespace = RELEASES[chart]
    return render(folder / chart, values, name=name, namespace=namespace)


def unrestricted(manifests: list[Manifest]) -> list[str]:
    """What Pod Security's profile `restricted` would refuse, what else no pod of ours may do, and probes that a server
    lacks."""
    found = []
    for owner, spec in pod_specs(manifests).items():
        pod = spec.get("securityContext", {})
        if pod.get("runAsNonRoot") is not True or pod.get("runAsUser", 0) == 0:
            found.append(f"{owner} may run as root")
        if pod.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            found.append(f"{owner} has no seccomp profile")
        if {"hostNetwork", "hostPID", "hostIPC"} & spec.keys():
            found.append(f"{owner} is in the host's namespaces")
        for volume in spec.get("volumes", ()):
            if "hostPath" in volume:
                found.append(f"{owner} mounts the host's {volume['hostPath']}")
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            own = container.get("securityContext", {})
            if own.get("allowPrivilegeEscalation") is not False:
                found.append(f"{owner} may gain privileges")
            if own.get("capabilities", {}).get("drop") != ["ALL"]:
                found.append(f"{owner} keeps capabilities")
            if own.get("readOnlyRootFilesystem") is not True:
                found.append(f"{owner} may write where it is installed")
            probes = {"startupProbe", "readinessProbe", "livenessProbe"} - container.keys()
            if owner.startswith("Deployment/") and probes:
                found.append(f"{owner} has no {', '.join(sorted(probes))}")
            limits = container.get("resources", {}).get("limits", {})
            if "memory" not in limits and owner != "Pod/executor":
                found.append(f"{owner} has no limit of memory")
    return found


def broken(manifests: list[Manifest]) -> list[str]:
    """All that is wrong with them."""
    by_schema = [f"{m['kind']}: {each}" for m in manifests for each in violations(m)]
    for spec in pod_specs(manifests).values():
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": spec}
        by_schema += [f"pod: {each}" for each in violations(pod)]
    return by_schema + unrestricted(manifests)


@pytest.mark.parametrize("chart", RELEASES)
def test_every_object_is_as_kubernetes_knows_it(chart: str) -> None:
    manifests = of(chart)
    assert broken(manifests) == []
    assert {m["metadata"]["namespace"] for m in manifests} == {RELEASES[chart][1]}
    assert len({(m["kind"], m["metadata"]["name"]) for m in manifests}) == len(manifests)
    kinds = {m["kind"] for m in manifests}
    # What serves has all of it; the jobs of a release come and go.
    serves = {"Deployment", "Service", "PodDisruptionBudget", "ResourceQuota"}
    assert kinds >= {"NetworkPolicy", "ServiceAccount"}
    assert kinds & (serves | {"Job"}) == ({"Job"} if chart == "release" else serves)


@pytest.mark.parametrize(
    ("chart", "values"),
    [
        ("spark-connect", {"executors": {"mx": 50}}),
        ("spark-connect", {"executors": {"max": "50"}}),
        ("spark-connect", {"executors": {"min": 60, "max": 50}}),
        ("spark-connect", {"executors": {"min": 5, "max": 4}}),
        ("spark-connect", {"executors": {"memory": "12g"}}),
        ("spark-connect", {"image": {"tag": "latest"}}),
        ("spark-connect", {"image": {"digest": "sha256:12"}}),
        ("spark-connect", {"lake": {"root": "s3://Feira_Lake"}}),
        ("spark-connect", {"clients": []}),
        ("spark-connect", {"roleArn": "feira-prod-spark"}),
        ("spark-connect", {"kafka": {"ports": [155002]}}),
        ("serving", {"replicas": 1}),
        ("serving", {"replica": 3}),
        ("serving", {"valkey": {"port": "6379"}}),
        ("serving", {"resources": {"memory": "512Mi"}}),
        ("serving", {"page": {"host": ["a"]}}),
        ("release", {"sparkUrl": "https://spark:15002"}),
        ("release", {"secrets": {"kwarg": "{}"}}),
        ("release", {"image": {"tag": ""}}),
    ],
)
def test_a_mistyped_value_is_refused(chart: str, values: dict[str, Any]) -> None:
    with pytest.raises(helm_python.HelmError):
        of(chart, values)


PROBE = """\
          readinessProbe:
            httpGet: {path: /health, port: http}
            periodSeconds: 5
            timeoutSeconds: 2
"""


@pytest.mark.parametrize(
    ("chart", "right", "wrong"),
    [
        ("spark-connect", "containerPort: 15002", "containerPorts: 15002"),
        ("spark-connect", "maxUnavailable: {{", "maxUnavailble: {{"),
        ("spark-connect", "runAsNonRoot: true", "runAsNonRoot: false"),
        ("spark-connect", "automountServiceAccountToken: false", "automountServiceAccountToken: 0"),
        ("spark-connect", "verbs: [create", "verb: [create"),
        ("spark-connect", "policyTypes: [Ingress]", "policyTypes: Ingress"),
        ("serving", "capabilities: {drop: [ALL]}", "capabilities: {}"),
        ("serving", "allowPrivilegeEscalation: false", "privileged: true"),
        ("serving", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"),
        ("serving", "httpGet: {path: /health, port: http}", "httpGet: {url: /health, port: http}"),
        ("serving", "limits: {memory:", "limit: {memory:"),
        ("serving", PROBE, ""),
        ("serving", "emptyDir: {sizeLimit: 64Mi}", "hostPath: {path: /tmp}"),
        ("release", "backoffLimit: 6", "backoffLimit: six"),
        ("release", "seccompProfile: {type: RuntimeDefault}", "seccompProfile: {type: Unconfined}"),
    ],
)
def test_a_fault_in_a_copy_is_found(tmp_path: Path, chart: str, right: str, wrong: str) -> None:
    copy = shutil.copytree(CHARTS / chart, tmp_path / chart)
    files = [each for each in (copy / "templates").iterdir() if right in each.read_text()]
    assert files
    for file in files:
        file.write_text(file.read_text().replace(right, wrong))
    assert broken(of(chart, folder=tmp_path))


def properties(values: dict[str, Any] | None = None) -> dict[str, str]:
    text = named(of("spark-connect", values), "ConfigMap", "spark-connect")["data"][
        "spark.properties"
    ]
    pairs = [line.split(" ", 1) for line in text.splitlines() if line]
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)


def test_spark_has_the_settings_of_the_platform() -> None:
    lake = LakeSettings(root="s3://feira-lake", region="eu-central-1", catalog="glue")
    stated = properties()
    for name, value in spark_conf(lake, cores=200).items():
        # Its options of the JVM are ours with more behind them.
        assert stated[name].startswith(value) if "JavaOptions" in name else stated[name] == value


def test_spark_starts_as_many_executors_as_were_asked_for_and_the_quota_has_room_for_them() -> None:
    values = {"executors": {"min": 3, "max": 20, "cores": 8, "memory": 24, "overhead": 4}}
    stated = properties(values)
    assert stated["spark.dynamicAllocation.minExecutors"] == "3"
    assert stated["spark.dynamicAllocation.maxExecutors"] == "20"
    assert (stated["spark.executor.memory"], stated["spark.executor.memoryOverhead"]) == (
        "24g",
        "4g",
    )
    hard = named(of("spark-connect", values), "ResourceQuota", "spark-connect")["spec"]["hard"]
    # The server has 2 cores and 8 GiB.
    assert int(hard["requests.cpu"].removesuffix("m")) >= 20 * 7000 + 2000
    assert int(hard["requests.memory"].removesuffix("Gi")) >= 20 * 28 + 8
    assert int(hard["pods"]) >= 21


def test_no_pod_of_spark_is_let_through_to_the_server_but_clients_and_executors() -> None:
    manifests = of("spark-connect")
    server = named(manifests, "Deployment", "spark-connect")["spec"]["template"]["metadata"][
        "labels"
    ]
    executor = yaml.safe_load(
        named(manifests, "ConfigMap", "spark-connect")["data"]["executor.yaml"]
    )["metadata"]["labels"]
    policy = named(manifests, "NetworkPolicy", "spark-connect-server")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= server.items()
    assert not policy["podSelector"]["matchLabels"].items() <= executor.items()
    sessions, internal = policy["ingress"]
    assert [each["port"] for each in sessions["ports"]] == [15002]
    assert [each["namespaceSelector"]["matchLabels"] for each in sessions["from"]] == [
        {"kubernetes.io/metadata.name": "airflow"}
    ]
    assert {each["port"] for each in internal["ports"]} == {7078, 7079}
    assert internal["from"][0]["podSelector"]["matchLabels"].items() <= executor.items()
    out = named(manifests, "NetworkPolicy", "spark-connect-out")["spec"]["podSelector"][
        "matchLabels"
    ]
    assert out.items() <= server.items() and out.items() <= executor.items()


def test_the_server_alone_may_ask_kubernetes_and_for_pods_alone() -> None:
    manifests = of("spark-connect")
    (rule,) = named(manifests, "Role", "spark-connect")["rules"]
    assert rule["resources"] == ["pods"] and rule["apiGroups"] == [""]
    assert "*" not in rule["verbs"]
    (subject,) = named(manifests, "RoleBinding", "spark-connect")["subjects"]
    assert subject["name"] == "spark-connect"
    accounts = {
        m["metadata"]["name"]: m["automountServiceAccountToken"]
        for chart in RELEASES
        for m in of(chart)
        if m["kind"] == "ServiceAccount"
    }
    assert [name for name, mounted in accounts.items() if mounted] == ["spark-connect"]


def test_the_api_takes_the_arguments_that_it_is_started_with() -> None:
    values = {"lake": {"root": "s3://another-lake"}, "page": {"enabled": True, "hosts": ["a.b"]}}
    (container,) = named(of("serving", values), "Deployment", "recommendations")["spec"][
        "template"
    ]["spec"]["containers"]
    app = typer.Typer()
    app.command()(serving_main)
    taken = typer.main.get_command(app).make_context("serving", list(container["args"])).params
    assert taken["file"] == served_path("s3://another-lake")
    assert (taken["port"], taken["ui"], list(taken["ui_host"])) == (18040, True, ["a.b"])
    env = {each["name"]: each["value"] for each in container["env"]}
    assert LakeSettings.from_env(env) == LakeSettings(
        root="s3://another-lake", region="eu-central-1", catalog="glue"
    )


def test_a_release_migrates_then_builds_marts_and_only_after_the_dags_imports_pools() -> None:
    jobs = {
        m["metadata"]["name"]: m["metadata"]["annotations"]
        for m in of("release")
        if m["kind"] == "Job"
    }
    order = {
        name: (each["argocd.argoproj.io/hook"], int(each["argocd.argoproj.io/sync-wave"]))
        for name, each in jobs.items()
    }
    assert order == {
        "feira-migrate": ("PreSync", 0),
        "feira-dbt": ("PreSync", 1),
        "feira-pools": ("PostSync", 0),
    }
    # What a job needs is there a wave before it.
    for m in of("release"):
        if m["kind"] == "ServiceAccount":
            hook, wave = order[m["metadata"]["name"]]
            own = m["metadata"]["annotations"]
            assert own["argocd.argoproj.io/hook"] == hook
            assert int(own["argocd.argoproj.io/sync-wave"]) < wave


def test_a_job_runs_a_module_that_there_is() -> None:
    from importlib.util import find_spec

    for name in ("feira-migrate", "feira-dbt"):
        (container,) = named(of("release"), "Job", name)["spec"]["template"]["spec"]["containers"]
        module = container["command"][-1]
        assert find_spec(module) is not None
        assert find_spec(f"{module}.__main__") is not None if "summary" in module else True
