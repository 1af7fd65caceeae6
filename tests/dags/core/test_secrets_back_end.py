"""Every connection from AWS Secrets Manager, as docs/aws.md sets it up: what the platform builds is the same as from
the stack's own connections, and one that cannot be read is named with the next step."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from airflow.sdk.configuration import clear_secrets_backends_cache
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse
from psycopg.conninfo import conninfo_to_dict

from feira.core.errors import PermanentError
from feira.core.lake import lake_files
from feira.recommendations.serving.store import connect as valkey_client
from feira_airflow.core.connections import (
    lake_settings,
    postgres_dsn,
    spark_url,
    warehouse,
    warehouse_dsn,
)
from feira_airflow.core.kafka import kafka_config, kafka_producer
from feira_airflow.core.valkey import valkey_options
from feira_airflow.sales.shop_api import ShopApiHook
from feira_local.stack import airflow, lineage
from feira_local.stack.config import StackConfig
from feira_local.stack.postgres import Dsns
from feira_local.stack.secrets import load_secrets
from feira_provider.hooks.mail import MailHook
from feira_provider.hooks.missing import MissingConnectionError, NoConnectionError
from feira_provider.notifiers.notice import Notice, SlackNoticeNotifier
from inbox_server import Inbox

if TYPE_CHECKING:
    from wiring_deployment import Deployment

    from valkey_server import ValkeyServer

PAGE = Path(__file__).parents[3] / "docs" / "aws.md"
AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
VARIABLE = "AIRFLOW_CONN_{}"
Connections = dict[str, dict[str, Any]]
Patch = pytest.MonkeyPatch


def documented() -> dict[str, str]:
    """Airflow's settings of the back end as the page has them."""
    found = re.findall(r"^(AIRFLOW__SECRETS__\w+)=(.+)$", PAGE.read_text(), re.MULTILINE)
    assert [name for name, _ in found] == [
        "AIRFLOW__SECRETS__BACKEND",
        "AIRFLOW__SECRETS__BACKEND_KWARGS",
    ]
    return dict(found)


def _shop() -> Any:
    hook = ShopApiHook("shop_api")
    session = hook.get_conn()
    return hook.base_url, dict(session.headers), session.auth


def _mail() -> Any:
    with MailHook("smtp_default") as hook:
        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = "a", hook.sender, hook.recipients
        hook.send_message(message)
        return hook.sender, hook.recipients


class Noticed(SlackNoticeNotifier):
    def notice(self, context: Any) -> Notice:
        return Notice("id", "a task", (("day", "1"),), "error", (("log", "http://a"),), "run")


def _slack() -> Any:
    Noticed(slack_webhook_conn_id="slack_default").notify({})


def _lineage() -> Any:
    from airflow.providers.openlineage.plugins.adapter import OpenLineageAdapter

    return OpenLineageAdapter().get_openlineage_config()


def _lake() -> Any:
    settings = lake_settings()
    files = lake_files(settings)
    files.pipe(f"{settings.root}/a", b"1")
    assert files.cat(f"{settings.root}/a") == b"1"
    return settings, settings.secret_key


def _warehouse(conn_id: str) -> Any:
    with warehouse(conn_id) as connection:
        found = connection.execute("SELECT current_user, current_database()").fetchone()
    return found, conninfo_to_dict(postgres_dsn(conn_id))


def _kafka() -> Any:
    kafka_producer()
    config = kafka_config()
    return {name: value for name, value in config.items() if not callable(value)}


def _valkey() -> Any:
    with valkey_client(valkey_options()) as client:
        assert client.ping()
    return valkey_options()


def _spark() -> Any:
    from pyspark.sql.connect.client import DefaultChannelBuilder

    return DefaultChannelBuilder(spark_url()).endpoint, spark_url()


READERS: dict[str, Callable[[], Any]] = {
    "kafka_default": _kafka,
    "lake_default": _lake,
    "lineage_default": _lineage,
    "shop_api": _shop,
    "slack_default": _slack,
    "smtp_default": _mail,
    "spark_default": _spark,
    "valkey_default": _valkey,
    "warehouse_dbt": lambda: _warehouse("warehouse_dbt"),
    "warehouse_default": lambda: _warehouse("warehouse_default"),
    "warehouse_reader": lambda: _warehouse("warehouse_reader"),
}


@pytest.fixture
def connections(
    tmp_path: Path, s3_endpoint: str, postgres: Dsns, inbox: Inbox, server: ValkeyServer
) -> Connections:
    """The stack's own, by id, with the addresses of what runs here."""
    config = StackConfig.from_env({"FEIRA_HOME": str(tmp_path / "home")})
    found: Connections = {}
    for name, text in (
        airflow.connections(config, load_secrets(config.home)) | inbox.connections()
    ).items():
        found[name.removeprefix("AIRFLOW_CONN_").lower()] = json.loads(text)
    found["lake_default"] |= {"login": "test", "password": "test"}
    found["lake_default"]["extra"] |= {
        "endpoint_url": s3_endpoint,
        "service_config": {"s3": {"bucket_name": "lake"}},
    }
    for conn_id, dsn in (
        ("warehouse_default", postgres.warehouse_loader),
        ("warehouse_dbt", postgres.dbt),
        ("warehouse_reader", postgres.reader),
    ):
        known = conninfo_to_dict(dsn)
        found[conn_id] |= {"port": int(str(known["port"])), "password": known["password"]}
    options = server.options
    found["valkey_default"] |= {"port": options["port"], "password": options["password"]}
    # What a URL, JSON or a shell would have to quote comes through too.
    found["spark_default"]["password"] = "t/o k=e+n%\"'\\ü"
    found["shop_api"]["extra"] = {"Authorization": "Bearer a/b+c="}
    return found


@pytest.fixture
def back_end(s3_endpoint: str, monkeypatch: Patch) -> Iterator[Any]:
    """Airflow's settings are the page's, with no secret there yet; a client that makes some."""
    region = json.loads(documented()["AIRFLOW__SECRETS__BACKEND_KWARGS"])["region_name"]
    for name, value in (documented() | AWS).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", s3_endpoint)
    client = boto3.client("secretsmanager", region_name=region)
    clear_secrets_backends_cache()
    yield client
    for secret in client.list_secrets()["SecretList"]:
        client.delete_secret(SecretId=secret["Name"], ForceDeleteWithoutRecovery=True)
    clear_secrets_backends_cache()


def keep(client: Any, connections: Connections) -> None:
    for conn_id, fields in connections.items():
        client.create_secret(Name=f"airflow/connections/{conn_id}", SecretString=json.dumps(fields))


def read_all() -> dict[str, Any]:
    return {conn_id: read() for conn_id, read in READERS.items()}


def test_every_connection_comes_from_secrets_manager_as_it_does_from_the_stack(
    connections: Connections, inbox: Inbox, monkeypatch: Patch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__CONFIG_CONN_ID", lineage.CONNECTION)
    assert READERS.keys() == connections.keys()
    for conn_id, fields in connections.items():
        monkeypatch.setenv(VARIABLE.format(conn_id.upper()), json.dumps(fields))
    from_the_stack = read_all()
    for conn_id in connections:
        monkeypatch.delenv(VARIABLE.format(conn_id.upper()))
    keep(request.getfixturevalue("back_end"), connections)
    assert read_all() == from_the_stack
    assert (len(inbox.mails()), len(inbox.slack())) == (2, 2)


DAG = """
from airflow.sdk import dag, task

@dag(schedule=None)
def reads():
    @task
    def read():
        from feira_airflow.core.connections import lake_settings, postgres_dsn, spark_url
        from feira_airflow.core.kafka import kafka_config
        from feira_airflow.core.valkey import valkey_options

        assert lake_settings().root == "s3://lake"
        assert "password=" in postgres_dsn("warehouse_default")
        assert "token=" in spark_url()
        assert kafka_config()["bootstrap.servers"]
        assert valkey_options()["password"]

    read()

reads()
"""


@pytest.mark.slow
def test_a_task_reads_them_as_a_task_does(
    connections: Connections,
    back_end: Any,
    deploy: Callable[[Path], Deployment],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "reads.py").write_text(DAG)
    keep(back_end, connections)
    assert deploy(folder).run("reads") == "success"


def test_one_that_is_missing_is_named_with_the_secret_that_it_would_be(
    back_end: Any, monkeypatch: Patch
) -> None:
    # Lineage that has nowhere to go is left out, and no task fails for it.
    for conn_id in READERS.keys() - {"lineage_default"}:
        monkeypatch.delenv(VARIABLE.format(conn_id.upper()), raising=False)
        with pytest.raises(NoConnectionError) as missing:
            READERS[conn_id]()
        assert f"connection {conn_id}:" in str(missing.value)
        assert f"airflow/connections/{conn_id}" in str(missing.value)
        # Nothing has it, so that another try would not find it.
        assert isinstance(missing.value, PermanentError)


def test_without_a_back_end_the_variable_is_named(monkeypatch: Patch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_LAKE_DEFAULT", raising=False)
    with pytest.raises(NoConnectionError) as missing:
        lake_settings()
    # As in any program outside Airflow: what its database has would not be found here.
    assert str(missing.value) == (
        "There is no connection lake_default: no secrets back end is configured, and AIRFLOW_CONN_LAKE_DEFAULT is not "
        "set; Airflow's database is asked in tasks alone. Set AIRFLOW_CONN_LAKE_DEFAULT."
    )


UNREADABLE = {
    '{"conn_type": "postgres", "password": "hidden"': "JSON at line 1, column 47",
    '{"conn_type": "postgres", "port": "hidden"}': "ValueError",
    '{"conn_type": "postgres", "hidden": 5}': "TypeError",
    '{"conn_type": "postgres", "password": "hidden\\ud800"}': "UnicodeEncodeError",
    "postgres://user:hidden@db:port/x": "ValueError",
    "a://hidden://b://c": "AirflowException",
}


@pytest.mark.parametrize("text", UNREADABLE)
def test_one_that_is_stated_and_cannot_be_read_is_named_with_its_place_and_nothing_of_it(
    monkeypatch: Patch, text: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_READER", text)
    with pytest.raises(
        NoConnectionError, match=r"what AIRFLOW_CONN_WAREHOUSE_READER holds"
    ) as refused:
        postgres_dsn("warehouse_reader")
    assert UNREADABLE[text] in str(refused.value) and "hidden" not in str(refused.value)
    assert isinstance(refused.value, PermanentError)


@pytest.mark.parametrize(
    ("conn_id", "kind"),
    [
        ("kafka_default", "kafka"),
        ("lake_default", "aws"),
        ("shop_api", "http"),
        ("smtp_default", "smtp"),
        ("spark_default", "spark_connect"),
        ("valkey_default", "redis"),
        ("warehouse_default", "redshift"),
        ("warehouse_reader", "postgres"),
    ],
)
@pytest.mark.parametrize("extra", ['{"ssl": true, "key": "hidden"', "hidden", '["hidden"]'])
def test_an_extra_that_is_no_json_object_is_refused_and_not_taken_for_none(
    monkeypatch: Patch, conn_id: str, kind: str, extra: str
) -> None:
    fields = {"conn_type": kind, "host": "127.0.0.1", "port": 9, "extra": extra}
    monkeypatch.setenv(VARIABLE.format(conn_id.upper()), json.dumps(fields))
    read = READERS[conn_id]
    if kind in ("postgres", "redshift"):
        read = partial(warehouse_dsn, conn_id)
    with pytest.raises(PermanentError, match=rf"Connection {conn_id}: its extra") as refused:
        read()
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ('{"conn_type": "postgres", "port": "hidden"}', "ValueError"),
        ('{"conn_type": "postgres", "password": "hidden"', "JSON at line 1, column 47"),
        ('{"conn_type": "postgres", "password": 12345, "login": "hidden"}', "TypeError"),
    ],
)
def test_a_secret_that_cannot_be_read_is_named_with_nothing_of_it(
    back_end: Any, monkeypatch: Patch, secret: str, reason: str
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_WAREHOUSE_READER", raising=False)
    back_end.create_secret(Name="airflow/connections/warehouse_reader", SecretString=secret)
    with pytest.raises(NoConnectionError) as refused:
        postgres_dsn("warehouse_reader")
    for words in ("the secret airflow/connections/warehouse_reader", f"({reason}"):
        assert words in str(refused.value)
    assert "hidden" not in str(refused.value) and "12345" not in str(refused.value)


def test_a_file_of_connections_that_cannot_be_read_is_named_with_nothing_of_it(
    monkeypatch: Patch, tmp_path: Path
) -> None:
    file = tmp_path / "connections.json"
    file.write_text(json.dumps({"warehouse_reader": "postgres://u:hidden/x@db:5432/x"}))
    monkeypatch.delenv("AIRFLOW_CONN_WAREHOUSE_READER", raising=False)
    kind = "airflow.secrets.local_filesystem.LocalFilesystemBackend"
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", kind)
    kwargs = json.dumps({"connections_file_path": str(file)})
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND_KWARGS", kwargs)
    clear_secrets_backends_cache()
    with pytest.raises(
        NoConnectionError, match=r"LocalFilesystemBackend holds .*ValueError"
    ) as refused:
        postgres_dsn("warehouse_reader")
    clear_secrets_backends_cache()
    assert "hidden" not in str(refused.value)


def test_a_back_end_that_answers_the_second_question_is_asked_again_by_another_try(
    back_end: Any, monkeypatch: Patch
) -> None:
    from airflow.providers.amazon.aws.secrets.secrets_manager import SecretsManagerBackend

    monkeypatch.delenv("AIRFLOW_CONN_WAREHOUSE_READER", raising=False)
    answers: list[Any] = [OSError("throttled"), "postgres://db/x"]

    def answer(*_: Any, **__: Any) -> Any:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(SecretsManagerBackend, "get_conn_value", answer)
    with pytest.raises(MissingConnectionError, match="one by now") as failed:
        postgres_dsn("warehouse_reader")
    assert not isinstance(failed.value, PermanentError)


@pytest.mark.parametrize(
    ("error", "permanent"),
    [
        ("CONNECTION_NOT_FOUND", True),
        ("PERMISSION_DENIED", True),
        ("API_SERVER_ERROR", False),
        ("GENERIC_ERROR", False),
    ],
)
def test_where_airflows_api_fails_another_try_may_find_the_connection(
    monkeypatch: Patch, error: str, permanent: bool
) -> None:
    class Comms:
        def send(self, _: Any) -> ErrorResponse:
            return ErrorResponse(error=ErrorType(error))

    # As in a task, whose supervisor asks the API for it.
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Comms(), raising=False)
    monkeypatch.delenv("AIRFLOW_CONN_WAREHOUSE_READER", raising=False)
    with pytest.raises(MissingConnectionError) as failed:
        postgres_dsn("warehouse_reader")
    assert isinstance(failed.value, PermanentError) is permanent
    assert (error in str(failed.value)) is not permanent
    assert ("denies" in str(failed.value)) is (error == "PERMISSION_DENIED")
    if error == "CONNECTION_NOT_FOUND":
        assert "`airflow connections add warehouse_reader`" in str(failed.value)


def test_a_back_end_that_fails_is_named_with_its_reason_and_may_be_tried_again(
    back_end: Any, monkeypatch: Patch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(MissingConnectionError) as failed:
        postgres_dsn("warehouse_reader")
    for words in ("warehouse_reader", "SecretsManagerBackend", "EndpointConnectionError"):
        assert words in str(failed.value)
    assert not isinstance(failed.value, PermanentError)
