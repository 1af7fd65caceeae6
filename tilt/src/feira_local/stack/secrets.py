"""The stack's passwords, made once and kept where only their owner reads them."""

from __future__ import annotations

import base64
import fcntl
import os
import secrets as random_source
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from feira_local.stack.errors import StackError


def write_private(path: Path, text: str) -> None:
    """Writes ``text`` with mode 0600, whole or not at all; the file is never readable by others."""
    making = path.with_name(path.name + ".new")
    making.unlink(missing_ok=True)
    descriptor = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(making, path)


def _password() -> str:
    # Hexadecimal needs no quoting in URLs, JSON, SQL, properties files and shells.
    return random_source.token_hex(16)


def _login_password() -> str:
    return random_source.token_urlsafe(9).replace("-", "x").replace("_", "y")


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def _secret(make: Callable[[], str] = _password) -> Any:
    return field(repr=False, metadata={"make": make})


@dataclass(frozen=True)
class Secrets:
    """Every secret of one stack; none of them shows in its ``repr``."""

    postgres_superuser: str = _secret()
    postgres_airflow: str = _secret()
    postgres_iceberg: str = _secret()
    postgres_warehouse_loader: str = _secret()
    postgres_dbt: str = _secret()
    postgres_reader: str = _secret()
    postgres_monitor: str = _secret()
    s3_access_key: str = _secret(lambda: random_source.token_hex(10))
    s3_secret_key: str = _secret(lambda: random_source.token_hex(20))
    valkey: str = _secret()
    spark_cluster: str = _secret()
    airflow_admin: str = _secret(_login_password)
    airflow_operator: str = _secret(_login_password)
    airflow_viewer: str = _secret(_login_password)
    airflow_monitor: str = _secret()
    airflow_fernet_key: str = _secret(_fernet_key)
    airflow_jwt_secret: str = _secret(lambda: random_source.token_hex(32))
    airflow_api_secret: str = _secret(lambda: random_source.token_hex(32))

    def by_name(self) -> dict[str, str]:
        """Every secret by the name of its field."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


def load_secrets(home: Path) -> Secrets:
    """The secrets in ``<home>/secrets.env`` (mode 0600); makes the file, or the names it lacks.

    Raises StackError when the file exists but cannot be read.
    """
    path = home / "secrets.env"
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(
            f"The folder {home} cannot be made: {error.strerror}. Set FEIRA_HOME to a folder that "
            "this user can write."
        ) from error
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StackError(
            f"{path} cannot be read: {error.strerror}. Is it another user's?"
        ) from error
    with os.fdopen(descriptor, "r+", encoding="ascii") as file:
        # Two first runs at the same time must agree on one set.
        fcntl.flock(file, fcntl.LOCK_EX)
        os.fchmod(file.fileno(), 0o600)
        try:
            known = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
        except UnicodeDecodeError as error:
            raise StackError(
                f"{path} is damaged: it holds bytes that are no ASCII. Put the right file back, or "
                "start afresh: `feira clean`."
            ) from error
        missing = [item for item in fields(Secrets) if item.name.upper() not in known]
        for item in missing:
            known[item.name.upper()] = item.metadata["make"]()
        if missing:
            file.seek(0)
            file.truncate()
            file.writelines(f"{name}={value}\n" for name, value in known.items())
    return Secrets(**{item.name: known[item.name.upper()] for item in fields(Secrets)})
