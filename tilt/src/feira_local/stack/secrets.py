"""The stack's passwords, made once and kept where only their owner reads them; and how a file or folder is made so."""

from __future__ import annotations

import base64
import fcntl
import functools
import os
import secrets as random_source
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from feira_local.stack.errors import StackError

FILE = "secrets.env"
# Not the file itself: that one is another after each write.
_LOCK = "secrets.lock"
# In a stack's folder; the last is left by a kill amid a write.
FILES = (FILE, _LOCK, f"{FILE}.new")


def write_private(path: Path, text: str) -> None:
    """Writes ``text`` with mode 0600, whole or not at all; the file is never readable by others. It has one writer at
    a time."""
    making = path.with_name(path.name + ".new")
    making.unlink(missing_ok=True)
    descriptor = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            # A rename may reach the disk before what it renames.
            os.fsync(file.fileno())
        os.replace(making, path)
    except BaseException:
        making.unlink(missing_ok=True)
        raise


def make_private(folder: Path) -> None:
    """Makes the folder of the supervisor's socket in a place where anyone may have made one of its name. Who owns the
    socket is who says what runs.

    Raises StackError where it is not this user's alone.
    """
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    alone = stat.S_ISDIR(found.st_mode) and found.st_mode & 0o777 == 0o700
    if not alone or found.st_uid != os.geteuid():
        raise StackError(
            f"{folder} must be a folder of user {os.geteuid()} with mode 0700, for the supervisor's socket; it is "
            f"{stat.filemode(found.st_mode)} of user {found.st_uid}. Remove it, or set FEIRA_HOME to a path that is "
            "short enough for a socket."
        )


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

    Raises StackError when the file exists but cannot be read, or cannot be written; it stays as it was then.
    """
    path = home / FILE
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(
            f"The folder {home} cannot be made: {error.strerror}. Set FEIRA_HOME to a folder that "
            "this user can write."
        ) from error
    known = _read(path)
    if _missing(known):
        try:
            with _locked(home):
                known = _read(path)
                known |= _made(_missing(known))
                write_private(path, "".join(f"{name}={value}\n" for name, value in known.items()))
        except OSError as error:
            raise StackError(
                f"{path} cannot be written: {error.strerror}. Is {home} another user's, or its disk full?"
            ) from error
    return _of(known)


def known_secrets(home: Path) -> Secrets:
    """Those of the file, for who looks and starts nothing: where there is none, they are random, open nothing and are
    not written. A file of an older release gets the names that it lacks.

    Raises StackError as ``load_secrets``.
    """
    return load_secrets(home) if _read(home / FILE) else _of(_unkept(home))


@functools.cache
def _unkept(home: Path) -> dict[str, str]:
    """Parts of a stack that are looked at by one process have the same."""
    return _made(fields(Secrets))


def _of(known: dict[str, str]) -> Secrets:
    return Secrets(**{item.name: known[item.name.upper()] for item in fields(Secrets)})


def _made(names: Iterable[Field[Any]]) -> dict[str, str]:
    return {item.name.upper(): item.metadata["make"]() for item in names}


def _read(path: Path) -> dict[str, str]:
    """The file's values by name, those of names that this release does not know too; none where there is no file."""
    try:
        with path.open(encoding="ascii") as file:
            if os.fstat(file.fileno()).st_mode & 0o777 != 0o600:
                os.fchmod(file.fileno(), 0o600)
            return dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise StackError(
            f"{path} cannot be read: {error.strerror}. Is it another user's?"
        ) from error
    except UnicodeDecodeError as error:
        raise StackError(
            f"{path} is damaged: it holds bytes that are no ASCII. Put the right file back, or "
            "start afresh: `feira clean`."
        ) from error


def _missing(known: dict[str, str]) -> list[Field[Any]]:
    return [item for item in fields(Secrets) if item.name.upper() not in known]


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Two first runs at the same time must agree on one set."""
    # Who may not read it cannot keep others waiting.
    with os.fdopen(os.open(home / _LOCK, os.O_RDWR | os.O_CREAT, 0o600), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
