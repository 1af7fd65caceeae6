"""One client's session: each message is translated on its way to PostgreSQL, and each answer on its way back.

For a statement that is refused PostgreSQL gets a word that is none, and its error becomes the refusal: so
the refusal comes in its turn, and the transaction has failed as after any other error.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg

from redshift_local.loading.files import S3
from redshift_local.loading.transfer import said, transfer
from redshift_local.translation.errors import SYNTAX, NotImitated, RedshiftError, syntax_error
from redshift_local.translation.translate import Translated, translate
from redshift_local.wire import messages
from redshift_local.wire.messages import (
    CODE,
    DETAIL,
    HINT,
    MESSAGE,
    SEVERITY,
    message,
    texts,
)
from redshift_local.wording import redshifts_words

log = logging.getLogger(__name__)

# PostgreSQL's numbers of types that have another in Redshift.
_TYPES = {3802: 4000, 17: 6551}
# What a client is told of; the rest, the version first of all, is not Redshift's.
_TOLD = ("application_name", "client_encoding", "DateStyle", "TimeZone", "is_superuser")


# Stands for a COPY or UNLOAD: it does nothing, and nothing else has its tag.
_TRANSFER, _TRANSFER_TAG = "UNLISTEN redshift_transfer", b"UNLISTEN\0"
_STATES = {
    psycopg.pq.TransactionStatus.IDLE: b"I",
    psycopg.pq.TransactionStatus.INTRANS: b"T",
    psycopg.pq.TransactionStatus.INERROR: b"E",
}
Connection = psycopg.Connection[tuple[object, ...]]


@dataclass
class _Query:
    """A message that PostgreSQL ends with ReadyForQuery. ``shown`` says of each of its statements whether
    the client is to see its answer: what this server has added is run and not shown."""

    shown: deque[bool]
    # TRUNCATE was run: what it stands in is to be committed.
    commits: bool = False
    # A COMMIT of this server's own: of its answer the client sees the state alone.
    silent: bool = False
    # Run when PostgreSQL has come to the statement that stands for each; the client waits until then.
    transfers: list[Translated] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Session:
    """Passes messages between ``client`` and ``server`` until one of them ends."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        connection: Connection,
        dsn: str,
        s3: S3,
    ) -> None:
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        self._connection, self._dsn, self._s3 = connection, dsn, s3
        self._queries: deque[_Query] = deque()
        # Names of prepared statements and portals, and what they run.
        self._statements: dict[str, Translated | None] = {}
        self._portals: dict[str, Translated | None] = {}
        self._truncated = False
        self._transfers: list[Translated] = []
        # Of these PostgreSQL has come to so many.
        self._reached = 0
        # Refusals by the words that stand for them.
        self._refusals: dict[str, RedshiftError] = {}
        self._number = 0

    async def run(self) -> None:
        tasks = [asyncio.create_task(self._forth()), asyncio.create_task(self._back())]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in ended:
            task.result()

    async def _forth(self) -> None:
        while True:
            try:
                kind, body = await messages.read_message(self._from_client)
                if kind == b"X":
                    return
                if kind not in b"QPBESCDHdcf":
                    raise messages.ProtocolError(f"A message of kind {kind!r}")
                kind, body = self._passed(kind, body)
            except messages.TooLongError as error:
                refusal = RedshiftError(str(error), sqlstate="54001")
                kind, body = self._replaced(error.kind, refusal)
            self._to_server.write(message(kind, body))
            await self._to_server.drain()
            if kind in b"QS" and self._queries and self._queries[-1].transfers:
                # Nothing may be on its way to PostgreSQL while the transfer uses the connection.
                await self._queries[-1].done.wait()

    def _passed(self, kind: bytes, body: bytes) -> tuple[bytes, bytes]:
        """The message as PostgreSQL gets it. What this server fails at is the message's error, and not the
        session's end."""
        try:
            if kind == b"Q":
                return kind, self._query(body)
            if kind == b"P":
                return kind, self._parse(body)
            if kind == b"B":
                (portal, statement), _ = messages.split(body, 2)
                self._portals[portal] = self._statements.get(statement)
            elif kind == b"E":
                (portal,), _ = messages.split(body, 1)
                translated = self._portals.get(portal)
                if translated is not None:
                    self._truncated |= translated.kind == "TRUNCATE"
                    self._transfers += [translated] if translated.transfer else []
            elif kind == b"S":
                query = _Query(deque(), commits=self._truncated, transfers=self._transfers)
                self._queries.append(query)
                self._truncated, self._transfers = False, []
        except Exception as error:
            return self._replaced(kind, fault(error))
        return kind, body

    def _replaced(self, kind: bytes, error: RedshiftError) -> tuple[bytes, bytes]:
        """In a message's place one that PostgreSQL answers with the error."""
        text = self._refused(error)
        if kind == b"Q":
            self._queries.append(_Query(deque([True])))
            return kind, texts(text)
        return b"P", texts("", text) + b"\0\0"

    def _query(self, body: bytes) -> bytes:
        (text,), _ = messages.split(body, 1)
        shown: list[bool] = []
        transfers: list[Translated] = []
        try:
            found = translate(text)
            for each in found:
                _refuse_names(each)
                shown += [True] + [False] * (len(each.statements) - 1)
            text = ";".join(part for each in found for part in each.statements)
            transfers = [each for each in found if each.transfer]
            if transfers:
                if len(found) > 1:
                    raise NotImitated(f"{transfers[0].kind} beside other statements in one query")
                text, shown = _TRANSFER, [True]
        except RedshiftError as error:
            text, shown, transfers = self._refused(error), [True], []
        self._queries.append(_Query(deque(shown or [True]), transfers=transfers))
        return texts(text)

    def _parse(self, body: bytes) -> bytes:
        (name, text), types = messages.split(body, 2)
        translated = None
        try:
            found = translate(text)
            if len(found) > 1:
                raise RedshiftError(
                    "cannot insert multiple commands into a prepared statement", sqlstate=SYNTAX
                )
            if found:
                _refuse_names(found[0])
                translated = found[0]
                text = _TRANSFER if translated.transfer else translated.statements[0]
        except RedshiftError as error:
            text = self._refused(error)
        self._statements[name] = translated
        return texts(name, text) + types

    def _refused(self, error: RedshiftError) -> str:
        """A word for the error, at which PostgreSQL has a syntax error."""
        self._number += 1
        word = f"redshift_refusal_{self._number}"
        self._refusals[word] = error
        return word

    def _error(self, body: bytes) -> bytes:
        """An error in Redshift's words, without where in PostgreSQL it was raised."""
        parts = messages.error_parts(body)
        said = parts.get(MESSAGE, "")
        refusal = self._refusals.pop(said.split('"')[1], None) if said.count('"') == 2 else None
        known = redshifts_words(parts.get(CODE, ""))
        if refusal is not None:
            parts = {SEVERITY: "ERROR", CODE: refusal.sqlstate, MESSAGE: str(refusal)}
            parts |= {HINT: refusal.hint} if refusal.hint else {}
        elif known:
            parts |= {MESSAGE: known, DETAIL: said}
        return messages.error({k: v for k, v in parts.items() if k in "SVCMDH"})[5:]

    async def _back(self) -> None:
        while True:
            kind, body = await messages.read_message(self._from_server)
            query = self._queries[0] if self._queries else None
            shown = not (query and (query.silent or (query.shown and not query.shown[0])))
            if kind == b"Z":
                self._queries.popleft()
                reached, self._reached = self._reached, 0
                if query and query.transfers:
                    body = await self._transfer(query.transfers[:reached], body)
                    query.done.set()
                if query and query.commits and body == b"T":
                    # TRUNCATE commits the transaction that it stands in.
                    self._queries.appendleft(_Query(deque(), silent=True))
                    self._to_server.write(message(b"Q", texts("COMMIT")))
                    await self._to_server.drain()
                    continue
                shown = True
            elif kind == b"E":
                body, shown = self._error(body), True
            elif kind == b"C" and body == _TRANSFER_TAG:
                self._reached += 1
                shown = False
            elif kind == b"T":
                body = _types(body)
            elif kind == b"S":
                (name, _), _ = messages.split(body, 2)
                shown = name in _TOLD
            if shown:
                self._to_client.write(message(kind, body))
            if kind in b"CIs" and query and query.shown:
                query.shown.popleft()
            await self._to_client.drain()

    async def _transfer(self, transfers: list[Translated], state: bytes) -> bytes:
        """Runs COPY and UNLOAD on the connection and says how each ended; the transaction's state after them."""
        transport = self._to_server.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        try:
            for each in transfers:
                answer = await asyncio.to_thread(self._run_transfer, each)
                self._to_client.write(answer)
                state = _STATES[self._connection.info.transaction_status]
                if answer[:1] == b"E":
                    break
        finally:
            transport.resume_reading()
        return state

    def _run_transfer(self, translated: Translated) -> bytes:
        try:
            count = transfer(self._connection, self._dsn, self._s3, translated)
        except psycopg.Error as error:
            text = error.diag.message_primary or str(error)
            return self._failed(RedshiftError(text, sqlstate=error.sqlstate or "XX000"))
        except RedshiftError as error:
            return self._failed(error)
        except Exception as error:
            return self._failed(fault(error))
        parts = {SEVERITY: "INFO", CODE: "00000", MESSAGE: said(translated, count)}
        return messages.error(parts, b"N") + message(b"C", texts(translated.kind))

    def _failed(self, error: RedshiftError) -> bytes:
        """The refusal. A transaction in which this server has refused something has failed."""
        if self._connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
            with suppress(psycopg.Error):
                self._connection.execute("redshift_refusal")
        return messages.refusal(str(error), error.sqlstate, hint=error.hint)


def fault(error: Exception) -> RedshiftError:
    """What this server failed at, as the client is told of it."""
    log.error("redshift-local has failed", exc_info=error)
    return RedshiftError(f"redshift-local: {type(error).__name__}: {error}", sqlstate="XX000")


def _refuse_names(translated: Translated) -> None:
    if translated.parameters:
        raise syntax_error(":", "`:name` is the Data API's; here parameters are $1, $2, …")


def _types(body: bytes) -> bytes:
    """A RowDescription with Redshift's numbers of types."""
    (count,) = struct.unpack("!H", body[:2])
    described, rest = bytearray(body[:2]), body[2:]
    for _ in range(count):
        name, _, rest = rest.partition(b"\0")
        table, column, type_, size, modifier, form = struct.unpack("!IhIhih", rest[:18])
        described += name + b"\0"
        described += struct.pack(
            "!IhIhih", table, column, _TYPES.get(type_, type_), size, modifier, form
        )
        rest = rest[18:]
    return bytes(described)


def opened(dsn: str, options: dict[str, str], login: dict[str, Any]) -> Connection:
    """A session on PostgreSQL as Redshift's begin, with what of the client's ``options`` it takes; of the
    role of ``login``, or the DSN's."""
    connection = psycopg.connect(
        dsn,
        autocommit=True,
        prepare_threshold=None,
        client_encoding="utf8",
        sslmode="disable",
        gssencmode="disable",
        **login,
    )
    settings = {"timezone": "UTC", "datestyle": "ISO, MDY"}
    if options.get("application_name"):
        settings["application_name"] = options["application_name"]
    for name, value in settings.items():
        connection.execute("SELECT set_config(%s, %s, false)", [name, value])
    return connection
