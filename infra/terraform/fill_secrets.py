"""Gives each connection of a deployment its secret: in Secrets Manager, and where the secret opens something.

    terraform output -json | python infra/terraform/fill_secrets.py
    terraform output -json | python infra/terraform/fill_secrets.py --manifests | kubectl apply -f -

Terraform makes the places and knows no secret, so no state and no plan holds one. This program makes the
passwords of warehouse, Kafka, Valkey and Airflow's database, and takes those that others have given
out from the environment: FEIRA_SECRET_SLACK_DEFAULT='{"password": "T000/B000/…"}', the same of SMTP_DEFAULT
(login and password) and, where they want one, of SHOP_API and of SPARK_DEFAULT, whose token is a password
without a login. It may be run again at any time: what is there stays, and is set again where it opens
something; ``--rotate`` makes new passwords. It prints names;
with ``--manifests``, to a program alone, the Secrets that the charts ask of Kubernetes.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

PREFIX = "airflow/connections"
# With the keys of the Secrets that Airflow's chart asks for (docs/kubernetes.md).
AIRFLOW = "feira/airflow"
USERS = "feira/airflow-users"
MADE_HERE = (
    *("warehouse_default", "warehouse_dbt", "warehouse_reader"),
    *("kafka_default", "valkey_default"),
)
# With what of it is secret. Of others that have none by themselves, people may give both fields.
MUST_BE_GIVEN = {"slack_default": ("password",), "smtp_default": ("login", "password")}
_MAY_BE_GIVEN = ("login", "password")
# Types of connection whose password is of no use alone; Spark's is a token.
_WITH_LOGIN = ("aws", "http")
_GIVEN = "FEIRA_SECRET_"
# The lists, and the number of the server's process by which a run knows that it was started anew (INFO).
VALKEY_RIGHTS = "on ~reco:* +@all -@admin -@dangerous +info"
_KAFKA_PASSWORD = "sasl.password"
_PATIENCE_SECONDS = 300

Connection = dict[str, Any]


class SecretError(RuntimeError):
    """What was to be done with secrets could not be; the message has none."""


class SecretMissingError(SecretError):
    """A secret that only people know is neither in Secrets Manager nor in the environment."""


class SecretFormError(SecretError):
    """What people gave, or what is stored, is not of the form that it must have."""


def parsed(what: str, text: str, form: str) -> dict[str, Any]:
    """A JSON object. Raises SecretFormError naming what it is of, and not what it holds."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise SecretFormError(f"{what} is no JSON object; it must be {form}. Nothing was written.")
    return found


def connections(outputs: Mapping[str, Any]) -> dict[str, Connection]:
    """The connections by id, of what ``terraform output -json`` prints; none has a secret."""
    start = "AIRFLOW_CONN_"
    return {
        name.removeprefix(start).lower(): json.loads(output["value"])
        for name, output in outputs.items()
        if name.startswith(start)
    }


def password_of(conn_id: str, connection: Connection) -> str | None:
    """The password of a whole connection; Kafka's stands in its extra."""
    holder = (connection.get("extra") or {}) if conn_id == "kafka_default" else connection
    found: str | None = holder.get(_KAFKA_PASSWORD if conn_id == "kafka_default" else "password")
    return found


def whole(
    conn_id: str,
    described: Connection,
    stored: Connection | None,
    given: Connection | None,
    *,
    rotate: bool = False,
) -> Connection:
    """The connection with its secret: a new one, the one that is stored, or what people gave.

    Everything else is as Terraform describes it. Raises SecretMissingError for one that people have to give.
    """
    stored = stored or {}
    if conn_id in MADE_HERE:
        password = (None if rotate else password_of(conn_id, stored)) or secrets.token_urlsafe(32)
        if conn_id == "kafka_default":
            return described | {"extra": described["extra"] | {_KAFKA_PASSWORD: password}}
        return described | {"password": password}
    kept = {
        name: stored[name] for name in _MAY_BE_GIVEN if name in stored and name not in described
    }
    found = described | kept | (given or {})
    alone = bool(found.get("password")) and described["conn_type"] in _WITH_LOGIN
    needed = MUST_BE_GIVEN.get(conn_id, ("login",) if alone else ())
    if missing := [name for name in needed if not found.get(name)]:
        raise SecretMissingError(
            f"{PREFIX}/{conn_id} has no {' and no '.join(missing)}, and only you know it. Set {variable(conn_id)} "
            f"to {_form(conn_id)}, and run this again."
        )
    return found


def variable(conn_id: str) -> str:
    """The environment variable that a secret of people's is read from."""
    return f"{_GIVEN}{conn_id.upper()}"


def _form(conn_id: str) -> str:
    fields = MUST_BE_GIVEN.get(conn_id, _MAY_BE_GIVEN)
    return f"JSON such as {json.dumps(dict.fromkeys(fields, '…'), ensure_ascii=False)}"


def given_by_people(conn_id: str, text: str) -> Connection:
    """The secret fields of a connection. Raises SecretFormError for anything else, without what it is."""
    name, form = variable(conn_id), _form(conn_id)
    found = parsed(name, text, form)
    fields = MUST_BE_GIVEN.get(conn_id, _MAY_BE_GIVEN)
    if not found.keys() <= set(fields):
        raise SecretFormError(
            f"{name} has another key than {' and '.join(fields)}; it must be {form}. Nothing was written."
        )
    wrong = [key for key, it in found.items() if not (isinstance(it, str) and it.strip())]
    if wrong:
        raise SecretFormError(
            f"{name} has no text for {' and '.join(wrong)}; it must be {form}. Nothing was written."
        )
    return found


def user_statements(user: str, password: str, *, exists: bool) -> str:
    """Redshift's statement that makes the user, or sets its password, and does not hold the password.

    Data API and audit log keep statements. Of 256 random bits the hash gives nothing away.
    """
    # Redshift's own form: https://docs.aws.amazon.com/redshift/latest/dg/r_CREATE_USER.html
    digest = hashlib.md5(f"{password}{user}".encode(), usedforsecurity=False).hexdigest()
    return f"{'ALTER' if exists else 'CREATE'} USER {user} PASSWORD 'md5{digest}'"


class Account:
    """The AWS side: secrets, and the services whose passwords they are.

    :param client: makes a boto3 client by its service's name
    """

    def __init__(self, client: Callable[[str], Any], deployment: Mapping[str, Any]) -> None:
        self._client = client
        self._deployment = deployment
        self._secrets = client("secretsmanager")

    def stored(self, name: str) -> str | None:
        """A secret's value, or None where nothing is in it yet."""
        try:
            value: str = self._secrets.get_secret_value(SecretId=name)["SecretString"]
        except self._secrets.exceptions.ResourceNotFoundException:
            return None
        return value

    def store(self, name: str, value: str) -> None:
        if self.stored(name) != value:
            self._secrets.put_secret_value(SecretId=name, SecretString=value)

    def set_kafka(self, user: str, password: str) -> None:
        pair = json.dumps({"username": user, "password": password})
        self.store(self._deployment["kafka_secret"], pair)

    def set_valkey(self, password: str) -> None:
        self._client("elasticache").modify_user(
            UserId=self._deployment["valkey_user"],
            AccessString=VALKEY_RIGHTS,
            AuthenticationMode={"Type": "password", "Passwords": [password]},
        )

    def set_database(self, *, rotate: bool) -> None:
        """Airflow's database: its password, in the address that Airflow reads at its start. What else Airflow
        needs is made once: a new Fernet key could not read what the old one has written."""
        database = self._deployment["database"]
        stored = _stored(AIRFLOW, self.stored(AIRFLOW)) or {}
        made = {
            "fernet-key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "api-secret-key": secrets.token_urlsafe(32),
            "jwt-secret": secrets.token_urlsafe(64),
        } | stored
        if rotate or "connection" not in made:
            made["connection"] = (
                f"postgresql+psycopg2://airflow:{secrets.token_urlsafe(32)}@{database['host']}:5432/airflow"
                "?sslmode=require"
            )
        self.store(AIRFLOW, json.dumps(made))
        self._client("rds").modify_db_instance(
            DBInstanceIdentifier=database["identifier"],
            MasterUserPassword=made["connection"].split("://airflow:")[1].split("@")[0],
            ApplyImmediately=True,
        )

    def set_users(self, *, rotate: bool) -> None:
        """Passwords of Airflow's users on the page."""
        if rotate or self.stored(USERS) is None:
            people = ("admin", "operator", "viewer")
            self.store(USERS, json.dumps({name: secrets.token_urlsafe(16) for name in people}))

    def manifests(self) -> dict[str, Any]:
        """What the charts find in Kubernetes, as a list that kubectl takes. All of it is secret."""

        def secret(namespace: str, name: str, data: Mapping[str, str | None]) -> dict[str, Any]:
            if missing := [key for key, value in data.items() if value is None]:
                raise SecretMissingError(
                    f"There is nothing for {missing[0]} of {namespace}/{name}; run this without --manifests first."
                )
            return {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"namespace": namespace, "name": name},
                "stringData": data,
            }

        airflow = _stored(AIRFLOW, self.stored(AIRFLOW)) or {"connection": None}
        return {
            "apiVersion": "v1",
            "kind": "List",
            "items": [
                secret("airflow", "feira-airflow", airflow),
                secret("airflow", "feira-airflow-users", {"passwords.json": self.stored(USERS)}),
                secret(
                    "serving",
                    "recommendations",
                    {
                        "FEIRA_VALKEY_URL": self.stored(f"{PREFIX}/valkey_default"),
                        "FEIRA_KAFKA": self.stored(f"{PREFIX}/kafka_default"),
                    },
                ),
            ],
        }

    def set_warehouse(self, passwords: Mapping[str, str], grants: list[str]) -> None:
        """Users of the warehouse by name, then its schemas and who reads them."""
        for user, password in passwords.items():
            found = self._query("SELECT usename FROM pg_user WHERE usename = :name", name=user)
            self._query(user_statements(user, password, exists=bool(found)))
        for statement in grants:
            self._query(statement)

    def _query(self, sql: str, **parameters: str) -> list[Any]:
        """Rows of one statement, run by the administrator whose password Redshift keeps."""
        warehouse = self._deployment["warehouse"]
        data = self._client("redshift-data")
        named = [{"name": name, "value": value} for name, value in parameters.items()]
        started = data.execute_statement(
            WorkgroupName=warehouse["workgroup"],
            Database=warehouse["database"],
            SecretArn=warehouse["admin_secret"],
            Sql=sql,
            **({"Parameters": named} if named else {}),
        )
        until = time.monotonic() + _PATIENCE_SECONDS
        while (state := data.describe_statement(Id=started["Id"]))["Status"] != "FINISHED":
            if state["Status"] in ("FAILED", "ABORTED"):
                raise SecretError(
                    f"{warehouse['workgroup']}: {state.get('Error', state['Status'])}. The statement was: "
                    f"{sql.split(' PASSWORD ')[0]}"
                )
            if time.monotonic() > until:
                raise SecretError(
                    f"{warehouse['workgroup']} has not answered for {_PATIENCE_SECONDS} s; run this again."
                )
            time.sleep(0.5)
        if not state.get("HasResultSet"):
            return []
        rows: list[Any] = data.get_statement_result(Id=started["Id"])["Records"]
        return rows


def fill(
    outputs: Mapping[str, Any],
    account: Account,
    env: Mapping[str, str],
    grants: list[str],
    *,
    rotate: bool = False,
) -> list[str]:
    """Writes every secret and sets it where it opens something; the names of the secrets.

    Raises SecretMissingError or SecretFormError before anything is written.
    """
    wanted: dict[str, Connection] = {}
    described = connections(outputs)
    _require_known(env, [conn_id for conn_id in described if conn_id not in MADE_HERE])
    for conn_id, connection in described.items():
        name, given = f"{PREFIX}/{conn_id}", env.get(variable(conn_id))
        wanted[conn_id] = whole(
            conn_id,
            connection,
            _stored(name, account.stored(name)),
            given_by_people(conn_id, given) if given else None,
            rotate=rotate,
        )
    # What is of another form is refused before anything is written.
    _stored(AIRFLOW, account.stored(AIRFLOW))
    # The secret first: a run that is killed in between leaves one that the next run sets.
    for conn_id, connection in wanted.items():
        account.store(f"{PREFIX}/{conn_id}", json.dumps(connection))
    kafka = wanted["kafka_default"]["extra"]
    account.set_kafka(kafka["sasl.username"], kafka[_KAFKA_PASSWORD])
    account.set_valkey(wanted["valkey_default"]["password"])
    account.set_database(rotate=rotate)
    account.set_users(rotate=rotate)
    users = [wanted[conn_id] for conn_id in MADE_HERE if conn_id.startswith("warehouse_")]
    account.set_warehouse({user["login"]: user["password"] for user in users}, grants)
    return [f"{PREFIX}/{conn_id}" for conn_id in wanted] + [AIRFLOW, USERS]


def _stored(name: str, text: str | None) -> dict[str, Any] | None:
    """What a secret holds. Raises SecretFormError where this program cannot use it."""
    if not text:
        return None
    what, form = f"The secret {name}", "what this program has put there, or {}"
    found = parsed(what, text, form)
    wrong = [key for key in _MAY_BE_GIVEN if not isinstance(found.get(key), str | None)]
    if name == f"{PREFIX}/kafka_default":
        extra = found.get("extra") or {}
        if not isinstance(extra, dict) or not isinstance(extra.get(_KAFKA_PASSWORD), str | None):
            wrong.append("extra")
    if name == AIRFLOW and "://airflow:" not in str(found.get("connection", "://airflow:")):
        wrong.append("connection")
    if wrong:
        raise SecretFormError(
            f"{what} has another form in {' and '.join(wrong)}; it must be {form}. Nothing was written."
        )
    return found


def _require_known(env: Mapping[str, str], conn_ids: list[str]) -> None:
    known = [variable(conn_id) for conn_id in conn_ids]
    unknown = [name for name in sorted(env) if name.startswith(_GIVEN) and name not in known]
    if unknown:
        raise SecretFormError(
            f"{unknown[0]} is of no connection whose secret people give; those are {', '.join(known)}. "
            "Nothing was written."
        )


def _outputs(text: str) -> dict[str, Any]:
    """What `terraform output -json` has printed of an environment that is there."""
    form = "what `terraform output -json` prints in infra/terraform after `terraform apply`"
    outputs = parsed("The input", text, form)
    if "deployment" not in outputs:
        raise SecretFormError(
            f"The input has no deployment; it must be {form}. Nothing was written."
        )
    return outputs


def main() -> int:
    import boto3

    from feira.core.warehouse.grants import grants

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rotate", action="store_true", help="new passwords for what is ours")
    parser.add_argument("--manifests", action="store_true", help="print Kubernetes' Secrets")
    arguments = parser.parse_args()
    if arguments.manifests and sys.stdout.isatty():
        parser.error("--manifests prints secrets; pipe it to kubectl apply -f -")
    try:
        outputs = _outputs(sys.stdin.read())
        deployment = outputs["deployment"]["value"]
        account = Account(partial(boto3.client, region_name=deployment["region"]), deployment)
        if arguments.manifests:
            print(json.dumps(account.manifests()))
            return 0
        written = fill(outputs, account, os.environ, grants(), rotate=arguments.rotate)
    except SecretError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(written))
    return 0


if __name__ == "__main__":
    sys.exit(main())
