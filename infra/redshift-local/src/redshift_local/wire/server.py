"""The PostgreSQL protocol's server, on loopback. It takes any user and asks for no password, unless it is to have
PostgreSQL's own roles log in."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from redshift_local.loading.files import S3
from redshift_local.loopback import refuse_outside
from redshift_local.translation.commands import is_utf8
from redshift_local.translation.errors import INVALID_PARAMETER
from redshift_local.wire import messages
from redshift_local.wire.session import Session, fault, opened

SERVER_VERSION = "8.0.2"


class _Wire:
    def __init__(self, dsn: str, s3: S3, logins: bool) -> None:
        self._dsn = dsn
        self._s3 = s3
        self._logins = logins
        self._database = str(psycopg.conninfo.conninfo_to_dict(dsn).get("dbname") or "")
        self._keys: dict[tuple[int, int], psycopg.Connection[tuple[object, ...]]] = {}
        self._open: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._session(reader, writer)
        except messages.ProtocolError as error:
            writer.write(messages.refusal(str(error), "08P01", severity="FATAL"))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        except Exception as error:
            failed = fault(error)
            writer.write(messages.refusal(str(failed), failed.sqlstate, severity="FATAL"))
        finally:
            self._open.discard(task)
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def close(self, server: asyncio.Server) -> None:
        """Takes no more clients and ends the sessions; in the loop's own thread, since no other may end a server."""
        server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        code, body = await messages.read_startup(reader)
        while code in (messages.SSL_REQUEST, messages.GSS_REQUEST):
            writer.write(b"N")
            code, body = await messages.read_startup(reader)
        if code == messages.CANCEL_REQUEST:
            connection = self._keys.get(struct.unpack("!Ii", body[:8]))
            if connection is not None:
                await asyncio.to_thread(connection.cancel_safe)
            return
        if code >> 16 != messages.VERSION_3 >> 16:
            raise messages.ProtocolError(f"Protocol {code >> 16}.{code & 0xFFFF}; 3.0 is spoken")
        options = messages.pairs(body)
        database = options.get("database") or options.get("user", "")
        if database != self._database:
            writer.write(
                messages.refusal(f'database "{database}" does not exist', "3D000", severity="FATAL")
            )
            return
        encoding = options.get("client_encoding", "utf8")
        if not is_utf8(encoding):
            text = f'client_encoding "{encoding}" is not supported: texts are in UTF8'
            writer.write(messages.refusal(text, INVALID_PARAMETER, severity="FATAL"))
            return
        login = await self._login(reader, writer, options) if self._logins else {}
        try:
            connection = await asyncio.to_thread(opened, self._dsn, options, login)
        except psycopg.Error as error:
            if login and "authentication failed" in str(error):
                writer.write(_no_login(login["user"]))
                return
            writer.write(messages.refusal(str(error).strip(), "08006", severity="FATAL"))
            return
        key = (connection.info.backend_pid, secrets.randbits(31))
        self._keys[key] = connection
        try:
            await self._run(reader, writer, connection, options, key)
        finally:
            del self._keys[key]
            connection.close()

    async def _login(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        options: dict[str, str],
    ) -> dict[str, str]:
        """What the client logs in with. The password comes as it is, since PostgreSQL is to judge it."""
        writer.write(messages.message(b"R", struct.pack("!I", messages.CLEARTEXT_PASSWORD)))
        kind, body = await messages.read_message(reader)
        if kind != b"p":
            raise messages.ProtocolError(f"A message of kind {kind!r} for a password")
        (password,), _ = messages.split(body, 1)
        user = options.get("user", "")
        # For an empty one libpq would look for another where this process keeps its own.
        return {"user": user, "password": password or "none"}

    async def _run(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connection: psycopg.Connection[tuple[object, ...]],
        options: dict[str, str],
        key: tuple[int, int],
    ) -> None:
        told = {
            "server_version": SERVER_VERSION,
            "server_encoding": "UTF8",
            "client_encoding": connection.info.parameter_status("client_encoding") or "UTF8",
            "DateStyle": "ISO, MDY",
            "TimeZone": "UTC",
            "integer_datetimes": "on",
            "is_superuser": "off",
            "session_authorization": options.get("user", ""),
        }
        writer.write(messages.message(b"R", struct.pack("!I", 0)) + messages.statuses(told.items()))
        writer.write(messages.message(b"K", struct.pack("!Ii", *key)))
        writer.write(messages.message(b"Z", b"I"))
        # The connection that psycopg has authenticated goes on as a stream of messages; psycopg keeps it
        # to cancel what runs on it, to close it, and for COPY, while no message is under way.
        own = socket.socket(fileno=os.dup(connection.pgconn.socket))
        server = await asyncio.open_connection(sock=own)
        try:
            await Session((reader, writer), server, connection, self._dsn, self._s3).run()
        finally:
            server[1].close()


def _no_login(user: str) -> bytes:
    text = f'password authentication failed for user "{user}"'
    return messages.refusal(text, "28P01", severity="FATAL")


@contextmanager
def wire(
    dsn: str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    s3: S3 | None = None,
    logins: bool = False,
) -> Iterator[int]:
    """Serves the PostgreSQL protocol for the database of ``dsn``; yields its port.

    ``port`` 0 is a free one, ``s3`` where COPY finds its files (default: AWS's). With ``logins`` a client
    is the role of that PostgreSQL whose name and password it gives, else the DSN's. Sessions are closed at
    the end. ValueError when ``host`` is not loopback, OSError when the port is taken.
    """
    refuse_outside(host)
    sockets = socket.create_server((host, port))
    loop = asyncio.new_event_loop()
    proxy = _Wire(dsn, s3 or S3(), logins)
    server = loop.run_until_complete(asyncio.start_server(proxy.serve, sock=sockets))
    thread = threading.Thread(target=loop.run_forever, name="wire", daemon=True)
    thread.start()
    try:
        yield sockets.getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(proxy.close(server), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
