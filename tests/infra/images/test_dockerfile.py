"""The Dockerfile is as hadolint would have it, ends no image as root, and installs what the lock names."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from checkout import REPOSITORY

IMAGES = REPOSITORY / "infra" / "images"
DOCKERFILE = IMAGES / "Dockerfile"
TARGETS = ("airflow", "stack", "spark", "serving")
HADOLINT = Path(sys.executable).parent / "hadolint"
LOCK = (REPOSITORY / "requirements.lock").read_text()
PYPROJECT = (REPOSITORY / "pyproject.toml").read_text()

_spec = importlib.util.spec_from_file_location("runtime_lock", IMAGES / "runtime_lock.py")
assert _spec is not None and _spec.loader is not None
runtime_lock = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(runtime_lock)


def findings(dockerfile: Path) -> list[str]:
    """The rules that hadolint finds broken."""
    done = subprocess.run(
        [HADOLINT, "--config", IMAGES / "hadolint.yaml", "--format", "json", dockerfile],
        capture_output=True,
        text=True,
        check=False,
    )
    found = [each["code"] for each in json.loads(done.stdout)]
    assert (done.returncode != 0) == bool(found), done.stderr
    return found


def users(dockerfile: str) -> dict[str, str]:
    """As whom each stage ends: what it or the stage below it says last."""
    ends: dict[str, str] = {}
    stage = ""
    for line in dockerfile.splitlines():
        if begun := re.match(r"FROM (\S+) AS (\S+)", line):
            stage = begun[2]
            ends[stage] = ends.get(begun[1], "root")
        elif line.startswith("USER "):
            ends[stage] = line.split()[1]
    return ends


def roots(dockerfile: str) -> list[str]:
    """The images that would run as root, or as a user whom Kubernetes cannot tell from root: by name."""
    ends = users(dockerfile)
    return [each for each in TARGETS if not re.fullmatch(r"[1-9][0-9]*:0", ends[each])]


def test_it_breaks_no_rule() -> None:
    assert findings(DOCKERFILE) == []
    assert roots(DOCKERFILE.read_text()) == []


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [
        ("FROM ${BASE} AS base", "FROM debian AS base", "DL3006"),
        ("FROM ${BASE} AS base", "FROM ghcr.io/library/debian:12-slim AS base", "DL3026"),
        ("FROM ${BASE} AS base", "FROM docker.io/library/debian:latest AS base", "DL3007"),
        (
            "apt-get install --yes --no-install-recommends git",
            "apt-get install --yes git",
            "DL3015",
        ),
        ("apt-get install --yes --no-install-recommends git", "apt-get install git", "DL3014"),
        (
            "COPY infra/images/entrypoint.sh /entrypoint",
            "ADD infra/images/entrypoint.sh /entrypoint",
            "DL3020",
        ),
        ("WORKDIR /opt/airflow", "WORKDIR opt/airflow", "DL3000"),
        ("USER 50000:0\nWORKDIR /opt/airflow", "USER root\nWORKDIR /opt/airflow", "DL3002"),
    ],
)
def test_a_fault_in_a_copy_is_found(tmp_path: Path, right: str, wrong: str, rule: str) -> None:
    text = DOCKERFILE.read_text()
    assert right in text
    copy = tmp_path / "Dockerfile"
    copy.write_text(text.replace(right, wrong))
    assert rule in findings(copy)


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_that_is_left_to_root_is_found(target: str) -> None:
    text = DOCKERFILE.read_text()
    begin = text.index(f" AS {target}\n")
    stage = text[begin : text.find("\nFROM ", begin) if "\nFROM " in text[begin:] else None]
    assert roots(text.replace(stage, stage.replace("USER 50000:0\n", ""))) == [target]
    assert roots(text.replace(stage, stage.replace("USER 50000:0", "USER feira"))) == [target]


def test_what_it_copies_is_in_its_context() -> None:
    """`.dockerignore` lets through what it names alone."""
    through = {
        line[1:]
        for line in (REPOSITORY / ".dockerignore").read_text().splitlines()
        if line[:1] == "!"
    }
    for line in DOCKERFILE.read_text().splitlines():
        if line.startswith("COPY ") and "--from=" not in line and line != "COPY . .":
            for source in line.split()[1:-1]:
                assert (REPOSITORY / source).exists(), line
                assert any(source == each or source.startswith(f"{each}/") for each in through), (
                    line
                )
    assert all((REPOSITORY / each).exists() for each in through)


def test_an_image_has_all_that_its_packages_need() -> None:
    """By what the packages say of themselves; the lock's own remarks made the choice."""
    for image in ("airflow", "serving"):
        chosen = runtime_lock.image_lock(image, LOCK, PYPROJECT)
        for name in chosen:
            for need in _needs(name):
                assert need in chosen, f"{image}: {name} needs {need}"


def _needs(name: str) -> list[str]:
    try:
        stated = distribution(name).requires or []
    except PackageNotFoundError:
        return []  # of another Python or system
    asked = [Requirement(each) for each in stated]
    return [
        canonicalize_name(each.name)
        for each in asked
        if each.marker is None or each.marker.evaluate({"extra": ""})
        # pyproject.toml overrides these two.
        if each.name not in ("pyspark-client", "dbt-core-experimental-parser")
    ]


def test_an_image_has_nothing_of_the_tests() -> None:
    chosen = runtime_lock.image_lock("airflow", LOCK, PYPROJECT)
    assert not {"pytest", "moto", "mypy", "playwright", "helm-python-sdk", "uv"} & chosen.keys()
    assert all("--hash=sha256:" in each for versions in chosen.values() for each in versions)
    for name in ("spark", "uv"):
        assert len(runtime_lock.image_lock(name, LOCK, PYPROJECT)) == 1


# The packages that an image has not are not there: then all that it runs is imported.
IMPORTED = """
import importlib, json, pkgutil, sys

hidden = set(json.loads(sys.argv[1]))
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
package = importlib.import_module("feira.recommendations.serving")
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    # Of who publishes, and the one that needs Numba.
    if module.name != "feira.recommendations.serving.values":
        importlib.import_module(module.name)
import confluent_kafka, fastavro, libvalkey, s3fs, uvloop, valkey.asyncio

from datetime import UTC, datetime
from feira.core.settings import repository_root
from feira.recommendations.serving.events import parse_events
from feira.recommendations.serving.requests import RefusedError

try:
    parse_events({"events": [{}]}, datetime.now(UTC))
except RefusedError as error:
    print(repository_root(), error)
"""


def imports_of_serving(chosen: set[str], image: Path) -> subprocess.CompletedProcess[str]:
    hidden = [
        module
        for module, owners in packages_distributions().items()
        if not {canonicalize_name(each) for each in owners} & (chosen | {"feira", "feira-core"})
    ]
    return subprocess.run(
        [sys.executable, "-c", IMPORTED, json.dumps(hidden)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(image / "opt/feira/shared/src")},
    )


@pytest.fixture
def serving_image(tmp_path: Path) -> Path:
    """What the Dockerfile copies of the checkout into the API's image, where it says."""
    stage = DOCKERFILE.read_text().partition(" AS serving\n")[2]
    copied = re.findall(r"^COPY (shared/\S+) /(\S+)$", stage, re.M)
    assert "ENV PYTHONPATH=/opt/feira/shared/src" in stage.splitlines()
    for source, target in copied:
        shutil.copytree(REPOSITORY / source, tmp_path / target)
    return tmp_path


@pytest.mark.slow
def test_the_serving_image_has_all_that_the_api_imports_and_reads(serving_image: Path) -> None:
    chosen = set(runtime_lock.image_lock("serving", LOCK, PYPROJECT))
    done = imports_of_serving(chosen, serving_image)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{serving_image}/opt/feira events[0]"), done.stdout
    assert "fastavro" in imports_of_serving(chosen - {"fastavro"}, serving_image).stderr
    shutil.rmtree(serving_image / "opt/feira/shared/contracts")
    assert "web.user_events" in imports_of_serving(chosen, serving_image).stderr


def run_spark(tmp_path: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    java = tmp_path / "java"
    java.write_text('#!/bin/sh\nfor each in "$@"; do echo "$each"; done\n')
    java.chmod(0o755)
    return subprocess.run(
        ["bash", IMAGES / "spark.sh", *arguments],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "SPARK_HOME": "/opt/spark", **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_executor_is_started_as_spark_asks(tmp_path: Path) -> None:
    asked = {
        "SPARK_EXECUTOR_MEMORY": "12g",
        "SPARK_CLASSPATH": "/opt/jars/*",
        "SPARK_DRIVER_URL": "spark://CoarseGrainedScheduler@driver:7078",
        "SPARK_EXECUTOR_ID": "7",
        "SPARK_EXECUTOR_CORES": "4",
        "SPARK_APPLICATION_ID": "spark-1",
        "SPARK_EXECUTOR_POD_IP": "10.0.0.9",
        "SPARK_EXECUTOR_POD_NAME": "exec-7",
        "SPARK_RESOURCE_PROFILE_ID": "0",
        **{f"SPARK_JAVA_OPT_{number}": f"-Dn={number} a=b" for number in range(11)},
    }
    done = run_spark(tmp_path, "executor", **asked)
    lines = done.stdout.splitlines()
    assert lines[:11] == [f"-Dn={number} a=b" for number in range(11)], done.stderr
    assert lines[11:13] == ["-Xms12g", "-Xmx12g"]
    assert lines[13:15] == ["-cp", "/opt/jars/*:/opt/spark/jars/*"]
    backend = lines.index("org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend")
    rest = lines[backend + 1 :]
    said = dict(zip(rest[::2], rest[1::2], strict=True))
    assert said["--driver-url"] == asked["SPARK_DRIVER_URL"]
    assert said["--podName"] == "exec-7" and said["--cores"] == "4"


def test_the_spark_image_runs_nothing_else(tmp_path: Path) -> None:
    done = run_spark(tmp_path, "driver")
    assert done.returncode == 2 and "driver" in done.stderr


def test_sparks_wheel_brings_what_an_executor_runs() -> None:
    found = importlib.util.find_spec("pyspark")
    assert found is not None and found.origin is not None
    (jar,) = (Path(found.origin).parent / "jars").glob("spark-kubernetes_*.jar")
    with ZipFile(jar) as archive:
        names = archive.namelist()
    assert "org/apache/spark/scheduler/cluster/k8s/KubernetesExecutorBackend.class" in names
