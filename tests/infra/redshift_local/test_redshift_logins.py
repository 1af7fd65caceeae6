"""Doors that ask who comes: the roles of the PostgreSQL behind, and requests that are signed."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import botocore.auth
import psycopg
import pytest
import redshift_connector
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from feira_local.stack.postgres import Dsns
from redshift_local.data_api.server import data_api
from redshift_local.loading.files import S3
from redshift_local.wire.server import wire

KEYS = Credentials("AKIDEXAMPLE", "of the test's own")
LIST = {"X-Amz-Target": "RedshiftData.ListDatabases"}
BODY = b'{"WorkgroupName": "laptop"}'


@pytest.fixture
def port(redshift_dsn: str) -> Iterator[int]:
    with wire(redshift_dsn, logins=True) as port:
        yield port


@pytest.fixture(scope="module")
def url(redshift_dsn: str) -> Iterator[str]:
    with data_api(redshift_dsn, keys=KEYS) as url:
        yield url


def test_a_client_is_the_role_that_it_logs_in_as(port: int, postgres: Dsns) -> None:
    password = str(conninfo_to_dict(postgres.warehouse_loader)["password"])
    address = {"host": "127.0.0.1", "port": port, "user": "warehouse_loader"}
    with psycopg.connect(**address, password=password, dbname="dev") as session:  # type: ignore[arg-type]
        assert session.execute("SELECT CURRENT_USER").fetchone() == ("warehouse_loader",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("CREATE SCHEMA mine")
    with redshift_connector.connect(**address, password=password, database="dev", ssl=False) as own:
        cursor = own.cursor()
        cursor.execute("SELECT CURRENT_USER")
        assert cursor.fetchone() == ["warehouse_loader"]


def test_a_client_sees_the_load_errors_of_its_own_copies(
    redshift_dsn: str, s3_endpoint: str, s3_client: Any, postgres: Dsns, connection: object
) -> None:
    s3_client.put_object(Bucket="lake", Key="of/the/loader", Body=b"IBAN DE89\n")
    keys = "ACCESS_KEY_ID 'test' SECRET_ACCESS_KEY 'test'"
    shown = "SELECT raw_line FROM stl_load_errors WHERE filename = 's3://lake/of/the/loader'"
    detail = (
        "SELECT COUNT(*) FROM sys_load_error_detail WHERE file_name = 's3://lake/of/the/loader'"
    )
    with wire(redshift_dsn, logins=True, s3=S3(s3_endpoint)) as port:

        def session(dsn: str) -> psycopg.Connection[tuple[Any, ...]]:
            return psycopg.connect(
                make_conninfo(dsn, host="127.0.0.1", port=port, dbname="dev"), autocommit=True
            )

        with session(postgres.warehouse_loader) as loader:
            loader.execute("CREATE TEMP TABLE pay (a varchar(3))")
            with pytest.raises(psycopg.Error, match="stl_load_errors"):
                loader.execute(f"COPY pay FROM 's3://lake/of/the/loader' {keys} CSV".encode())
            assert loader.execute(shown).fetchall() == [("IBAN DE89",)]
            assert loader.execute(detail).fetchall() == [(1,)]
        with session(postgres.dbt) as other:
            assert other.execute(shown).fetchall() == []
            assert other.execute(detail).fetchall() == [(0,)]
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                other.execute("SELECT raw_line FROM redshift.load_errors")
            # What sees a row before it is left out could tell of it.
            query = "SELECT COUNT(*) FROM stl_load_errors WHERE raw_line::int = 0"
            assert other.execute(query).fetchall() == [(0,)]
        with session(postgres.superuser) as superuser:
            assert superuser.execute(shown).fetchall() == [("IBAN DE89",)]


@pytest.mark.parametrize("password", ["", "wrong"])
@pytest.mark.parametrize("user", ["warehouse_loader", "nobody"])
def test_a_wrong_password_is_refused_and_an_empty_one(
    port: int, user: str, password: str, postgres: Dsns, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server's own must not do for a client that has none.
    monkeypatch.setenv("PGPASSWORD", str(conninfo_to_dict(postgres.warehouse_loader)["password"]))
    with pytest.raises(redshift_connector.ProgrammingError, match="authentication failed") as said:
        redshift_connector.connect(
            host="127.0.0.1", port=port, database="dev", user=user, password=password, ssl=False
        )
    assert said.value.args[0]["C"] == "28P01"


def client(url: str, keys: Credentials) -> Any:
    return boto3.client(
        "redshift-data",
        endpoint_url=url,
        region_name="eu-central-1",
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_a_request_that_is_signed_is_answered(url: str) -> None:
    assert client(url, KEYS).list_databases(WorkgroupName="laptop", Database="dev")[
        "Databases"
    ] == ["dev"]


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        (Credentials(KEYS.access_key, "another"), "InvalidSignatureException"),
        (Credentials("another", KEYS.secret_key), "UnrecognizedClientException"),
    ],
)
def test_a_request_that_is_signed_with_another_key_is_refused(
    url: str, keys: Credentials, code: str
) -> None:
    with pytest.raises(ClientError) as refused:
        client(url, keys).list_databases(WorkgroupName="laptop", Database="dev")
    assert refused.value.response["Error"]["Code"] == code


def posted(url: str, headers: dict[str, str], body: bytes = BODY) -> str:
    """The answer, or the error's own text."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
            return str(answer.read())
    except urllib.error.HTTPError as error:
        return str(error.read())


def signed(url: str, **headers: str) -> dict[str, str]:
    request = AWSRequest("POST", f"{url}/", data=BODY, headers=LIST | headers)
    SigV4Auth(KEYS, "redshift-data", "eu-central-1").add_auth(request)
    return dict(request.headers.items())


def test_a_signature_is_of_this_request_and_of_now(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = signed(url)
    assert "dev" in posted(url, fine)
    assert "MissingAuthenticationToken" in posted(url, LIST)
    assert "InvalidSignature" in posted(url, fine, BODY + b" ")
    assert "InvalidSignature" in posted(url, fine | {"X-Amz-Target": "RedshiftData.ListTables"})
    unsigned = signed(url, **{"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    assert "InvalidSignature" in posted(url, unsigned, BODY + b" ")
    for minutes in (-16, 16):
        at = datetime.now(UTC) + timedelta(minutes=minutes)
        monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda at=at: at)
        assert "Signature expired" in posted(url, signed(url))
