"""Statements and sessions of the Data API: submitted, run by threads, kept in memory until the server ends."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from redshift_local.data_api.model import ApiError, invalid
from redshift_local.execution import Connection, Outcome, connect, run
from redshift_local.loading.files import S3
from redshift_local.translation.errors import SYNTAX, RedshiftError
from redshift_local.translation.translate import Translated, translate
from redshift_local.wording import worded

ENDED = ("FINISHED", "FAILED", "ABORTED")


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Part:
    """One SQL statement of a request: the only one, or one of a batch."""

    id: str
    sql: str
    status: str = "SUBMITTED"
    error: str = ""
    outcome: Outcome | None = None
    created: datetime = field(default_factory=_now)
    updated: datetime = field(default_factory=_now)
    began: float = 0.0
    nanoseconds: int = 0
    query: int = -1

    def becomes(self, status: str, error: str = "") -> None:
        self.status, self.error, self.updated = status, error, _now()
        if status == "STARTED":
            self.began = time.monotonic()
        elif self.began:
            self.nanoseconds = int((time.monotonic() - self.began) * 1e9)


@dataclass
class Statement:
    """A request to execute. Its parts run in order; a batch is one transaction."""

    id: str
    parts: list[Part]
    batch: bool
    request: dict[str, Any]
    session: Session | None = None
    whole: Part = field(init=False)
    pid: int = 0
    cancelled: bool = False
    ended: threading.Event = field(default_factory=threading.Event)
    connection: Connection | None = None

    def __post_init__(self) -> None:
        self.whole = Part(self.id, "") if self.batch else self.parts[0]


@dataclass
class Session:
    """A connection that outlives its statements for ``keep_alive`` seconds, and runs one at a time."""

    id: str
    keep_alive: int
    request: dict[str, Any]
    connection: Connection | None = None
    current: Statement | None = None
    closed: bool = False
    created: datetime = field(default_factory=_now)
    updated: datetime = field(default_factory=_now)
    timer: threading.Timer | None = None


class Statements:
    """All that was submitted, and who runs it.

    ``dsn`` is the database of every statement. ``threads`` run at a time, others wait as SUBMITTED; a session's
    statements wait for none but its own.
    """

    def __init__(self, dsn: str, database: str, s3: S3, threads: int = 8) -> None:
        self._dsn = dsn
        self._s3 = s3
        self._database = database
        self._lock = threading.RLock()
        self._statements: dict[str, Statement] = {}
        self._sessions: dict[str, Session] = {}
        self._tokens: dict[str, Statement] = {}
        self._queries = 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="data-api")

    def close(self) -> None:
        """Cancels what runs and ends all sessions."""
        with self._lock:
            running = [each for each in self._statements.values() if not each.ended.is_set()]
            sessions = list(self._sessions.values())
        # Again and again, since what has not begun yet cannot be cancelled.
        while running:
            for statement in running:
                with suppress(ApiError):
                    self.cancel(statement.id)
            running = [each for each in running if not each.ended.wait(0.05)]
        self._pool.shutdown(wait=True)
        for session in sessions:
            self._end(session)

    def submit(self, request: dict[str, Any], sqls: list[str], *, batch: bool) -> Statement:
        """A new statement, or the one that the same ClientToken has submitted."""
        token = request.get("ClientToken")
        with self._lock:
            known = self._tokens.get(token) if token else None
            if known is not None:
                if known.request != request:
                    raise invalid(
                        f"ClientToken {token} was used by another request: statement {known.id}"
                    )
                return known
            number = str(uuid.uuid4())
            ids = [f"{number}:{n}" for n in range(1, len(sqls) + 1)] if batch else [number]
            parts = [Part(id_, sql) for id_, sql in zip(ids, sqls, strict=True)]
            statement = Statement(number, parts, batch, request)
            statement.session = self._session(request, statement)
            self._statements[number] = statement
            if token:
                self._tokens[token] = statement
        if statement.session is None:
            self._pool.submit(self._execute, statement)
        else:
            # What the pool's threads wait for may be a lock of this session.
            threading.Thread(target=self._execute, args=[statement], daemon=True).start()
        return statement

    def _session(self, request: dict[str, Any], statement: Statement) -> Session | None:
        wanted = request.get("SessionId")
        keep_alive = request.get("SessionKeepAliveSeconds")
        if wanted is None:
            if keep_alive is None:
                return None
            session = Session(str(uuid.uuid4()), keep_alive, request)
            self._sessions[session.id] = session
        else:
            found = self._sessions.get(wanted)
            if found is None or found.closed:
                raise invalid(f"Session {wanted} is not available: it is unknown or has ended")
            if found.current is not None:
                raise invalid(f"Session {wanted} is busy with statement {found.current.id}")
            session = found
            session.keep_alive = session.keep_alive if keep_alive is None else keep_alive
            if session.timer is not None:
                session.timer.cancel()
        session.current = statement
        return session

    def find(self, id_: str) -> tuple[Statement, Part]:
        """The statement and the part that the id names; ApiError where there is none."""
        with self._lock:
            statement = self._statements.get(id_.split(":")[0])
        if statement is not None:
            for part in [statement.whole, *statement.parts]:
                if part.id == id_:
                    return statement, part
        raise ApiError("ResourceNotFoundException", "Query does not exist.", ResourceId=id_)

    def all(self) -> list[Statement]:
        """Newest first."""
        with self._lock:
            return list(self._statements.values())[::-1]

    def sessions(self) -> list[Session]:
        with self._lock:
            return list(self._sessions.values())[::-1]

    def cancel(self, id_: str) -> None:
        """Asks a statement that has not ended to end; ApiError when it has."""
        statement, _ = self.find(id_)
        with self._lock:
            if statement.whole.status in ENDED:
                raise invalid(
                    f"Could not cancel a query that is already in {statement.whole.status} state "
                    f"with ID: {id_}"
                )
            statement.cancelled = True
            connection = statement.connection
        if connection is not None:
            with suppress(psycopg.Error):
                connection.cancel_safe()

    def _execute(self, statement: Statement) -> None:
        try:
            with self._connected(statement) as connection:
                if statement.batch:
                    self._batch(statement, connection)
                else:
                    self._part(statement, statement.parts[0], connection)
        except (RedshiftError, psycopg.Error) as error:
            _fail(statement, worded(error))
        except Exception as error:
            # Whatever it was, nobody else will tell whoever waits for this statement.
            _fail(statement, f"ERROR: {type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._release(statement)
            statement.ended.set()

    @contextmanager
    def _connected(self, statement: Statement) -> Iterator[Connection]:
        session = statement.session
        wanted = statement.request.get("Database", self._database)
        if wanted != self._database:
            raise RedshiftError(f'database "{wanted}" does not exist', sqlstate="3D000")
        connection = session.connection if session is not None else None
        if connection is None:
            connection = connect(self._dsn)
        if session is not None:
            session.connection = connection
        with self._lock:
            statement.connection = connection
        statement.pid = connection.info.backend_pid
        try:
            yield connection
        finally:
            with self._lock:
                statement.connection = None
            if session is None:
                connection.close()

    def _release(self, statement: Statement) -> None:
        session = statement.session
        if session is None:
            return
        session.current, session.updated = None, _now()
        if session.keep_alive == 0 or session.connection is None or session.connection.closed:
            self._end(session)
            return
        session.timer = threading.Timer(session.keep_alive, self._expire, [session])
        session.timer.daemon = True
        session.timer.start()

    def _expire(self, session: Session) -> None:
        with self._lock:
            if session.current is None:
                self._end(session)

    def _end(self, session: Session) -> None:
        session.closed, session.updated = True, _now()
        if session.timer is not None:
            session.timer.cancel()
        if session.connection is not None:
            session.connection.close()

    def _batch(self, statement: Statement, connection: Connection) -> None:
        """All parts in one transaction: when one fails, those after it are not run and all is undone."""
        whole = statement.whole
        whole.becomes("STARTED")
        if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            raise RedshiftError(
                "there is already a transaction in progress",
                sqlstate="25001",
                hint="end the session's transaction: a batch is one of its own",
            )
        connection.autocommit = False
        failed = ""
        try:
            for number, part in enumerate(statement.parts, 1):
                if failed:
                    part.becomes("ABORTED")
                    continue
                self._part(statement, part, connection)
                if part.status != "FINISHED":
                    failed = f"Query #{number} failed with {part.error}"
            if failed:
                connection.rollback()
            else:
                connection.commit()
        except psycopg.Error as error:
            failed = worded(error)
        finally:
            with suppress(psycopg.Error):
                connection.rollback()
                connection.autocommit = True
        if failed:
            whole.becomes("ABORTED" if statement.cancelled else "FAILED", failed)
        else:
            whole.becomes("FINISHED")

    def _part(self, statement: Statement, part: Part, connection: Connection) -> None:
        with self._lock:
            self._queries += 1
            part.query = self._queries
            if statement.cancelled:
                part.becomes("ABORTED", "Query cancelled on user's request.")
                return
            part.becomes("STARTED")
        try:
            part.outcome = run(
                connection, _only(part.sql), _values(statement.request), dsn=self._dsn, s3=self._s3
            )
        except (RedshiftError, psycopg.Error) as error:
            if statement.cancelled and isinstance(error, psycopg.errors.QueryCanceled):
                part.becomes("ABORTED", "Query cancelled on user's request.")
            else:
                part.becomes("FAILED", worded(error))
            return
        part.becomes("FINISHED")


def _fail(statement: Statement, error: str) -> None:
    """What of the statement has not ended has failed."""
    for part in {id(each): each for each in [statement.whole, *statement.parts]}.values():
        if part.status not in ENDED:
            part.becomes("FAILED", error)


def _only(sql: str) -> Translated:
    found = translate(sql)
    if len(found) > 1:
        raise RedshiftError(
            "cannot insert multiple commands into a prepared statement",
            sqlstate=SYNTAX,
            hint="BatchExecuteStatement takes several, one in each of Sqls",
        )
    if not found:
        raise RedshiftError("syntax error at end of input", sqlstate=SYNTAX)
    return found[0]


def _values(request: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in request.get("Parameters", [])}


def check_parameters(request: dict[str, Any], sqls: list[str]) -> None:
    """ApiError for a parameter that is given twice, in no statement, or asked for and not given."""
    given = [each["name"] for each in request.get("Parameters", [])]
    twice = sorted({name for name in given if given.count(name) > 1})
    if twice:
        raise invalid(f"Parameters list contains duplicate parameters: {twice}")
    asked: set[str] = set()
    for sql in sqls:
        try:
            asked |= {name for each in translate(sql) for name in each.parameters}
        except RedshiftError:
            # The statement fails when it is run, which is where its error belongs.
            return
    unused, missing = sorted(set(given) - asked), sorted(asked - set(given))
    if unused:
        raise invalid(f"Parameters list contains unused parameters. Unused parameters: {unused}")
    if missing:
        raise invalid(f"Parameters list does not have parameters of the statement: {missing}")
