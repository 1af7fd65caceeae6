"""Secrets of a deployment: made once, kept, and set where they open something. On moto; what it lacks is held to
the service's own model by botocore's stub."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from cryptography.fernet import Fernet
from moto import mock_aws  # noqa: TID251
from moto.backends import get_backend

from terraform_tree import fill_secrets

program = fill_secrets()

GIVEN = {
    "FEIRA_SECRET_SLACK_DEFAULT": '{"password": "T000/B000/xyz"}',
    "FEIRA_SECRET_SMTP_DEFAULT": '{"login": "AKIASMTP", "password": "smtp-secret"}',
}
GRANTS = ['create schema if not exists "sales" authorization warehouse_loader']
DEPLOYMENT = {
    "region": "eu-central-1",
    "kafka_secret": "AmazonMSK_feira-dev_feira",
    "valkey_user": "feira-dev-recommendations",
    "database": {"host": "db.example.com", "identifier": "feira-dev-airflow"},
    "warehouse": {"workgroup": "feira-dev", "database": "warehouse", "admin_secret": "arn:admin"},
}
DESCRIBED: dict[str, dict[str, Any]] = {
    "shop_api": {"conn_type": "http", "host": "shop.example.com"},
    "lake_default": {"conn_type": "aws", "extra": {"region_name": "eu-central-1"}},
    "spark_default": {"conn_type": "spark_connect", "host": "sc://spark", "port": 15002},
    "slack_default": {"conn_type": "slackwebhook", "host": "https://hooks.slack.com/services"},
    "smtp_default": {"conn_type": "smtp", "host": "email-smtp.eu-central-1.amazonaws.com"},
    "kafka_default": {"conn_type": "kafka", "extra": {"sasl.username": "feira"}},
    "valkey_default": {"conn_type": "redis", "host": "valkey", "login": "recommendations"},
    "warehouse_default": {"conn_type": "redshift", "login": "warehouse_loader"},
    "warehouse_dbt": {"conn_type": "redshift", "login": "dbt"},
    "warehouse_reader": {"conn_type": "redshift", "login": "reader"},
}
OUTPUTS = {
    f"AIRFLOW_CONN_{name.upper()}": {"value": json.dumps(fields)}
    for name, fields in DESCRIBED.items()
} | {"deployment": {"value": DEPLOYMENT}}

# One for all: it reads the services' models once.
SESSION = boto3.Session("test", "test", region_name="eu-central-1")


class Services:
    """boto3's clients: of moto, and for Valkey and Redshift of botocore's stub, which keeps what was asked."""

    def __init__(self, users: set[str]) -> None:
        self.users = users
        self.statements: list[str] = []
        self.valkey: list[dict[str, Any]] = []
        self.fails = "nothing"
        self._made: dict[str, Any] = {}

    def __call__(self, service: str) -> Any:
        client = self._made.get(service) or SESSION.client(service)
        if service == "elasticache":
            stub = Stubber(client)
            stub.add_response("modify_user", {})
            client.meta.events.register("provide-client-params.elasticache.*", self._valkey)
            stub.activate()
        elif service == "redshift-data":
            self._warehouse(client)
        else:
            self._made[service] = client
        return client

    def _valkey(self, params: dict[str, Any], **_: Any) -> None:
        self.valkey.append(params)

    def _warehouse(self, client: Any) -> None:
        stub = Stubber(client)
        rows: list[list[dict[str, str]]] = []
        looked_up = False

        def asked(params: dict[str, Any], **_: Any) -> None:
            nonlocal rows, looked_up
            sql = params["Sql"]
            self.statements.append(sql)
            looked_up = sql.startswith("SELECT")
            name = params.get("Parameters", [{}])[0].get("value", "")
            # The stub's queue is filled here, when it is known what is asked.
            failed = {"Status": "FAILED", "Error": "no such thing"}
            finished = {"Status": "FINISHED", "HasResultSet": looked_up}
            outcome = failed if sql.startswith(self.fails) else finished
            stub.add_response("describe_statement", {"Id": "1"} | outcome)
            if looked_up:
                rows = [[{"stringValue": name}]] if name in self.users else []
                stub.add_response("get_statement_result", {"Records": rows})

        stub.add_response("execute_statement", {"Id": "1"})
        client.meta.events.register("provide-client-params.redshift-data.ExecuteStatement", asked)
        stub.activate()

    def secret(self, name: str) -> Any:
        return json.loads(self("secretsmanager").get_secret_value(SecretId=name)["SecretString"])


@pytest.fixture
def aws() -> Iterator[None]:
    """moto in this process, with nothing of the services that are asked here."""
    mocked = mock_aws()
    # By itself it empties what moto's servers in this process hold too, which other tests still read.
    mocked.start(reset=False)
    yield
    mocked.stop(remove_data=False)
    for service in ("secretsmanager", "rds"):
        # Its own reset() is that of all services.
        for account in get_backend(service).values():
            account.reset()


@pytest.fixture
def services(aws: None) -> Services:
    """An account as Terraform leaves it: secrets without a value, a database, no user in the warehouse."""
    made = Services(set())
    vault = made("secretsmanager")
    for name in (
        *(f"airflow/connections/{conn_id}" for conn_id in DESCRIBED),
        "feira/airflow",
        "feira/airflow-users",
        "AmazonMSK_feira-dev_feira",
    ):
        vault.create_secret(Name=name)
    made("rds").create_db_instance(
        DBInstanceIdentifier="feira-dev-airflow",
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        MasterUsername="airflow",
        MasterUserPassword="nobody-knows-it",
        AllocatedStorage=20,
    )
    return made


def run(services: Services, **options: Any) -> list[str]:
    account = program.Account(services, DEPLOYMENT)
    written: list[str] = program.fill(
        OUTPUTS, account, options.pop("env", GIVEN), GRANTS, **options
    )
    return written


def test_each_connection_has_what_terraform_describes_and_its_secret(services: Services) -> None:
    run(services)
    for conn_id, described in DESCRIBED.items():
        stored = services.secret(f"airflow/connections/{conn_id}")
        extra = stored.get("extra", {})
        assert {name: stored[name] for name in described if name != "extra"} == {
            name: value for name, value in described.items() if name != "extra"
        }
        assert extra.items() >= described.get("extra", {}).items()
    assert services.secret("airflow/connections/smtp_default")["login"] == "AKIASMTP"
    assert services.secret("airflow/connections/slack_default")["password"] == "T000/B000/xyz"


def test_what_a_secret_opens_gets_the_same_one(services: Services) -> None:
    run(services)
    kafka = services.secret("airflow/connections/kafka_default")["extra"]["sasl.password"]
    assert services.secret("AmazonMSK_feira-dev_feira") == {"username": "feira", "password": kafka}
    (user,) = services.valkey
    valkey = services.secret("airflow/connections/valkey_default")["password"]
    assert user["AuthenticationMode"] == {"Type": "password", "Passwords": [valkey]}
    loader = services.secret("airflow/connections/warehouse_default")["password"]
    digest = hashlib.md5(f"{loader}warehouse_loader".encode()).hexdigest()
    assert f"CREATE USER warehouse_loader PASSWORD 'md5{digest}'" in services.statements
    assert services.statements[-1] == GRANTS[0]


def test_no_statement_holds_a_password(services: Services) -> None:
    run(services)
    passwords = [
        services.secret(f"airflow/connections/{conn_id}")["password"]
        for conn_id in ("warehouse_default", "warehouse_dbt", "warehouse_reader")
    ]
    assert len(set(passwords)) == 3
    assert not [each for each in passwords for sql in services.statements if each in sql]


def test_a_second_run_keeps_every_secret_and_sets_it_again(services: Services) -> None:
    names = run(services)
    vault = services("secretsmanager")
    before = {name: vault.get_secret_value(SecretId=name)["SecretString"] for name in names}
    services.users |= {"warehouse_loader", "dbt", "reader"}
    assert run(services, env={}) == names
    assert {name: vault.get_secret_value(SecretId=name)["SecretString"] for name in names} == before
    assert [sql.split()[0] for sql in services.statements if " USER " in sql] == 3 * [
        "CREATE"
    ] + 3 * ["ALTER"]


def test_rotation_changes_ours_and_keeps_what_people_gave(services: Services) -> None:
    names = run(services)
    vault = services("secretsmanager")
    before = {name: vault.get_secret_value(SecretId=name)["SecretString"] for name in names}
    run(services, env={}, rotate=True)
    after = {name: vault.get_secret_value(SecretId=name)["SecretString"] for name in names}
    given = ("shop_api", "lake_default", "spark_default", "slack_default", "smtp_default")
    kept = {f"airflow/connections/{name}" for name in given}
    assert {name for name in names if before[name] == after[name]} == kept


def test_a_secret_that_people_have_to_give_is_asked_for_before_anything_is_written(
    services: Services,
) -> None:
    with pytest.raises(program.SecretMissingError, match="FEIRA_SECRET_SLACK_DEFAULT"):
        run(services, env={})
    vault = services("secretsmanager")
    assert not [
        each for each in vault.list_secrets()["SecretList"] if each.get("SecretVersionsToStages")
    ]
    assert not services.statements


def unwritten(services: Services) -> bool:
    listed = services("secretsmanager").list_secrets()["SecretList"]
    return not services.statements and not [
        each["Name"] for each in listed if each.get("SecretVersionsToStages")
    ]


SMTP_FORM, SLACK_FORM = '{"login": "…", "password": "…"}', '{"password": "…"}'


@pytest.mark.parametrize(
    ("conn_id", "given", "reason", "form"),
    [
        # As Slack shows it.
        ("slack_default", "T000/B000/s3cret", "is no JSON object", SLACK_FORM),
        (
            "slack_default",
            "https://hooks.slack.com/services/T/B/s3cret",
            "no JSON object",
            SLACK_FORM,
        ),
        ("slack_default", '"T000/B000/s3cret"', "is no JSON object", SLACK_FORM),
        ("slack_default", '["s3cret"]', "is no JSON object", SLACK_FORM),
        ("slack_default", "5", "is no JSON object", SLACK_FORM),
        ("slack_default", "null", "is no JSON object", SLACK_FORM),
        ("slack_default", " ", "is no JSON object", SLACK_FORM),
        ("slack_default", "[" * 100_000, "is no JSON object", SLACK_FORM),
        ("slack_default", '{"password": "s3cret"', "is no JSON object", SLACK_FORM),
        ("slack_default", '{"pasword": "s3cret"}', "another key than password", SLACK_FORM),
        ("slack_default", '{"s3cret": ""}', "another key than password", SLACK_FORM),
        ("slack_default", '{"login": "s3cret", "password": "b"}', "another key", SLACK_FORM),
        ("slack_default", '{"password": 5}', "no text for password", SLACK_FORM),
        ("slack_default", '{"password": {"a": "s3cret"}}', "no text for password", SLACK_FORM),
        ("smtp_default", '{"login": "s3cret", "password": " "}', "no text for password", SMTP_FORM),
        ("smtp_default", '{"login": null, "password": null}', "for login and password", SMTP_FORM),
        ("smtp_default", '{"host": "s3cret"}', "another key than login and password", SMTP_FORM),
        ("shop_api", "s3cret", "is no JSON object", SMTP_FORM),
    ],
)
def test_what_people_give_is_refused_with_its_form_and_without_its_value(
    services: Services, conn_id: str, given: str, reason: str, form: str
) -> None:
    name = f"FEIRA_SECRET_{conn_id.upper()}"
    with pytest.raises(program.SecretFormError) as refused:
        run(services, env=GIVEN | {name: given})
    message = str(refused.value)
    assert message.startswith(f"{name} ") and reason in message and form in message
    assert "s3cret" not in message and refused.value.__cause__ is None
    assert unwritten(services)


@pytest.mark.parametrize(
    ("conn_id", "given", "missing"),
    [
        ("smtp_default", '{"login": "AKIASMTP"}', "no password,"),
        ("smtp_default", '{"password": "smtp-secret"}', "no login,"),
        ("smtp_default", "{}", "no login and no password,"),
        ("slack_default", "{}", "no password,"),
        ("shop_api", '{"password": "shop-secret"}', "no login,"),
        ("lake_default", '{"password": "lake-secret"}', "no login,"),
    ],
)
def test_what_a_connection_needs_is_asked_for_before_anything_is_written(
    services: Services, conn_id: str, given: str, missing: str
) -> None:
    name = f"FEIRA_SECRET_{conn_id.upper()}"
    with pytest.raises(program.SecretMissingError, match=missing) as refused:
        run(services, env=GIVEN | {name: given})
    assert name in str(refused.value) and "-secret" not in str(refused.value)
    assert unwritten(services)


def test_one_field_may_be_given_anew_where_the_other_is_stored(services: Services) -> None:
    run(services)
    run(services, env={"FEIRA_SECRET_SMTP_DEFAULT": '{"password": "another"}'})
    smtp = services.secret("airflow/connections/smtp_default")
    assert (smtp["login"], smtp["password"]) == ("AKIASMTP", "another")


def test_a_shop_with_a_login_and_no_password_is_taken(services: Services) -> None:
    run(services, env=GIVEN | {"FEIRA_SECRET_SHOP_API": '{"login": "key"}'})
    assert services.secret("airflow/connections/shop_api") == DESCRIBED["shop_api"] | {
        "login": "key"
    }


def test_a_token_of_sparks_goes_without_a_login_given_or_stored(services: Services) -> None:
    place = "airflow/connections/spark_default"
    for env in (GIVEN | {"FEIRA_SECRET_SPARK_DEFAULT": '{"password": "tok"}'}, {}):
        assert place in run(services, env=env)
        assert services.secret(place) == DESCRIBED["spark_default"] | {"password": "tok"}
    run(services, env={"FEIRA_SECRET_SPARK_DEFAULT": '{"login": "feira"}'}, rotate=True)
    assert services.secret(place) == DESCRIBED["spark_default"] | {
        "login": "feira",
        "password": "tok",
    }


@pytest.mark.parametrize("conn_id", ["SLACK", "kafka_default", "WAREHOUSE_DBT"])
def test_a_variable_that_nothing_is_read_from_is_refused(services: Services, conn_id: str) -> None:
    name = f"FEIRA_SECRET_{conn_id}"
    with pytest.raises(program.SecretFormError, match="FEIRA_SECRET_SLACK_DEFAULT") as refused:
        run(services, env=GIVEN | {name: '{"password": "s3cret"}'})
    assert str(refused.value).startswith(f"{name} ") and "s3cret" not in str(refused.value)
    assert unwritten(services)


@pytest.mark.parametrize("name", ["airflow/connections/slack_default", "feira/airflow"])
def test_a_secret_that_somebody_has_stored_in_another_form_is_named(
    services: Services, name: str
) -> None:
    services("secretsmanager").put_secret_value(SecretId=name, SecretString="T000/s3cret")
    with pytest.raises(program.SecretFormError, match=f"The secret {name} is no JSON") as refused:
        run(services)
    assert "s3cret" not in str(refused.value)
    assert not services.statements and not services.valkey


@pytest.mark.parametrize(
    ("name", "stored", "field"),
    [
        ("airflow/connections/kafka_default", {"extra": '{"sasl.password": "s3cret"}'}, "extra"),
        ("airflow/connections/kafka_default", {"extra": ["s3cret"]}, "extra"),
        ("airflow/connections/kafka_default", {"extra": {"sasl.password": ["s3cret"]}}, "extra"),
        ("airflow/connections/valkey_default", {"password": ["s3cret"]}, "password"),
        ("airflow/connections/shop_api", {"login": {}, "password": 5}, "login and password"),
        ("feira/airflow", {"connection": "postgresql://root:s3cret@db/airflow"}, "connection"),
        ("feira/airflow", {"connection": None}, "connection"),
    ],
)
@pytest.mark.parametrize("rotate", [False, True])
def test_a_stored_field_of_another_form_is_named_before_anything_is_written(
    services: Services, name: str, stored: dict[str, Any], field: str, rotate: bool
) -> None:
    services("secretsmanager").put_secret_value(SecretId=name, SecretString=json.dumps(stored))
    with pytest.raises(program.SecretFormError) as refused:
        run(services, rotate=rotate)
    assert f"The secret {name} has another form in {field};" in str(refused.value)
    assert "s3cret" not in str(refused.value)
    assert services.secret(name) == stored
    assert not services.statements and not services.valkey


@pytest.mark.parametrize("stored", [{}, {"extra": None}, {"extra": {}, "password": None}])
def test_a_secret_of_kafkas_that_holds_no_password_gets_one(
    services: Services, stored: dict[str, Any]
) -> None:
    place = "airflow/connections/kafka_default"
    services("secretsmanager").put_secret_value(SecretId=place, SecretString=json.dumps(stored))
    run(services)
    assert len(services.secret(place)["extra"].pop("sasl.password")) == 43


@pytest.mark.parametrize(
    ("piped", "reason"),
    [("", "no JSON object"), ("[]", "no JSON object"), ("{}", "has no deployment")],
)
def test_what_is_no_output_of_terraform_is_said_without_a_stack_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], piped: str, reason: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(piped))
    monkeypatch.setattr("sys.argv", ["fill_secrets.py"])
    assert program.main() == 1
    said = capsys.readouterr()
    assert said.out == "" and reason in said.err and "terraform output -json" in said.err


def test_a_statement_that_fails_is_named_without_its_password(services: Services) -> None:
    services.fails = "CREATE USER dbt"
    with pytest.raises(RuntimeError, match=r"feira-dev: no such thing.*CREATE USER dbt") as raised:
        run(services)
    assert "md5" not in str(raised.value)


def test_the_charts_get_what_they_ask_of_kubernetes(services: Services) -> None:
    account = program.Account(services, DEPLOYMENT)
    with pytest.raises(program.SecretMissingError, match="without --manifests"):
        account.manifests()
    run(services)
    found = {
        (each["metadata"]["namespace"], each["metadata"]["name"]): each["stringData"]
        for each in account.manifests()["items"]
    }
    airflow = found["airflow", "feira-airflow"]
    assert set(airflow) == {"connection", "fernet-key", "api-secret-key", "jwt-secret"}
    start, end = "postgresql+psycopg2://airflow:", "@db.example.com:5432/airflow?sslmode=require"
    assert airflow["connection"].startswith(start) and airflow["connection"].endswith(end)
    Fernet(airflow["fernet-key"])
    assert set(json.loads(found["airflow", "feira-airflow-users"]["passwords.json"])) == {
        "admin",
        "operator",
        "viewer",
    }
    served = found["serving", "recommendations"]
    assert json.loads(served["FEIRA_VALKEY_URL"])["login"] == "recommendations"
    assert json.loads(served["FEIRA_KAFKA"])["extra"]["sasl.password"]


def test_rotation_keeps_the_key_that_airflow_has_encrypted_with(services: Services) -> None:
    run(services)
    before = services.secret("feira/airflow")
    run(services, env={}, rotate=True)
    after = services.secret("feira/airflow")
    assert {name for name in before if before[name] != after[name]} == {"connection"}
