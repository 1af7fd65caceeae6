"""Kafka on a laptop: one broker with its topics, and the connection that leads to it."""

from __future__ import annotations

import base64
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from feira_local.stack.config import HOST, StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.jars import JarSet
from feira_local.stack.java import java_command
from feira_local.stack.local_parts import LocalPart, local_parts
from feira_local.stack.secrets import Secrets, write_private
from feira_local.stack.service import CompletionCheck, Link, Service, TcpCheck

HEAP = "512m"
# Of its folder, which it runs in: Kafka splits a list of folders at the commas of a path.
DATA = "data"
PROPERTIES = "server.properties"


def services(config: StackConfig) -> tuple[Service, ...]:
    """The broker, and the step that makes its topics."""
    port, controller = config.ports.own["kafka"], config.ports.own["kafka_controller"]
    package = Path(__file__).parent
    return (
        Service(
            name="kafka",
            label="storage",
            description="Kafka broker (KRaft), which holds the web shop's events",
            command=(*_java(config), "kafka.Kafka", PROPERTIES),
            cwd=_folder(config),
            health=TcpCheck(HOST, port),
            ports=(port, controller),
            links=(Link("Kafka", bootstrap(config)),),
            code=(Path(__file__), package / "log4j2.properties"),
            prepare=prepare,
        ),
        Service(
            name="kafka-topics",
            label="storage",
            description="The topics of the pipelines",
            kind="step",
            command=(sys.executable, "-m", "feira_local.kafka.topics", bootstrap(config)),
            cwd=_folder(config),
            health=CompletionCheck(),
            depends_on=("kafka",),
            code=(
                package / "topics.py",
                *(package.parent / it.name / "local.py" for it in local_parts() if it.topics),
            ),
        ),
    )


def bootstrap(config: StackConfig) -> str:
    """Where a client begins: the broker's address."""
    return f"{HOST}:{config.ports.own['kafka']}"


def connections(config: StackConfig) -> dict[str, dict[str, Any]]:
    """`kafka_default`, whose extra is the configuration of librdkafka."""
    extra = {"bootstrap.servers": bootstrap(config), "group.id": "feira"}
    return {"kafka_default": {"conn_type": "kafka", "extra": extra}}


def properties(config: StackConfig) -> dict[str, str]:
    """The broker's settings."""
    client = f"PLAINTEXT://{bootstrap(config)}"
    controller = f"{HOST}:{config.ports.own['kafka_controller']}"
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"{client},CONTROLLER://{controller}",
        "advertised.listeners": client,
        "log.dirs": DATA,
        # A topic with a typing error in its name is an error, not a topic.
        "auto.create.topics.enable": "false",
        # By the time of its message: a replayed day of 2010 would be gone at once.
        "log.retention.ms": "-1",
        **dict.fromkeys(
            (
                "offsets.topic.replication.factor",
                "transaction.state.log.replication.factor",
                "transaction.state.log.min.isr",
                "share.coordinator.state.topic.replication.factor",
                "share.coordinator.state.topic.min.isr",
            ),
            "1",
        ),
    }


def prepare(config: StackConfig, secrets: Secrets) -> None:
    """Writes the broker's settings and, the first time, formats its folder."""
    folder = _folder(config)
    folder.mkdir(exist_ok=True)
    write_private(
        folder / PROPERTIES,
        "".join(f"{name}={value}\n" for name, value in properties(config).items()),
    )
    if (folder / DATA / "meta.properties").is_file():
        return
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    ended = subprocess.run(
        [
            *(*_java(config), "kafka.tools.StorageTool", "format"),
            # A start that was killed may have begun it.
            "--ignore-formatted",
            # One of 64 begins with a dash: as a word of its own it is read as another option.
            *(f"--cluster-id={cluster}", "--config", PROPERTIES),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        raise StackError(
            f"Kafka's folder {folder / DATA} could not be formatted: "
            f"{(ended.stderr or ended.stdout).strip()}"
        )


def _folder(config: StackConfig) -> Path:
    return config.home / "kafka"


def _java(config: StackConfig) -> tuple[str, ...]:
    log4j = Path(__file__).parent / "log4j2.properties"
    return (
        java_command(),
        f"-Xmx{HEAP}",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        # As a URI: log4j splits a path at its commas.
        f"-Dlog4j2.configurationFile={log4j.as_uri()}",
        *("-cp", f"{config.jars}/kafka/*"),
    )


LOCAL = LocalPart(
    "kafka",
    ports={"kafka": 19092, "kafka_controller": 19093},
    services=services,
    connections=connections,
    jars=(
        JarSet(
            "kafka",
            roots=(
                "org.apache.kafka:kafka_2.13:4.3.1",
                "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",  # else it logs nothing
            ),
        ),
    ),
)
