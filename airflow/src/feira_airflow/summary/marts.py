"""Builds and tests the marts: one dbt invocation in this process, without Airflow."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from feira.core.contracts import Contract
from feira.core.contracts.dbt import write_declared
from feira.core.contracts.ddl import Dialect
from feira.core.contracts.registry import BUILT_SCHEMA
from feira.core.warehouse.schema import connect
from feira_airflow.summary.built import begin, finish

if TYPE_CHECKING:
    from dbt.artifacts.schemas.run import RunResult

log = logging.getLogger(__name__)

SERVICE = "feira_dbt"
# One after the other, where loads come meanwhile.
_BUILDS = 5
# What dbt writes where it is run by hand; and what editors keep beside an open file, of which none is SQL and a
# link may lead nowhere.
_NOT_OF_THE_PROJECT = shutil.ignore_patterns("target", "logs", ".*")
CONNECT_TIMEOUT = "10"
SSL_MODE = "verify-full"
# Options of libpq's that a connection of dbt-redshift has too, or by itself.
_OF_REDSHIFT = ("application_name", "client_encoding", "connect_timeout", "sslmode", "sslrootcert")
NEXT_STEP = "Correct that and clear the task; what was to be built is built again."


class MartsError(RuntimeError):
    """The marts were not built, or break their contract; a line for each mart and what to do."""


def dbt_env(dsn: str, folder: Path, dialect: Dialect = "postgres") -> dict[str, str]:
    """The variables that ``infra/dbt/profiles.yml`` reads. With PostgreSQL any other option of a libpq
    connection string is given by those that libpq reads, with a file of theirs in ``folder``: dbt knows few
    of libpq's options, and a service gives the rest to each of its connections.

    Raises MartsError for an option that a service, or Redshift's driver, cannot have.
    """
    options = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    env = {
        "FEIRA_DBT_TARGET": dialect,
        "FEIRA_DBT_HOST": options.pop("host", ""),
        "FEIRA_DBT_PORT": options.pop("port", "5432"),
        "FEIRA_DBT_USER": options.pop("user", ""),
        "FEIRA_DBT_PASSWORD": options.pop("password", ""),
        "FEIRA_DBT_DATABASE": options.pop("dbname", ""),
        "FEIRA_DBT_CONNECT_TIMEOUT": options.get("connect_timeout", CONNECT_TIMEOUT),
    }
    if dialect == "redshift":
        if unknown := sorted(options.keys() - {*_OF_REDSHIFT}):
            raise MartsError(
                f"The marts' connection has {unknown[0]} in its extra, which Redshift's driver does not "
                f"know; it knows {', '.join(_OF_REDSHIFT)}."
            )
        return env | {"FEIRA_DBT_SSLMODE": options.get("sslmode", SSL_MODE)}
    if not options:
        return env
    if broken := [name for name, value in options.items() if name == "service" or "\n" in value]:
        raise MartsError(
            f"The marts' connection has {broken[0]} in its extra, which dbt cannot be given; set "
            "its options one by one, each in one line."
        )
    file = folder / "pg_service.conf"
    file.touch(mode=0o600)
    lines = [f"{name}={value}" for name, value in options.items()]
    file.write_text("\n".join([f"[{SERVICE}]", *lines, ""]))
    return env | {"PGSERVICEFILE": str(file), "PGSERVICE": SERVICE}


def build_marts(
    dsn: str,
    *,
    project_dir: Path,
    target_dir: Path,
    quiet: bool = False,
    tables: Mapping[str, Contract] | None = None,
    dialect: Dialect = "postgres",
    whole: bool = False,
) -> dict[str, int]:
    """Brings every mart to the fact as it is now and tests it; returns the rows of each mart.

    The days are built whose orders loads have changed since the last build, all of them with ``whole`` and where
    ``built.begin`` says so; again where loads came meanwhile, a few times: each load is followed by a run.

    ``dsn`` is a libpq connection string of the role that owns the marts, ``dialect`` the warehouse's.
    dbt runs on a copy of the project with what the contracts declare, the checkout's or ``tables``.
    ``target_dir`` takes what dbt writes: its parsed project, which makes the next call faster, the
    SQL it ran, and its log. Two calls at the same time need two folders; one waits for the other.
    ``quiet`` leaves dbt's own progress out of the output.

    Raises MartsError. A mart whose SQL failed is as it was before; one that breaks its contract
    holds the rows that break it; the others are built.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        _environment(dbt_env(dsn, Path(folder), dialect)),
        _connect(dsn) as warehouse,
    ):
        project = shutil.copytree(project_dir, Path(folder) / "project", ignore=_NOT_OF_THE_PROJECT)
        write_declared(project, tables, dialect)
        for _ in range(_BUILDS):
            try:
                build = begin(warehouse, project, whole=whole)
            except psycopg.Error as error:
                raise _not_built(error) from error
            results = _run(project, target_dir, warehouse, quiet=quiet, whole=build.whole)
            if finish(warehouse, build):
                break
            whole = False
        else:
            log.warning(
                "loads came during each of %s builds; the last is left to their own runs", _BUILDS
            )
        models = (each.node for each in results if str(each.node.resource_type) == "model")
        marts = sorted(node.name for node in models if node.schema == BUILT_SCHEMA)
        return {mart: _count(warehouse, mart) for mart in marts}


def _run(
    project: Path, target_dir: Path, warehouse: psycopg.Connection, *, quiet: bool, whole: bool
) -> list[RunResult]:
    # dbt takes two seconds to import: nobody pays for that but the task that runs it.
    from dbt.cli.main import dbtRunner

    outcome = dbtRunner().invoke(
        [
            *("--log-path", str(target_dir / "logs")),
            *(["--quiet"] if quiet else []),
            # Relations of other schemas are of no interest, and take a query a schema.
            "--cache-selected-only",
            "build",
            *("--project-dir", str(project)),
            *("--profiles-dir", str(project)),
            *("--target-path", str(target_dir)),
            # What the load has asserted is not asserted again over the whole fact.
            *("--exclude", "source:*"),
            *(["--full-refresh"] if whole else []),
        ]
    )
    if outcome.exception is not None:
        if not isinstance(outcome.exception, Exception):
            raise outcome.exception  # an interrupt, or the task's time limit
        raise _not_built(outcome.exception) from outcome.exception
    results: list[RunResult] = list(getattr(outcome.result, "results", []))
    if not outcome.success:
        raise MartsError("\n".join([*_failures(results, warehouse), NEXT_STEP]))
    return results


def _not_built(error: Exception) -> MartsError:
    return MartsError(f"The marts were not built: {' '.join(str(error).split())} {NEXT_STEP}")


def _failures(results: Iterable[RunResult], warehouse: psycopg.Connection) -> Iterator[str]:
    """A line for each failed model or test; what was skipped for their sake is not named."""
    for result in results:
        node: Any = result.node
        if result.status == "fail":
            # The node's own schema would be the one for stored failures.
            table = f"marts.{node.file_key_name.split('.')[-1]}"
            rules = _broken_rules(warehouse, node.compiled_code)
            yield (
                f"{table} breaks its contract, failing rows: "
                + "; ".join(f"{rows:,} where {rule}" for rule, rows in rules.items())
                + f". Either infra/dbt/models/{table.replace('.', '/')}.sql or "
                f"shared/contracts/{table}.odcs.yaml is wrong, or the fact holds what it must not."
            )
        elif result.status in ("error", "runtime error"):
            yield (
                f"{node.schema}.{node.name} was not built: {_reason(result.message or '')} "
                f"See infra/dbt/{node.original_file_path}."
            )


def _broken_rules(warehouse: psycopg.Connection, test: str) -> dict[str, int]:
    """Broken rules and their rows: runs a failed test again, since dbt keeps only its total."""
    return {rule: int(rows) for rule, rows in warehouse.execute(test.encode())}


def _reason(message: str) -> str:
    """dbt's message as one line, less its first, which names the model, and its scratch paths."""
    lines = [line.strip() for line in message.splitlines()[1:]]
    return " ".join(line for line in lines if line and not line.startswith("compiled code at"))


def _count(warehouse: psycopg.Connection, mart: str) -> int:
    query = sql.SQL("select count(*) from {}").format(sql.Identifier("marts", mart))
    row = warehouse.execute(query).fetchone()
    return int(row[0]) if row else 0


def _connect(dsn: str) -> psycopg.Connection:
    """As ``connect`` does, and within the time that dbt has too."""
    options: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT, **conninfo_to_dict(dsn)}
    try:
        return connect(make_conninfo(**options))
    except psycopg.OperationalError as error:
        raise _not_built(error) from error


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets variables of this process, and puts back what was there."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
