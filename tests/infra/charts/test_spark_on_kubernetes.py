"""Spark's own Connect server with the chart's settings: the executors that it asks Kubernetes for, and their work.

Its API is a small one that lets through what the chart's Role says; a pod's container is run here, by the entry point
of the image with the pod's own environment.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import spark_api_server
from rendered_charts import CHARTS, Manifest, named, render, violations
from spark_api_server import SparkApi

from checkout import REPOSITORY
from temporary_postgres import free_port

_found = importlib.util.find_spec("pyspark")
assert _found is not None and _found.origin is not None
SPARK_HOME = Path(_found.origin).parent
JARS = REPOSITORY / ".cache" / "jars" / "spark" / "*"
ENTRYPOINT = REPOSITORY / "infra" / "images" / "spark.sh"
VALUES = {
    "executors": {
        "min": 2,
        "nodeSelector": {"feira/nodes": "spark"},
        "tolerations": [{"key": "feira/nodes", "operator": "Exists", "effect": "NoSchedule"}],
    }
}


@pytest.fixture(scope="module")
def made() -> list[Manifest]:
    return render(CHARTS / "spark-connect", VALUES, name="spark-connect", namespace="spark")


@pytest.fixture(scope="module")
def server(
    made: list[Manifest], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[SparkApi, str, Path]]:
    """The API, the Connect server's address and its log, once two executors were asked for."""
    folder = tmp_path_factory.mktemp("spark")
    settings = named(made, "ConfigMap", "spark-connect")["data"]
    template = named(made, "Deployment", "spark-connect")["spec"]["template"]
    driver = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": template["metadata"] | {"name": "spark-connect-0", "uid": "0-0"},
        "spec": template["spec"],
    }
    api = SparkApi(named(made, "Role", "spark-connect")["rules"], driver)
    (folder / "executor.yaml").write_text(settings["executor.yaml"])
    (folder / "token").write_text("token")
    port = free_port()
    with spark_api_server.running(api) as url:
        # What is a file or an address of the pod's is one of this machine's.
        here: dict[str, Any] = {
            "spark.master": f"k8s://{url}",
            "spark.kubernetes.authenticate.oauthTokenFile": folder / "token",
            "spark.kubernetes.executor.podTemplateFile": folder / "executor.yaml",
            "spark.kubernetes.driver.pod.name": "spark-connect-0",
            "spark.driver.memory": "1g",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.port": "0",
            "spark.blockManager.port": "0",
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.connect.grpc.binding.port": str(port),
            "spark.driver.extraClassPath": JARS,
        }
        stated = dict(
            line.split(" ", 1) for line in settings["spark.properties"].splitlines() if line.strip()
        )
        assert here.keys() - stated.keys() == {"spark.kubernetes.driver.pod.name"}
        del stated["spark.kubernetes.authenticate.caCertFile"]
        properties = folder / "spark.properties"
        properties.write_text("".join(f"{k} {v}\n" for k, v in (stated | here).items()))
        log = folder / "spark.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", ENTRYPOINT, "connect", "--properties-file", properties],
                cwd=folder,
                env={
                    "PATH": os.environ["PATH"],
                    "SPARK_HOME": str(SPARK_HOME),
                    "SPARK_SCALA_VERSION": "2.13",
                },
                stdout=output,
                stderr=output,
            )
        try:
            end = time.monotonic() + 300
            while len(api.executors()) < 2 or not answers(port):
                assert process.poll() is None and time.monotonic() < end, log.read_text()[-4000:]
                time.sleep(0.2)
            yield api, f"sc://127.0.0.1:{port}", log
        finally:
            process.terminate()
            process.wait(120)
    assert api.executors() == [], "Executors end with their server."
    assert api.refused == set(), f"Spark asks for more than its Role: {api.refused}"


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def as_a_node_would(pod: Manifest, folder: Path) -> subprocess.Popen[bytes]:
    """Runs an executor's pod: the entry point of its image, with the pod's own environment."""
    (container,) = pod["spec"]["containers"]
    env = {each["name"]: each.get("value", "127.0.0.1") for each in container["env"]}
    env["SPARK_EXECUTOR_POD_NAME"] = pod["metadata"]["name"]
    # What is a file of the image's or of a volume's is one of this machine's; and it is smaller.
    env |= {
        "SPARK_HOME": str(SPARK_HOME),
        "SPARK_CLASSPATH": str(JARS),
        "SPARK_LOCAL_DIRS": str(folder),
        "SPARK_EXECUTOR_MEMORY": "512m",
        "PATH": os.environ["PATH"],
    }
    with (folder / "executor.log").open("wb") as log:
        return subprocess.Popen(
            ["bash", ENTRYPOINT, *container["args"]], cwd=folder, env=env, stdout=log, stderr=log
        )


@pytest.mark.slow
def test_spark_asks_for_executors_as_the_chart_says(server: tuple[SparkApi, str, Path]) -> None:
    api, _, _ = server
    for pod in api.executors():
        spec = pod["spec"]
        stated = {k: v for k, v in pod.items() if k != "status"}
        assert violations(stated) == []
        (container,) = spec["containers"]
        assert spec["serviceAccountName"] == "spark-connect-executor"
        assert spec["automountServiceAccountToken"] is False
        assert spec["nodeSelector"] == {"feira/nodes": "spark"}
        assert spec["tolerations"][0]["key"] == "feira/nodes"
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["args"] == ["executor"]
        assert container["image"] == "registry.example.com/feira/spark:0.1.0"
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        asked = container["resources"]
        assert asked["requests"]["cpu"] == "3500m"
        assert asked["requests"]["memory"] == asked["limits"]["memory"] == f"{13 * 1024}Mi"
        assert asked["requests"]["ephemeral-storage"] == "40Gi"
        mounts = {each["mountPath"] for each in container["volumeMounts"]}
        assert {"/tmp", "/var/lib/spark"} <= mounts
        (owner,) = pod["metadata"]["ownerReferences"]
        assert owner["name"] == "spark-connect-0"
        # What a node runs before it stops the pod is in the image.
        (script,) = container["lifecycle"]["preStop"]["exec"]["command"]
        dockerfile = (REPOSITORY / "infra" / "images" / "Dockerfile").read_text()
        assert f"COPY infra/images/decommission.sh {script}\n" in dockerfile


@pytest.mark.slow
def test_an_executors_pod_does_the_work(server: tuple[SparkApi, str, Path], tmp_path: Path) -> None:
    from feira_spark.core.session import connect

    api, url, _ = server
    executor = as_a_node_would(api.executors()[0], tmp_path)
    try:
        spark = connect(url)
        # It shuffles, and there is nobody but this executor to do it.
        keys = spark.range(0, 1000, 1, 8).selectExpr("id % 10 as k")
        rows = keys.groupBy("k").count().collect()
        assert sorted(row["count"] for row in rows) == [100] * 10
        spark.stop()
        assert executor.poll() is None, (tmp_path / "executor.log").read_text()[-2000:]
    finally:
        executor.terminate()
        executor.wait(60)
