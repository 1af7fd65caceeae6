"""Every service of the stack, defined once: what runs, where, after what, and when it is healthy.

The `feira` command reads this list, and so may any other runner (``feira services --json``).
Redis and Kafka join as further entries.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from feira_local.stack import airflow, postgres, s3, spark
from feira_local.stack.config import HOST, StackConfig
from feira_local.stack.secrets import Secrets


@dataclass(frozen=True)
class HttpCheck:
    """Healthy when ``url`` answers with one of ``statuses``.

    With ``component``, the answer is Airflow's health report, in which that component must be
    healthy with a heartbeat younger than its process.
    """

    url: str
    statuses: tuple[int, ...] = (200,)
    component: str | None = None
    kind: Literal["http"] = "http"


@dataclass(frozen=True)
class TcpCheck:
    """Healthy when the port takes a connection."""

    host: str
    port: int
    kind: Literal["tcp"] = "tcp"


@dataclass(frozen=True)
class CommandCheck:
    """Healthy when the command ends with 0."""

    command: tuple[str, ...]
    kind: Literal["command"] = "command"


@dataclass(frozen=True)
class CompletionCheck:
    """For a step: done when its process ended with 0."""

    kind: Literal["completion"] = "completion"


Check = HttpCheck | TcpCheck | CommandCheck | CompletionCheck


@dataclass(frozen=True)
class Link:
    title: str
    url: str


@dataclass(frozen=True)
class Service:
    """One process that the stack runs.

    A ``service`` stays up, a ``step`` ends before what depends on it starts, and an ``afterwards``
    is started once everything is healthy and nobody waits for it.
    """

    name: str
    label: str
    description: str
    command: tuple[str, ...]
    cwd: Path
    health: Check
    kind: Literal["service", "step", "afterwards"] = "service"
    depends_on: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    private_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    ports: tuple[int, ...] = ()
    links: tuple[Link, ...] = ()
    stop_signal: str = "TERM"
    # PostgreSQL's postmaster tells its children itself, and some take the same signal otherwise.
    stop_group: bool = True
    as_server_user: bool = False
    prepare: Callable[[StackConfig, Secrets], None] | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, object]:
        """What another runner needs, without secrets: their names only."""
        check = {key: value for key, value in vars(self.health).items() if value is not None}
        return {
            "name": self.name,
            "kind": self.kind,
            "label": self.label,
            "description": self.description,
            # The launcher adds the private environment and prepares what the command reads.
            "command": list(launcher(self.name)),
            "runs": list(self.command),
            "cwd": str(self.cwd),
            "depends_on": list(self.depends_on),
            "env": dict(self.env),
            "private_env": sorted(self.private_env),
            "health": check,
            "ports": list(self.ports),
            "links": [vars(link) for link in self.links],
            "stop_signal": self.stop_signal,
        }


def launcher(name: str) -> tuple[str, ...]:
    """The command that a supervisor runs for a service: it carries no secret."""
    return (sys.executable, "-m", "feira_local.stack.launch", name)


def services(config: StackConfig, secrets: Secrets) -> tuple[Service, ...]:
    """The stack's services, each after what it depends on.

    Where ``connections.yaml`` names another lake there is no S3 server.
    """
    lake_settings = config.lake_settings(secrets)
    lake = lake_settings.to_env()
    own_s3 = lake_settings.endpoint == config.s3_url
    python = (sys.executable, "-m")
    airflow_env = airflow.settings(config)
    airflow_private = airflow.private_settings(config, secrets)
    monitor = f"{config.airflow_url}/api/v2/monitor/health"
    health_path = str(config.home)

    def airflow_service(
        name: str, description: str, component: str, *arguments: str, preload: bool = False
    ) -> Service:
        return Service(
            name=name,
            label="airflow",
            description=description,
            command=airflow.command(*arguments),
            cwd=config.airflow,
            health=HttpCheck(monitor, component=component),
            depends_on=("airflow-migrate",),
            env=airflow_env | ({"PYTHONPATH": str(airflow.PRELOAD)} if preload else {}),
            private_env=airflow_private,
        )

    defined = (
        Service(
            name="postgres",
            label="storage",
            description="PostgreSQL 18: Airflow's metadata, the Iceberg catalog, the warehouse",
            command=tuple(postgres.server_command(config.postgres / "data", config.ports.postgres)),
            cwd=Path("/"),
            health=CommandCheck(
                (
                    postgres.binary("pg_isready"),
                    *("-q", "-t", "2", "-h", HOST, "-p", str(config.ports.postgres)),
                )
            ),
            ports=(config.ports.postgres,),
            links=(
                Link("warehouse", f"postgresql://reader@{HOST}:{config.ports.postgres}/warehouse"),
            ),
            stop_signal="INT",  # a fast shutdown: TERM would wait for every client to leave
            stop_group=False,
            as_server_user=True,
            prepare=lambda config, secrets: postgres.initialise(
                config.postgres / "data", secrets.postgres_superuser
            ),
        ),
        Service(
            name="s3",
            label="storage",
            description=f"S3 server (S3Proxy), its files under {health_path}/lake",
            command=s3.command(config),
            cwd=config.run,
            # Without a key the server refuses, which it can only do when it is up.
            health=HttpCheck(f"{config.s3_url}/", statuses=(200, 403)),
            ports=(config.ports.s3,),
            links=(Link("S3 endpoint", config.s3_url),),
            prepare=s3.prepare,
        ),
        Service(
            name="shop",
            label="source",
            description="The shop's API, simulated",
            command=(
                *python,
                "feira_local.shop",
                *("--host", HOST, "--port", str(config.ports.shop)),
                *("--source", "replay" if config.shop.data else "generated"),
                *(("--data", str(config.shop.data)) if config.shop.data else ()),
                *("--seed", str(config.shop.seed)),
                *("--lines-per-day", str(config.shop.lines)),
                *("--state", str(config.home / "shop")),
            ),
            cwd=config.home,
            health=HttpCheck(f"{config.shop_url}/health"),
            ports=(config.ports.shop,),
            links=(Link("shop API", f"{config.shop_url}/docs"),),
        ),
        Service(
            name="inbox",
            label="inbox",
            description=f"Takes mail and Slack messages, and keeps them under {health_path}/inbox",
            command=(
                *python,
                "feira_local.inbox",
                *("--host", HOST, "--port", str(config.ports.inbox)),
                *("--smtp-port", str(config.ports.smtp)),
                *("--store", str(config.home / "inbox")),
            ),
            cwd=config.home,
            health=HttpCheck(f"{config.inbox_url}/health"),
            ports=(config.ports.inbox, config.ports.smtp),
            links=(Link("mail and Slack inbox", config.inbox_url),),
        ),
        Service(
            name="databases",
            label="storage",
            description="Databases, roles, schemas and privileges in PostgreSQL",
            kind="step",
            command=(*python, "feira_local.stack.steps", "databases"),
            cwd=config.home,
            health=CompletionCheck(),
            depends_on=("postgres",),
            env={"FEIRA_HOME": str(config.home)},
        ),
        Service(
            name="spark",
            label="compute",
            description="Spark Connect server with the Iceberg catalog `lake`",
            command=spark.command(config),
            cwd=config.spark,
            health=TcpCheck(HOST, config.ports.spark),
            depends_on=("databases", "s3") if own_s3 else ("databases",),
            env=spark.environment(config),
            ports=(config.ports.spark,),
            links=(Link("Spark Connect", config.spark_url),),
            prepare=spark.prepare,
        ),
        Service(
            name="airflow-migrate",
            label="airflow",
            description="Airflow's metadata schema and pools, brought to this version's",
            kind="step",
            command=(*python, "feira_local.stack.steps", "airflow-migrate"),
            cwd=config.airflow,
            health=CompletionCheck(),
            depends_on=("databases",),
            env=airflow_env,
            private_env=airflow_private,
        ),
        Service(
            name="airflow-api",
            label="airflow",
            description="Airflow's web interface, REST API and the tasks' API",
            command=airflow.command("api-server"),
            cwd=config.airflow,
            health=HttpCheck(monitor),
            depends_on=("airflow-migrate",),
            env=airflow_env,
            private_env=airflow_private,
            ports=(config.ports.airflow,),
            links=(Link("Airflow", config.airflow_url),),
            prepare=airflow.prepare,
        ),
        airflow_service(
            "airflow-scheduler",
            "Airflow's scheduler and its task processes",
            "scheduler",
            *("scheduler", "--skip-serve-logs"),
            preload=True,
        ),
        airflow_service(
            "airflow-dag-processor",
            "Reads the DAG files",
            "dag_processor",
            "dag-processor",
        ),
        airflow_service(
            "airflow-triggerer",
            "Waits for what deferred tasks wait for",
            "triggerer",
            *("triggerer", "--skip-serve-logs"),
        ),
        Service(
            name="spark-warmup",
            label="compute",
            description="One MERGE on a scratch table, so that the first run does not pay for it",
            kind="afterwards",
            command=(*python, "feira_local.stack.steps", "spark-warmup"),
            cwd=config.home,
            health=CompletionCheck(),
            depends_on=("spark",),
            env={"FEIRA_HOME": str(config.home)},
            private_env=lake,
        ),
    )
    return tuple(service for service in defined if own_s3 or service.name != "s3")


def by_name(defined: Iterable[Service]) -> dict[str, Service]:
    return {service.name: service for service in defined}
