"""A warehouse that is Redshift, for who asks for it: ``feira up --warehouse redshift``.

Its doors are redshift-local's; behind them is a database of the stack's PostgreSQL, with the same roles.
"""

from __future__ import annotations

import sys
from typing import Any

from feira.core.settings import LakeSettings
from feira_local.stack import postgres
from feira_local.stack.config import HOST, StackConfig, WarehouseOn
from feira_local.stack.local_parts import LocalPart
from feira_local.stack.secrets import Secrets, known_secrets
from feira_local.stack.service import Link, Service, TcpCheck

PORT, DATA_API_PORT = "redshift", "redshift_data"


def services(config: StackConfig) -> tuple[Service, ...]:
    """redshift-local, which asks for the roles' passwords and for the keys of the stack's lake."""
    port, data_api = config.ports.own[PORT], config.ports.own[DATA_API_PORT]
    secrets = known_secrets(config.home)
    lake = config.lake_settings(secrets)
    superuser = postgres.dsns(secrets, config.ports.postgres).superuser
    return (
        Service(
            name="redshift",
            label="storage",
            description="redshift-local: the warehouse, which takes what Redshift takes",
            command=(
                *(sys.executable, "-m", "redshift_local", "--logins"),
                *("--port", str(port), "--data-api-port", str(data_api)),
                *(("--s3-endpoint", lake.endpoint) if lake.endpoint else ()),
            ),
            cwd=config.home,
            health=TcpCheck(HOST, port),
            depends_on=("databases",),
            private_env={
                "REDSHIFT_LOCAL_DSN": postgres.in_database(superuser, config.warehouse_database),
                **_keys(lake),
            },
            ports=(port, data_api),
            links=(
                Link("warehouse", f"postgresql://reader@{HOST}:{port}/{config.warehouse_database}"),
                Link("Redshift Data API", f"http://{HOST}:{data_api}"),
            ),
            code=(config.repository / "infra" / "redshift-local" / "src",),
        ),
    )


def _keys(lake: LakeSettings) -> dict[str, str]:
    """What COPY reads with, as with a cluster's role on AWS, and what requests to the Data API are signed with."""
    found = {
        "AWS_ACCESS_KEY_ID": lake.access_key,
        "AWS_SECRET_ACCESS_KEY": lake.secret_key,
        "AWS_SESSION_TOKEN": lake.session_token,
    }
    return {name: value for name, value in found.items() if value}


def dsn(config: StackConfig, secrets: Secrets, role: str) -> str:
    """A libpq URL of the warehouse for one of its roles, with its password."""
    login = f"{role}:{getattr(secrets, f'postgres_{role}')}"
    address = f"{HOST}:{config.ports.own[PORT]}/{config.warehouse_database}"
    return f"postgresql://{login}@{address}?sslmode=disable"


def connections(config: StackConfig) -> dict[str, dict[str, Any]]:
    """The warehouse's connections, in the fields of the Amazon provider's type `redshift`."""
    secrets = known_secrets(config.home)
    return {
        conn_id: {
            "conn_type": "redshift",
            "host": HOST,
            "port": config.ports.own[PORT],
            "login": role,
            "password": getattr(secrets, f"postgres_{role}"),
            "schema": config.warehouse_database,
            "extra": {"ssl": False},
        }
        for role, conn_id in postgres.WAREHOUSE_CONNECTIONS.items()
    }


LOCAL = LocalPart(
    "redshift",
    ports={PORT: 15439, DATA_API_PORT: 15480},
    services=services,
    connections=connections,
    on_request=lambda config: config.warehouse_on is WarehouseOn.REDSHIFT,
)
