"""The values for Airflow's own chart: keys that are known, settings that Airflow has, a bundle that it can clone."""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow_chart import check, places
from jsonschema import Draft7Validator
from rendered_charts import CHARTS

from checkout import REPOSITORY
from feira_local.stack.airflow import MONITOR, USERS

VALUES = yaml.safe_load((CHARTS / "airflow" / "values.yaml").read_text())
SCHEMA = json.loads((CHARTS / "airflow" / "values.schema.json").read_text())


def violations(values: dict[str, Any]) -> list[str]:
    return [each.message for each in Draft7Validator(SCHEMA).iter_errors(values)]


def test_they_are_as_their_schema_has_them() -> None:
    Draft7Validator.check_schema(SCHEMA)
    assert violations(VALUES) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("scheduler", "replica"), 2),
        (("scheduler", "replicas"), "2"),
        (("dagProcessor", "dagBundleConfigLists"), []),
        (("dagProcessor", "dagBundleConfigList", 0, "kwargs", "sub_dir"), "airflow/dags"),
        (("dagProcessor", "dagBundleConfigList", 0, "classpath"), "airflow.GitDagBundle"),
        (("config", "core", "xcom_backend"), "airflow.models.xcom.BaseXCom"),
        (("config", "core", "simple_auth_manager_users"), "admin:root"),
        (("config", "core", "load_examples"), "True"),
        (("apiServer", "securityContexts", "pod", "runAsUser"), 0),
        (("apiServer", "resources", "limits", "memory"), "2GB"),
        (("migrateDatabaseJob", "useHelmHooks"), True),
        (("postgresql", "enabled"), True),
        (("defaultAirflowTag",), "latest"),
        (("executer",), "LocalExecutor"),
        (("config", "core", "dags_are_paused_at_creation"), "False"),
        (("apiServer", "networkPolicy", "ingress", "from"), []),
        (("apiServer", "networkPolicy"), {}),
        (("migrateDatabaseJob", "resources"), {}),
        (("migrateDatabaseJob", "securityContexts", "pod", "runAsNonRoot"), False),
        (("dags", "gitSync", "enabled"), True),
    ],
)
def test_a_mistyped_value_is_refused(path: tuple[Any, ...], value: Any) -> None:
    changed = copy.deepcopy(VALUES)
    holder = changed
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = value
    assert violations(changed)


def test_its_users_are_the_laptops() -> None:
    users = dict(
        user.split(":") for user in VALUES["config"]["core"]["simple_auth_manager_users"].split(",")
    )
    assert users | {MONITOR: USERS[MONITOR]} == USERS


def unknown_settings(config: dict[str, dict[str, str]]) -> list[str]:
    """Settings that neither Airflow nor its providers have."""
    from airflow.configuration import conf

    described = conf.configuration_description
    return [
        f"{section}.{name}"
        for section, settings in config.items()
        for name in settings
        if name not in described.get(section, {}).get("options", {})
    ]


def test_airflow_has_every_setting() -> None:
    assert unknown_settings(VALUES["config"]) == []
    assert unknown_settings({"core": {"xcom_backends": ""}, "logs": {"remote_logging": ""}}) == [
        "core.xcom_backends",
        "logs.remote_logging",
    ]
    assert json.loads(VALUES["config"]["secrets"]["backend_kwargs"])["connections_prefix"] == (
        "airflow/connections"
    )


def test_image_and_dags_are_of_one_version() -> None:
    (bundle,) = VALUES["dagProcessor"]["dagBundleConfigList"]
    assert bundle["kwargs"]["tracking_ref"] == f"v{VALUES['defaultAirflowTag']}"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the checkout's DAG files at a tag, and with a later commit that changes them."""
    folder = tmp_path / "repository"
    dags = folder / "airflow" / "dags"
    dags.mkdir(parents=True)
    for each in (REPOSITORY / "airflow" / "dags").glob("*.py"):
        (dags / each.name).write_bytes(each.read_bytes())

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.invalid")
        subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "one")
    git("tag", "v0.1.0")
    (dags / "later.py").write_text("")
    git("add", ".")
    git("commit", "--quiet", "-m", "two")
    return folder


def test_the_bundle_is_what_airflow_clones(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow._shared.module_loading import import_string

    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(tmp_path / "bundles"))
    (stated,) = VALUES["dagProcessor"]["dagBundleConfigList"]
    kwargs = stated["kwargs"] | {"repo_url": str(repository)}
    bundle = import_string(stated["classpath"])(name=stated["name"], **kwargs)
    bundle.initialize()
    expected = {each.name for each in (REPOSITORY / "airflow" / "dags").glob("*.py")}
    assert {each.name for each in Path(bundle.path).glob("*.py")} == expected


# A stand-in for the official chart, which is fetched by `make airflow-chart` alone: its API server's policy has no
# rule where `from` is empty, as the official one's.
STAND_IN = """
{{- range $part, $name := dict "scheduler" "scheduler" "apiServer" "api-server" }}
{{- $values := index $.Values $part }}
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ $.Release.Name }}-{{ $name }}}
spec:
  replicas: {{ $values.replicas }}
  selector: {matchLabels: {component: {{ $name }}}}
  template:
    metadata: {labels: {tier: airflow, release: {{ $.Release.Name }}, component: {{ $name }}}}
    spec:
      securityContext: {{- toYaml $values.securityContexts.pod | nindent 8 }}
      containers:
        - name: {{ $name }}
          image: {{ $.Values.defaultAirflowRepository }}:{{ $.Values.defaultAirflowTag }}
          resources: {{- toYaml $values.resources | nindent 12 }}
          securityContext: {{- toYaml $values.securityContexts.container | nindent 12 }}
---
{{- end }}
apiVersion: batch/v1
kind: Job
metadata: {name: {{ .Release.Name }}-run-airflow-migrations}
spec:
  template:
    spec:
      restartPolicy: OnFailure
      securityContext: {{- toYaml .Values.migrateDatabaseJob.securityContexts.pod | nindent 8 }}
      containers:
        - name: run-airflow-migrations
          image: {{ .Values.defaultAirflowRepository }}:{{ .Values.defaultAirflowTag }}
          resources: {{- toYaml .Values.migrateDatabaseJob.resources | nindent 12 }}
          securityContext: {{- toYaml .Values.migrateDatabaseJob.securityContexts.container | nindent 12 }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: {{ .Release.Name }}-api-server-policy}
spec:
  podSelector: {matchLabels: {tier: airflow, component: api-server, release: {{ .Release.Name }}}}
  policyTypes: [Ingress]
  {{- with .Values.apiServer.networkPolicy.ingress.from }}
  ingress:
    - from: {{- toYaml . | nindent 8 }}
      ports: [{port: 8080}]
  {{- end }}
"""


@pytest.mark.parametrize(
    ("right", "wrong", "found"),
    [
        ("", "", ""),
        ("  replicas:", "  replica:", "replica"),
        ("$values.securityContexts.pod", "$values.resources", "root"),
        (".migrateDatabaseJob.securityContexts.pod", ".migrateDatabaseJob.resources", "root"),
        ("$values.securityContexts.container", "$values.resources", "privileges"),
        ("{{ $.Values.defaultAirflowRepository }}", "apache/airflow", "apache/airflow:"),
        ("toYaml .Values.migrateDatabaseJob.resources", "toYaml dict", "no limits of memory"),
        ("with .Values.apiServer.networkPolicy.ingress.from", "with list", "scheduler does not"),
        ("from: {{- toYaml . |", "from: {{- toYaml (rest .) |", "scheduler does not"),
        ("tier: airflow, component:", "tier: platform, component:", "no network policy"),
    ],
)
def test_what_the_official_chart_makes_is_judged(
    tmp_path: Path, right: str, wrong: str, found: str
) -> None:
    (tmp_path / "airflow" / "templates").mkdir(parents=True)
    (tmp_path / "airflow" / "Chart.yaml").write_text(
        "{apiVersion: v2, name: airflow, version: 1.22.0}"
    )
    template = tmp_path / "airflow" / "templates" / "scheduler.yaml"
    assert right in STAND_IN
    template.write_text(STAND_IN.replace(right, wrong) if right else STAND_IN)
    version, values = places()["prod"]
    assert version == "1.22.0"
    said = check(tmp_path / "airflow", values)
    assert (not said) if not found else any(found in each for each in said)
