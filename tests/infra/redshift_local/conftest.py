"""A database with Redshift's functions on the tests' PostgreSQL, and its statements run as they are translated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from feira_local.stack.postgres import Dsns
from redshift_local.data_api.server import data_api
from redshift_local.database import install
from redshift_local.loading.files import S3
from redshift_local.translation.translate import translate
from redshift_local.wire.server import wire

Run = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(scope="session")
def redshift_dsn(postgres: Dsns) -> str:
    """The database ``dev``, in which the functions are; its superuser."""
    with psycopg.connect(postgres.superuser, autocommit=True) as connection:
        connection.execute("CREATE DATABASE dev")
    dsn = postgres.superuser.rsplit("/", 1)[0] + "/dev"
    install(dsn)
    return dsn


@pytest.fixture
def connection(redshift_dsn: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A session in autocommit; afterwards the schema ``public`` is empty again."""
    with psycopg.connect(redshift_dsn, autocommit=True, prepare_threshold=None) as session:
        yield session
        session.rollback()
        session.execute(
            "DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO public"
        )


@pytest.fixture
def run(connection: psycopg.Connection[tuple[Any, ...]]) -> Run:
    """Runs Redshift's SQL; the rows of the last statement, or none."""

    def run(sql: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        for translated in translate(sql):
            for statement in translated.statements:
                cursor = connection.execute(statement)  # type: ignore[call-overload]
                rows = cursor.fetchall() if cursor.description else []
        return rows

    return run


@pytest.fixture(scope="session")
def data_api_url(redshift_dsn: str, s3_endpoint: str) -> Iterator[str]:
    """The Data API of that database, three rows a page; its S3 is moto's, with the bucket ``lake``."""
    with data_api(redshift_dsn, s3=S3(s3_endpoint), rows_a_page=3) as url:
        yield url


@pytest.fixture(scope="session")
def wire_port(redshift_dsn: str, s3_endpoint: str) -> Iterator[int]:
    """The PostgreSQL protocol's port of the same."""
    with wire(redshift_dsn, s3=S3(s3_endpoint)) as port:
        yield port


@pytest.fixture
def client(data_api_url: str, connection: object) -> Any:
    """boto3's own client of it; the schema ``public`` is empty before and after."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "redshift-data",
        endpoint_url=data_api_url,
        region_name="eu-central-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        # Else each answer with status 500 is waited for four times.
        config=Config(retries={"total_max_attempts": 1}),
    )
