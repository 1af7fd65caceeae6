"""Where a secret of the running stack shows: in its files, its databases, its pages, or on any command line."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from feira_local.stack import access, postgres
from feira_local.stack.config import HOST
from feira_local.stack.lifecycle import Stack
from feira_local.stack.own_connections import FILE
from feira_local.stack.service import HttpCheck
from secret_search import Leak, SecretSearch

# The state of a check at its end: of whatever the stack went through.
NO_SECRET = "no secret shows in files, databases, pages or command lines"
# The files of a stack's folder that secrets belong in. Only their owner may read them.
SECRETS = "secrets.env"
HOLDERS = (
    SECRETS,
    FILE,
    "airflow/passwords.json",
    "run/s3proxy.properties",
    "run/spark.properties",
    "run/spark-cluster.properties",
    "valkey/valkey.conf",
)
# Of Spark, of what has figures, of Prometheus and of Alertmanager.
_SETTINGS = ("environment/", "executors/", "metrics", "api/v1/status/config", "api/v2/status")
# What statements say while they run, beside the tables.
_VIEWS = ("pg_catalog.pg_stat_activity",)


class CommandLines:
    """Every command line that any process of this machine had while it was watched: those of the stack's short
    steps too, unless they were over within a look."""

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}

    @contextmanager
    def watched(self, pause: float = 0.5) -> Iterator[None]:
        """Inside, it is looked every so many seconds."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(pause):
                self.look()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def look(self) -> None:
        """Notes what runs now."""
        for process in Path("/proc").glob("[0-9]*"):
            try:
                self._seen.setdefault((process / "cmdline").read_bytes(), int(process.name))
            except OSError:
                continue

    def leaks(self, search: SecretSearch) -> tuple[int, list[Leak]]:
        """How many different ones there were, and what was found in them."""
        found = [
            leak
            for line, pid in self._seen.items()
            for leak in search.in_bytes(f"the command line of process {pid}", line)
        ]
        return len(self._seen), found


def in_databases(search: SecretSearch, superuser: str) -> tuple[int, list[Leak]]:
    """How many tables the server's databases have, those of the catalogue too, and what was found in their rows."""
    with psycopg.connect(superuser) as server:
        names = server.execute("SELECT datname FROM pg_database WHERE datallowconn").fetchall()
    tables, found = 0, []
    for (name,) in names:
        with psycopg.connect(postgres.in_database(superuser, name)) as database:
            known = database.execute(
                "SELECT nspname || '.' || relname, nspname, relname FROM pg_class"
                " JOIN pg_namespace ON pg_namespace.oid = relnamespace"
                " WHERE relkind IN ('r', 'm') OR nspname || '.' || relname = ANY(%s) ORDER BY 1",
                [list(_VIEWS)],
            ).fetchall()
            for place, *parts in known:
                rows = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT").format(sql.Identifier(*parts))
                with database.cursor().copy(rows) as copy:
                    content = b"".join(bytes(block) for block in copy)
                found += search.in_bytes(f"database {name}, {place}", content)
            tables += len(known)
    return tables, found


def pages_of(stack: Stack) -> set[str]:
    """The pages of the services that one may open without a login: what they link to, and what programs of their kinds
    show of their settings."""
    checks = {it.health.url for it in stack.services if isinstance(it.health, HttpCheck)}
    links = {link.url for it in stack.services for link in it.links}
    pages = {url for url in checks | links if url.startswith("http")}
    if stack.config.monitoring is not None:
        pages.add(f"http://{HOST}:{stack.config.ports.own['spark_ui']}/jobs/")
    servers = {urlsplit(url)._replace(path="/", query="").geturl() for url in pages}
    return pages | {f"{server}{path}" for server in servers for path in _SETTINGS}


def in_pages(search: SecretSearch, urls: Iterable[str]) -> tuple[int, list[Leak]]:
    """How many pages there are, and what was found in them and in their headers."""
    pages, found = sorted(urls), []
    with access.loopback_session() as session:
        for url in pages:
            answer = session.get(url, timeout=60)
            headers = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
            found += search.in_bytes(f"page {url}", headers.encode() + b"\n\n" + answer.content)
    return len(pages), found


def no_secret_shows(commands: CommandLines) -> list[str]:
    """Every place where a secret of the running stack shows; prints where it was looked."""
    problems, looked = leaks_of(access.require_running(), commands)
    print(f"    looked into {looked}")
    return problems


def leaks_of(stack: Stack, commands: CommandLines) -> tuple[list[str], str]:
    """What is wrong with the running stack's secrets, and in words where they were looked for."""
    home, secrets = stack.config.home, stack.secrets.by_name()
    search = SecretSearch(secrets)
    problems = [f"{path} may be read by others" for path in open_holders(home)]
    # What finds none where all of them are would find none elsewhere.
    known = {leak.name for leak in search.in_file(home / SECRETS, SECRETS)}
    problems += [f"{name} is not found in {SECRETS}" for name in secrets.keys() - known]
    commands.look()
    looked = {
        "files": search.in_folder(home, HOLDERS),
        "tables": in_databases(search, access.dsns().superuser),
        "pages": in_pages(search, pages_of(stack)),
        "command lines": commands.leaks(search),
    }
    problems += [str(leak) for _, found in looked.values() for leak in found]
    problems += [
        f"no {what} were there to look into" for what, (count, _) in looked.items() if not count
    ]
    return problems, ", ".join(f"{count} {what}" for what, (count, _) in looked.items())


def open_holders(home: Path) -> list[Path]:
    """The files with secrets that others than their owner may read."""
    held = [home / name for name in HOLDERS if (home / name).is_file()]
    return [path for path in held if stat.S_IMODE(path.stat().st_mode) & 0o077]
