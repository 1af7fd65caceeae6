"""The Spark Connect server with the lake's catalog, and for who asks for it the cluster that works for it: a
standalone master and two workers. All are started from the pyspark wheel."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from feira.core.settings import LakeSettings
from feira_local.stack import lineage
from feira_local.stack.config import HOST, SparkOn, StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.ivy import pyspark_jars
from feira_local.stack.secrets import Secrets, write_private
from feira_local.stack.service import HttpCheck, Link, Service

CORES = 2
HEAP = "1792m"
# What monitoring takes of the server's own figures, by Spark's names, without their beginning. Times are in
# milliseconds but for those of CPU, which are in nanoseconds.
METRICS_PATH, METRICS_PREFIX = "/metrics/prometheus", "metrics_spark_driver_"
METRICS = (
    "BlockManager_disk_diskSpaceUsed_MB_Value",
    "BlockManager_memory_maxMem_MB_Value",
    "BlockManager_memory_memUsed_MB_Value",
    "DAGScheduler_job_activeJobs_Value",
    "DAGScheduler_stage_runningStages_Value",
    "DAGScheduler_stage_waitingStages_Value",
    "JVMCPU_jvmCpuTime_Value",
    "LiveListenerBus_queue_appStatus_numDroppedEvents_Count",
    "appStatus_jobs_failedJobs_Count",
    "appStatus_jobs_succeededJobs_Count",
    "appStatus_tasks_completedTasks_Count",
    "appStatus_tasks_failedTasks_Count",
    "executor_cpuTime_Count",
    "executor_diskBytesSpilled_Count",
    "executor_jvmGCTime_Count",
    "executor_runTime_Count",
    "executor_shuffleBytesWritten_Count",
    "executor_shuffleTotalBytesRead_Count",
)
# Of the one executor that a worker has, which has a core; what Spark adds to it is outside.
WORKER_HEAP = "1g"
# Master and workers compute nothing.
_DAEMON_HEAP = "128m"
_DEPLOY = "org.apache.spark.deploy"


def command(config: StackConfig) -> tuple[str, ...]:
    return (
        _spark_class(),
        f"{_DEPLOY}.SparkSubmit",
        *("--properties-file", str(config.run / "spark.properties")),
        *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
        "spark-internal",
    )


def ports(config: StackConfig) -> tuple[int, ...]:
    """Where it listens: for sessions and, where it is watched, for who reads its figures."""
    watched = config.monitoring is not None
    return (config.ports.spark, *([config.ports.own["spark_ui"]] if watched else []))


def _class_path(config: StackConfig) -> str:
    """Of driver and executors: Comet's shuffle is loaded before Spark adds jars of its own accord."""
    sets = ("spark", "comet") if config.comet else ("spark",)
    return os.pathsep.join(f"{config.jars}/{name}/*" for name in sets)


def environment(config: StackConfig) -> dict[str, str]:
    return {
        # In its own folder: Spark splits this list at the commas of a path.
        "SPARK_LOCAL_DIRS": "local",
        "SPARK_HOME": str(pyspark_jars().parent),
        "SPARK_LOCAL_IP": HOST,
        "SPARK_SCALA_VERSION": "2.13",
        # For Python functions inside queries.
        "PYSPARK_PYTHON": sys.executable,
    }


def cluster(config: StackConfig) -> tuple[Service, ...]:
    """The master and the workers; none where the server does the work itself."""
    if config.spark_on is not SparkOn.CLUSTER:
        return ()
    common = (*("--properties-file", str(config.run / "spark-cluster.properties")), "--host", HOST)
    service = partial(
        Service,
        label="compute",
        cwd=config.spark,
        env=environment(config)
        | {
            "SPARK_DAEMON_MEMORY": _DAEMON_HEAP,
            "SPARK_DAEMON_JAVA_OPTS": "-XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError",
        },
    )
    ports = config.ports
    page = f"http://{HOST}:{ports.spark_master_ui}"
    master = service(
        name="spark-master",
        description="Spark's standalone master",
        command=(
            _spark_class(),
            *(f"{_DEPLOY}.master.Master", *common),
            *("--port", str(ports.spark_master), "--webui-port", str(ports.spark_master_ui)),
        ),
        health=HttpCheck(page),
        ports=(ports.spark_master, ports.spark_master_ui),
        links=(Link("Spark cluster", page),),
        prepare=prepare_cluster,
    )
    workers = (
        service(
            name=f"spark-worker-{number}",
            description="A worker of the cluster: one executor of one core",
            command=(
                _spark_class(),
                *(f"{_DEPLOY}.worker.Worker", *common),
                *("--cores", "1", "--memory", WORKER_HEAP, "--webui-port", str(port)),
                *("--work-dir", str(config.spark / f"worker-{number}"), _master_url(config)),
            ),
            health=HttpCheck(f"http://{HOST}:{port}"),
            depends_on=("spark-master",),
            ports=(port,),
        )
        for number, port in enumerate((ports.spark_worker_1, ports.spark_worker_2), 1)
    )
    return (master, *workers)


def _spark_class() -> str:
    return str(pyspark_jars().parent / "bin" / "spark-class")


def _master_url(config: StackConfig) -> str:
    return f"spark://{HOST}:{config.ports.spark_master}"


def properties(config: StackConfig, lake: LakeSettings) -> dict[str, str]:
    """All settings of the server, the lake's secrets included."""
    from feira_spark.core.session import COMET, spark_conf

    return spark_conf(lake, cores=CORES) | {
        "spark.master": f"local[{CORES}]",
        "spark.app.name": "feira",
        "spark.driver.memory": HEAP,
        "spark.driver.extraClassPath": _class_path(config),
        "spark.driver.extraJavaOptions": " ".join(
            (
                _java_options(),
                "-XX:ReservedCodeCacheSize=160m",
                # Hands memory back between runs: a collection of the whole heap once none was
                # needed for that long. The serial collector keeps what a run has made it take.
                "-XX:+UseG1GC",
                "-XX:G1PeriodicGCInterval=15000",
                "-XX:-G1PeriodicGCInvokesConcurrent",
                "-XX:MinHeapFreeRatio=10",
                "-XX:MaxHeapFreeRatio=30",
                # The supervisor starts a new one; a server that limps on does not help.
                "-XX:+ExitOnOutOfMemoryError",
            )
        ),
        "spark.driver.host": HOST,
        "spark.driver.bindAddress": HOST,
        "spark.sql.warehouse.dir": str(config.spark / "warehouse"),
        "spark.connect.grpc.binding.address": HOST,
        "spark.connect.grpc.binding.port": str(config.ports.spark),
        # A query whose client died ends within about the sum of these two, not after minutes.
        "spark.connect.execute.reattachable.senderMaxStreamDuration": "10s",
        "spark.connect.execute.manager.detachedTimeout": "10s",
        "spark.connect.session.manager.defaultSessionTimeout": "30m",
        # Nobody looks at the finished jobs: the UI is off, but where it shows figures to monitoring.
        "spark.ui.retainedJobs": "20",
        "spark.ui.retainedStages": "20",
        "spark.ui.retainedTasks": "500",
        "spark.sql.ui.retainedExecutions": "10",
        "spark.connect.ui.retainedStatements": "20",
        "spark.connect.ui.retainedSessions": "20",
        **(_shown_to_prometheus(config) if config.monitoring is not None else {}),
        **(lineage.spark_properties(config) if config.lineage else {}),
        **(COMET if config.comet else {}),
    }


def _shown_to_prometheus(config: StackConfig) -> dict[str, str]:
    """Figures in the form of Prometheus, which the server shows as a page of its UI."""
    sink = "spark.metrics.conf.*.sink.prometheusServlet"
    return {
        "spark.ui.enabled": "true",
        "spark.ui.port": str(config.ports.own["spark_ui"]),
        # Whoever is on this machine may read it: it ends nothing, and shows no key.
        "spark.ui.killEnabled": "false",
        "spark.redaction.regex": "(?i)secret|password|token|credential|(access|api).?key",
        # Else names have the server's id in them, which is another at each start.
        "spark.metrics.namespace": "spark",
        "spark.metrics.appStatusSource.enabled": "true",
        f"{sink}.class": "org.apache.spark.metrics.sink.PrometheusServlet",
        f"{sink}.path": METRICS_PATH,
    }


def on_cluster(config: StackConfig, secrets: Secrets) -> dict[str, str]:
    """What the server's settings are beside ``properties`` where a cluster works for it."""
    if config.spark_on is not SparkOn.CLUSTER:
        return {}
    return _authenticated(secrets) | {
        "spark.master": _master_url(config),
        "spark.executor.memory": WORKER_HEAP,
        "spark.executor.cores": "1",
        "spark.cores.max": str(CORES),
        "spark.executor.extraClassPath": _class_path(config),
        "spark.executor.extraJavaOptions": " ".join((_java_options(), "-XX:+UseSerialGC")),
    }


# Of operators that Spark has of its own, each of which Comet takes where it works at all.
_COMETS_OWN = ("CometHashAggregate", "CometExchange")


def require_comet(config: StackConfig) -> None:
    """Runs a query that Comet must take, on executors too where there are any.

    Raises StackError where its plan is Spark's own: Comet leaves everything to Spark where it cannot start, and
    says so in the server's log alone.
    """
    from feira_spark.core.session import connect

    session = connect(config.spark_url)
    query = "SELECT k, count(*) FROM VALUES ('a'), ('b'), ('a') AS t(k) GROUP BY k"
    try:
        # What it reads in tables and files; rows of a statement it leaves to Spark otherwise.
        session.conf.set("spark.comet.exec.localTableScan.enabled", "true")
        (plan,) = session.sql(f"EXPLAIN {query}").first() or ("",)
        session.sql(query).collect()
    finally:
        session.stop()
    if missing := [name for name in _COMETS_OWN if name not in plan]:
        raise StackError(
            f"Comet was asked for, and Spark plans a query without {' and '.join(missing)}. Why is in `feira logs "
            f"spark`; without --comet (FEIRA_COMET) the stack starts with Spark alone. The plan:\n{plan}"
        )


def _authenticated(secrets: Secrets) -> dict[str, str]:
    # Who may talk to a master may run anything as its user.
    return {"spark.authenticate": "true", "spark.authenticate.secret": secrets.spark_cluster}


def prepare_cluster(config: StackConfig, secrets: Secrets) -> None:
    """Writes what master and workers read."""
    # A master that is started again by the same supervisor finds its workers and the server there. One of a new
    # stack would wait a minute for those of the old one.
    recovery = config.spark / f"recovery-{os.getppid()}"
    for old in config.spark.glob("recovery-*"):
        if old != recovery:
            shutil.rmtree(old)
    _write(
        config.run / "spark-cluster.properties",
        _authenticated(secrets)
        | {
            "spark.deploy.recoveryMode": "FILESYSTEM",
            "spark.deploy.recoveryDirectory": str(recovery),
            "spark.master.rest.enabled": "false",
            # The pages show; they kill and decommission nothing.
            "spark.ui.killEnabled": "false",
            "spark.master.ui.decommission.allow.mode": "DENY",
            # Each server's start is an application, and leaves its executors' logs.
            "spark.worker.cleanup.enabled": "true",
            "spark.worker.cleanup.appDataTtl": "86400",
        },
    )


def prepare(config: StackConfig, secrets: Secrets) -> None:
    """Writes the properties file for the stack's lake."""
    write_properties(config, config.lake_settings(secrets), on_cluster(config, secrets))


def write_properties(
    config: StackConfig, lake: LakeSettings, others: Mapping[str, str] | None = None
) -> None:
    """Writes the properties file for a lake, with these settings beside it or in its settings' stead; only the
    owner reads it."""
    (config.spark / "local").mkdir(parents=True, exist_ok=True)
    _write(config.run / "spark.properties", properties(config, lake) | dict(others or {}))


def _write(path: Path, settings: Mapping[str, str]) -> None:
    write_private(
        path,
        "".join(
            # A properties file takes a backslash for an escape.
            f"{name} {value.replace(chr(92), chr(92) * 2)}\n"
            for name, value in settings.items()
        ),
    )


def _java_options() -> str:
    from feira_spark.core.session import JVM_OPTIONS

    log4j = Path(__file__).parent / "conf" / "log4j2.properties"
    # As a URI: Spark splits these options at spaces.
    return f"-Duser.timezone=UTC {JVM_OPTIONS} -Dlog4j2.configurationFile={log4j.as_uri()}"
