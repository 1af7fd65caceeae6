"""Every service of the stack, defined once: what runs, where, after what, and when it is healthy.

The `feira` command reads this list, and so may any other runner (``feira services --json``). Here are
those that every pipeline shares; what a pipeline needs for itself stands in its ``local.py``.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from feira_local.stack import airflow, lineage, postgres, s3, spark
from feira_local.stack.config import HOST, StackConfig, WarehouseOn
from feira_local.stack.errors import StackError
from feira_local.stack.secrets import Secrets
from feira_local.stack.service import (
    CommandCheck,
    CompletionCheck,
    HttpCheck,
    Link,
    Service,
    TcpCheck,
)


def services(config: StackConfig, secrets: Secrets) -> tuple[Service, ...]:
    """The stack's services, each after what it depends on.

    Where ``connections.yaml`` names another lake there is no S3 server.
    """
    lake = config.lake_settings(secrets)
    own_s3 = lake.endpoint == config.s3_url
    python = (sys.executable, "-m")
    packages = Path(__file__).parents[1]
    pipelines = config.repository / "airflow" / "src" / "feira_airflow"
    provider = config.repository / "airflow" / "provider" / "src" / "feira_provider"
    xcom = pipelines / "core" / "xcom.py"
    core = config.repository / "shared" / "src" / "feira" / "core"
    monitor = f"{config.airflow_url}/api/v2/monitor/health"

    airflow_service = partial(
        Service,
        label="airflow",
        cwd=config.airflow,
        depends_on=("airflow-migrate",),
        env=airflow.settings(config),
        private_env=airflow.private_settings(config, secrets),
    )
    step = (*python, "feira_local.stack.steps")
    cluster = spark.cluster(config)
    home = {"FEIRA_HOME": str(config.home)}

    comet = (
        Service(
            name="spark-comet",
            label="compute",
            description="A query whose plan must have Comet in it: where it cannot start, Spark works without it",
            kind="step",
            command=(*step, "spark-comet"),
            cwd=config.home,
            health=CompletionCheck(),
            depends_on=("spark",),
            env=home,
        ),
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
                    *("-q", "-t", "15", "-h", HOST, "-p", str(config.ports.postgres)),
                )
            ),
            ports=(config.ports.postgres,),
            links=()
            if config.warehouse_on is WarehouseOn.REDSHIFT
            else (
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
            description=f"S3 server (S3Proxy), its files under {config.home}/lake",
            command=s3.command(config),
            cwd=config.run,
            # Without a key the server refuses, which it can only do when it is up.
            health=HttpCheck(f"{config.s3_url}/", statuses=(200, 403)),
            ports=(config.ports.s3,),
            links=(Link("S3 endpoint", config.s3_url),),
            prepare=s3.prepare,
        ),
        Service(
            name="inbox",
            label="inbox",
            description=f"Takes mail, Slack messages and lineage; keeps messages under {config.home}/inbox",
            command=(
                *python,
                "feira_local.inbox",
                *("--host", HOST, "--port", str(config.ports.inbox)),
                *("--smtp-port", str(config.ports.smtp)),
                *("--store", str(config.home / "inbox")),
                *("--lineage", str(lineage.events_file(config))),
            ),
            cwd=config.home,
            health=HttpCheck(f"{config.inbox_url}/health"),
            ports=(config.ports.inbox, config.ports.smtp),
            links=(Link("mail and Slack inbox", config.inbox_url),),
            # And the one module of ours that it imports.
            code=(packages / "inbox", core / "lineage_event.py"),
        ),
        Service(
            name="databases",
            label="storage",
            description="Databases, roles, schemas and privileges in PostgreSQL",
            kind="step",
            command=(*step, "databases"),
            cwd=config.home,
            health=CompletionCheck(),
            depends_on=("postgres",),
            env=home,
        ),
        *cluster,
        Service(
            name="spark",
            label="compute",
            description="Spark Connect server with the Iceberg catalog `lake`",
            command=spark.command(config),
            cwd=config.spark,
            health=TcpCheck(HOST, config.ports.spark),
            depends_on=(
                "databases",
                *(("s3",) if own_s3 else ()),
                *(service.name for service in cluster),
            ),
            env=spark.environment(config),
            ports=spark.ports(config),
            links=(
                Link("Spark with Comet" if config.comet else "Spark Connect", config.spark_url),
            ),
            prepare=spark.prepare,
        ),
        *(comet if config.comet else ()),
        airflow_service(
            name="airflow-migrate",
            description="Airflow's metadata schema and pools, brought to this version's",
            kind="step",
            command=(*step, "airflow-migrate"),
            health=CompletionCheck(),
            depends_on=("databases",),
            # Where pools are declared; all else of the pipelines each task reads anew.
            code=(pipelines / "core" / "pools.py", *sorted(pipelines.glob("*/pipeline.py"))),
        ),
        airflow_service(
            name="airflow-api",
            description="Airflow's web interface, REST API and the tasks' API",
            command=airflow.command("api-server"),
            health=HttpCheck(monitor),
            ports=(config.ports.airflow,),
            links=(
                Link("Airflow", config.airflow_url),
                Link("asset graph", f"{config.airflow_url}/assets"),
            ),
            prepare=airflow.prepare,
            # The connection types and the fields of their forms.
            code=(provider / "get_provider_info.py",),
        ),
        airflow_service(
            name="airflow-scheduler",
            description="Airflow's scheduler and its task processes",
            command=airflow.command("scheduler", "--skip-serve-logs"),
            health=HttpCheck(monitor, component="scheduler"),
            env=airflow.settings(config) | {"PYTHONPATH": str(airflow.PRELOAD)},
            # The one module of ours that it imports, and that its tasks are forked with.
            code=(xcom,),
        ),
        airflow_service(
            name="airflow-dag-processor",
            description="Reads the DAG files",
            command=airflow.command("dag-processor"),
            health=HttpCheck(monitor, component="dag_processor"),
        ),
        airflow_service(
            name="airflow-triggerer",
            description="Waits for what deferred tasks wait for",
            command=airflow.command("triggerer", "--skip-serve-logs"),
            health=HttpCheck(monitor, component="triggerer"),
            # Triggers, and the notifiers of deadlines, run in it, with what they import of the core;
            # and it imports the XCom backend, as the scheduler does.
            code=(provider, core, xcom),
        ),
        Service(
            name="spark-warmup",
            label="compute",
            description="One MERGE on a scratch table, so that the first run does not pay for it",
            kind="afterwards",
            command=(*step, "spark-warmup"),
            cwd=config.home,
            health=CompletionCheck(),
            depends_on=("spark",),
            env=home,
            private_env=lake.to_env(),
        ),
    )
    own = tuple(service for service in defined if own_s3 or service.name != "s3")
    parts = tuple(
        # Unless it says otherwise, a part's service runs the part's own code.
        replace(service, code=(packages / part.name,)) if service.code is None else service
        for part in config.parts
        for service in part.services(config)
    )
    return require_apart(own, parts)


def require_apart(own: tuple[Service, ...], parts: tuple[Service, ...]) -> tuple[Service, ...]:
    """All of them; raises StackError where two have one name."""
    seen: set[str] = set()
    for service in (*own, *parts):
        if service.name in seen:
            raise StackError(f"Two services are named {service.name}; rename one in its local.py.")
        seen.add(service.name)
    return (*own, *parts)
