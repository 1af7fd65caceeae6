"""Airflow's settings and connections on the local stack."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from feira.monitoring.airflow_metrics import allow_list
from feira_local.stack import lineage
from feira_local.stack.config import BUCKET, HOST, REGION, StackConfig
from feira_local.stack.own_connections import connections_of_parts, variables_of
from feira_local.stack.secrets import Secrets, write_private

ADMIN = "admin"
MONITOR = "monitor"
# Who logs in, and as what of Airflow's roles. An operator runs, clears and pauses, and sees no connection and no
# variable: that is `user`, for of SimpleAuthManager's `op` nothing is withheld that `admin` has. The monitor is a
# program.
USERS = {ADMIN: "admin", "operator": "user", "viewer": "viewer", MONITOR: "viewer"}
PEOPLE = tuple(user for user in USERS if user != MONITOR)
PRELOAD = Path(__file__).parent / "preload"


def command(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "airflow", *arguments)


def settings(config: StackConfig) -> dict[str, str]:
    """Airflow's configuration without secrets. DAGs have no clock here, so they start unpaused."""
    sections: dict[str, dict[str, object]] = {
        "core": {
            "dags_folder": config.repository / "airflow" / "dags",
            "plugins_folder": config.repository / "airflow" / "plugins",
            "executor": "LocalExecutor",
            "parallelism": 4,
            "max_active_tasks_per_dag": 4,
            "xcom_backend": "feira_airflow.core.xcom.PathOnlyXCom",
            "load_examples": False,
            "dags_are_paused_at_creation": False,
            "default_timezone": "utc",
            "default_task_retry_delay": 5,
            "killed_task_cleanup_time": 10,
            "hostname_callable": "socket.gethostname",
            "execution_api_server_url": f"{config.airflow_url}/execution/",
            "auth_manager": (
                "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
            ),
            "simple_auth_manager_users": ",".join(f"{user}:{role}" for user, role in USERS.items()),
            "simple_auth_manager_passwords_file": passwords_file(config),
        },
        "database": {
            "sql_alchemy_pool_size": 3,
            "sql_alchemy_max_overflow": 10,
        },
        "api": {
            "host": HOST,
            "port": config.ports.airflow,
            "base_url": config.airflow_url,
            "workers": 1,
            "instance_name": "Feira",
        },
        "scheduler": {
            # A round takes 20 to 40 ms of CPU. At 0.1 s the rounds are two thirds of what an idle stack costs, and take
            # from a day's tasks as much as they spare it in waiting.
            "scheduler_idle_sleep_time": 0.25,
            # A killed task is seen after at most 18 + 3 seconds and retried 5 later: within 30.
            "task_instance_heartbeat_sec": 4,
            "task_instance_heartbeat_timeout": 18,
            "task_instance_heartbeat_timeout_detection_interval": 3,
            # A killed scheduler's queued tasks are taken over as quickly.
            "scheduler_health_check_threshold": 15,
            "orphaned_tasks_check_interval": 15,
            "catchup_by_default": False,
        },
        "workers": {"min_heartbeat_interval": 4},
        "dag_processor": {
            "parsing_processes": 1,
            "refresh_interval": 5,
            "min_file_process_interval": 60,
            "dag_bundle_config_list": json.dumps(_bundles(config)),
        },
        "logging": {"base_log_folder": config.airflow / "logs"},
        "usage_data_collection": {"enabled": False},
    }
    if config.lineage:
        sections["openlineage"] = lineage.airflow_settings()
    if config.monitoring is not None:
        sections["metrics"] = {
            "otel_on": True,
            "legacy_names_on": False,
            "metrics_allow_list": allow_list(),
        }
    pairs = {
        f"AIRFLOW__{section.upper()}__{name.upper()}": str(value)
        for section, values in sections.items()
        for name, value in values.items()
    }
    if config.monitoring is not None:
        pairs |= {
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"http://{HOST}:{config.ports.own['otlp']}/v1/metrics",
            # What a process counted is sent once, and no sum of ended ones need be known.
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
            "OTEL_METRIC_EXPORT_INTERVAL": "60000",
            # An exporter that is away must not hold up the end of a task.
            "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "2",
        }
    pairs["AIRFLOW_HOME"] = str(config.airflow)
    # The report's chart keeps its list of fonts there, and not in a home folder that may not be writable.
    pairs["MPLCONFIGDIR"] = str(config.airflow / "matplotlib")
    pairs["FEIRA_HOME"] = str(config.home)
    pairs["FEIRA_CLOCK"] = "on" if config.clock else "off"
    # On a laptop somebody is waiting: what failed is tried again in seconds.
    pairs["FEIRA_RETRY_DELAY"] = "3"
    # All that tasks talk to is loopback, and Slack's client asks a proxy for that whatever NO_PROXY names.
    pairs |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "")
    if sys.platform == "darwin":
        # Forked tasks that look up a proxy crash on macOS otherwise.
        pairs |= {"OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES", "no_proxy": "*"}
    return pairs


def _bundles(config: StackConfig) -> list[dict[str, object]]:
    """The folders that DAGs are read from: the repository's, and the one that was asked for."""
    folders = {"dags-folder": config.repository / "airflow" / "dags", "extra": config.extra_dags}
    return [
        {
            "name": name,
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(folder)},
        }
        for name, folder in folders.items()
        if folder is not None
    ]


def private_settings(config: StackConfig, secrets: Secrets) -> dict[str, str]:
    """The settings that hold a secret, the connections and the lake's settings among them."""
    database = (
        f"postgresql+psycopg2://airflow:{secrets.postgres_airflow}"
        f"@{HOST}:{config.ports.postgres}/airflow"
    )
    return {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__CORE__FERNET_KEY": secrets.airflow_fernet_key,
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.airflow_jwt_secret,
        "AIRFLOW__API__SECRET_KEY": secrets.airflow_api_secret,
        **connections(config, secrets),
        **config.lake_settings(secrets).to_env(),
    }


def connections(config: StackConfig, secrets: Secrets) -> dict[str, str]:
    """``AIRFLOW_CONN_*`` as JSON: what a production deployment keeps in its secrets backend.

    Those of ``connections.yaml`` replace the stack's own, or join them.
    """
    port = config.ports.postgres

    def postgres(user: str, password: str, database: str) -> dict[str, object]:
        return {
            "conn_type": "postgres",
            "host": HOST,
            "port": port,
            "login": user,
            "password": password,
            "schema": database,
        }

    described: dict[str, dict[str, object]] = {
        "lake_default": {
            "conn_type": "aws",
            "login": secrets.s3_access_key,
            "password": secrets.s3_secret_key,
            "extra": {
                "endpoint_url": config.s3_url,
                "region_name": REGION,
                "config_kwargs": {"s3": {"addressing_style": "path"}},
                "service_config": {"s3": {"bucket_name": BUCKET}},
            },
        },
        "spark_default": {
            "conn_type": "spark_connect",
            "host": f"sc://{HOST}",
            "port": config.ports.spark,
        },
        "warehouse_default": postgres(
            "warehouse_loader", secrets.postgres_warehouse_loader, "warehouse"
        ),
        "warehouse_reader": postgres("reader", secrets.postgres_reader, "warehouse"),
        "warehouse_dbt": postgres("dbt", secrets.postgres_dbt, "warehouse"),
        "smtp_default": {
            "conn_type": "smtp",
            "host": HOST,
            "port": config.ports.smtp,
            "extra": {
                "from_email": "Feira <feira@inbox.invalid>",
                "to_email": ["sales-data@inbox.invalid"],
                "disable_ssl": True,
                "disable_tls": True,
                "timeout": 10,
            },
        },
        "slack_default": {
            "conn_type": "slackwebhook",
            "host": f"{config.inbox_url}/slack",
            # The hook asks for a token; the inbox takes any.
            "password": "inbox",
        },
    }
    if config.lineage:
        described[lineage.CONNECTION] = lineage.connection(config)
    return variables_of(described | connections_of_parts(config))


def passwords_file(config: StackConfig) -> Path:
    return config.airflow / "passwords.json"


def prepare(config: StackConfig, secrets: Secrets) -> None:
    """Writes the users' passwords where SimpleAuthManager reads them: it would make one for a user that has none,
    and log it."""
    passwords = {user: secrets.by_name()[f"airflow_{user}"] for user in USERS}
    write_private(passwords_file(config), json.dumps(passwords) + "\n")
