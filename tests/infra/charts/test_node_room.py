"""What always runs in a place has room on the nodes that always run there, which are those that are priced."""

from __future__ import annotations

import re
from typing import Any

import pytest
from airflow_chart import places
from rendered_charts import PLACES, Manifest, merged, named, pod_specs, released

from terraform_tree import node_gigabytes, node_groups

# vCPU and GiB of an instance type, and pods that it has addresses for.
TYPES = {"t3.xlarge": (4, 16, 58), "m6i.xlarge": (4, 16, 58), "r6i.2xlarge": (8, 64, 58)}
# What EKS's images keep from pods: of memory also what the machine itself takes, for which Karpenter reckons 7.5 %.
EVICTION = 100 / 1024
# What each node runs for the cluster (network, proxy, volumes), and what one node does (names, volumes' controller).
# ArgoCD's and the autoscaler's manifests ask for nothing; the second has a GiB for what they take.
ON_EACH_NODE = (0.2, 0.25)
ON_ONE_NODE = {"system a": (0.25, 1.0), "system b": (0.25, 1.0)}
Room = tuple[float, float]


def allocatable(instance_type: str) -> Room:
    """CPUs and GiB of a node that pods may ask for."""
    cpus, memory, most_pods = TYPES[instance_type]
    kept = 0.06 + 0.01 + 0.005 * min(2, cpus - 2) + 0.0025 * max(0, cpus - 4)
    kept_memory = (255 + 11 * most_pods) / 1024 + EVICTION
    each = ON_EACH_NODE
    return cpus - kept - each[0], memory * 0.925 - kept_memory - each[1]


def number(quantity: Any) -> float:
    """Of Kubernetes' way to write CPUs and bytes: CPUs and GiB."""
    written = re.fullmatch(r"([\d.]+)(m|Mi|Gi|)", str(quantity))
    assert written, quantity
    return float(written[1]) * {"m": 1 / 1000, "Mi": 1 / 1024, "Gi": 1, "": 1}[written[2]]


def asked(*resources: Manifest) -> Room:
    """The sum of what containers request."""
    requests = [each["requests"] for each in resources]
    return sum(number(r["cpu"]) for r in requests), sum(number(r["memory"]) for r in requests)


def always(place: str, airflow: dict[str, Any]) -> dict[str, Room]:
    """What each pod that always runs asks for; and a job, of which one runs at a time."""
    kinds = []
    for _, chart, made in released(place):
        for owner, spec in pod_specs(made).items():
            kind, name = owner.split("/")
            if kind == "Deployment":
                replicas = named(made, kind, name)["spec"]["replicas"]
                kinds.append(
                    (chart, replicas, asked(*(c["resources"] for c in spec["containers"])))
                )
    for part in ("scheduler", "triggerer", "dagProcessor", "apiServer"):
        kinds.append((part, airflow[part]["replicas"], asked(airflow[part]["resources"])))
    kinds.append(("a job", 1, asked(airflow["migrateDatabaseJob"]["resources"])))
    pods = {f"{name} {n}": room for name, replicas, room in kinds for n in range(replicas)}
    return pods | ON_ONE_NODE


def left_out(pods: dict[str, Room], nodes: int, instance_type: str) -> list[str]:
    """Pods that find no node, the largest being placed first."""
    room = [allocatable(instance_type)] * nodes
    found = []
    for name, (cpu, memory) in sorted(pods.items(), key=lambda pod: pod[1], reverse=True):
        for index, (cpus, gib) in enumerate(room):
            if cpu <= cpus and memory <= gib:
                room[index] = (cpus - cpu, gib - memory)
                break
        else:
            found.append(name)
    return found


def executors(place: str) -> tuple[dict[str, str], Manifest]:
    """Spark's settings, and what its executors are made from."""
    (made,) = (made for _, chart, made in released(place) if chart == "spark-connect")
    text = named(made, "ConfigMap", "spark-connect")["data"]["spark.properties"]
    settings = dict(line.split(maxsplit=1) for line in text.splitlines() if line)
    return settings, pod_specs(made)["Pod/executor"]


@pytest.mark.parametrize("place", ["dev", "prod"])
def test_what_always_runs_has_room_on_the_nodes_that_always_run(place: str) -> None:
    instance_type, least = node_groups(place)["platform"]
    pods = always(place, places()[place][1])
    assert {"spark-connect 0", "serving 1", "scheduler 0", "triggerer 0", "a job 0"} < pods.keys()
    assert left_out(pods, least, instance_type) == []
    # No node too many: it would be paid for.
    assert left_out(pods, least - 1, instance_type)


def test_a_part_that_asks_for_more_is_noticed() -> None:
    _, airflow = places()["prod"]
    more = merged(airflow, {"scheduler": {"replicas": airflow["scheduler"]["replicas"] + 1}})
    instance_type, least = node_groups("prod")["platform"]
    assert left_out(always("prod", more), least, instance_type)


@pytest.mark.parametrize("place", ["dev", "prod"])
def test_executors_fit_the_nodes_that_come_for_them(place: str) -> None:
    properties, spec = executors(place)
    cpu = number(properties["spark.kubernetes.executor.request.cores"])
    memory = sum(
        int(properties[f"spark.executor.{name}"][:-1]) for name in ("memory", "memoryOverhead")
    )
    (container,) = spec["containers"]
    disk = number(container["resources"]["requests"]["ephemeral-storage"])
    instance_type, least = node_groups(place)["spark"]
    cpus, gib = allocatable(instance_type)
    on_a_node = min(int(cpus / cpu), int(gib / memory))
    assert on_a_node == {"m6i.xlarge": 1, "r6i.2xlarge": 2}[instance_type]
    assert on_a_node * disk <= node_gigabytes("for_pods")
    # An executor that stays keeps a node, of which docs/deploy.md counts hours alone.
    assert least == 0


@pytest.mark.parametrize("place", PLACES)
def test_no_executor_stays(place: str) -> None:
    properties, _ = executors(place)
    assert properties["spark.dynamicAllocation.minExecutors"] == "0"
    assert properties["spark.dynamicAllocation.initialExecutors"] == "0"
