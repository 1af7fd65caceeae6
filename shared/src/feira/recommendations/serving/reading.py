"""Reads a user's list from Valkey, and has an answer where there is none: Valkey down, slow or empty.

A request is read by one MGET, with the pointer, and those that come meanwhile by one together after it: so
every answer is of one version, and a version that is served from now on is in the next answer. A read that
takes longer than 20 ms, or fails, ends reading: answers come from memory until Valkey is seen to answer
again, several times running and each time within 20 ms, for which no request waits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

from valkey.asyncio import Valkey
from valkey.exceptions import ConnectionError as ValkeyConnectionError
from valkey.exceptions import TimeoutError as ValkeyTimeoutError

from feira.core.errors import first_line
from feira.recommendations.serving import layout
from feira.recommendations.serving.baked import Baked
from feira.recommendations.serving.served import (
    BASKET,
    FILE,
    NONE,
    POPULAR,
    Answer,
    Offer,
    Served,
    served_of,
    stored_in,
    without,
)
from feira.recommendations.serving.store import Options

log = logging.getLogger(__name__)

READ_SECONDS: Final = 0.02
# Of what no request waits for: a new version's items, and whether Valkey answers again.
_LOAD_SECONDS = 1.0
_PROBE_SECONDS = (0.05, 0.5)
# So often running it must answer as fast as a request needs it: else each look at a slow one would cost the next
# request its wait.
_FAST_PROBES = 5
# How long a version that cannot be used is not looked at again, and how often the file is.
_UNUSABLE_SECONDS = 0.5
_FILE_SECONDS = 60.0
# What is read together: more keys would not be there in time. One request's are, however many they are.
_MOST_AT_ONCE, _MOST_KEYS = 200, 1_000
# After so many keys the answers are made before the next read begins: it would have to wait for them.
_MANY_KEYS = 200
FAILURES: Final = ("timeout", "error", "damaged")


class Lists:
    """The lists of the version that is served.

    :param options: of ``serving.store``
    :param read_file: returns the file that was baked at publish; raises any error where it cannot be read
    :param failed: is called with the kind of each failure of Valkey, of ``FAILURES``
    """

    def __init__(
        self,
        options: Options,
        read_file: Callable[[], bytes],
        failed: Callable[[str], None] = lambda _: None,
    ) -> None:
        # Every read has its limit here; the client's own would be a second timer for each.
        self._client = Valkey(
            **{**options, "socket_timeout": None, "socket_connect_timeout": _LOAD_SECONDS}
        )
        self._read_file, self._failed = read_file, failed
        # Reads have one of their own: to take one from the pool for each costs as much as the read. A read that is
        # not yet over and a look whether Valkey answers must not both be on it.
        self._connection = self._client.connection_pool.make_connection()
        self._alone = asyncio.Lock()
        self._served: Served | None = None
        self._looked_at: tuple[bytes | None, float] = (None, 0.0)
        self._file: Baked | None = None
        self._recovering: asyncio.Task[None] | None = None
        self._loading: asyncio.Task[None] | None = None
        self._reading = False
        self._waiting: list[tuple[list[str], asyncio.Future[list[bytes | None] | None]]] = []
        self._background: set[asyncio.Task[None]] = set()
        self._filed, self._tried = asyncio.Event(), asyncio.Event()

    @property
    def up(self) -> bool:
        """Whether Valkey answers, as far as is known."""
        return self._recovering is None

    @property
    def version(self) -> str | None:
        """The version that is read; None where none is."""
        return self._served.version if self._served else None

    @property
    def file_version(self) -> str | None:
        """The version of the baked file; None where there is no file."""
        return self._file.version if self._file else None

    async def start(self) -> None:
        """Takes up reading; gives Valkey and the file a moment to be there with the first request."""
        self._keep(self._follow_file())
        self._recover("")
        first = [asyncio.ensure_future(it.wait()) for it in (self._filed, self._tried)]
        await asyncio.wait(first, timeout=_LOAD_SECONDS)
        for each in first:
            each.cancel()

    async def stop(self) -> None:
        """Ends what goes on beside the requests."""
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._connection.disconnect()
        await self._client.aclose()

    async def look(self) -> None:
        """Reads which version is served, as a request does: so it is known where there are none, too."""
        await self._read(lambda _: ())

    async def answer(
        self, slot: str, user: str, n: int, excluded: frozenset[str] = frozenset()
    ) -> Answer:
        """What is offered to a user; it waits for Valkey some 20 ms at most, and never fails."""
        served, values = await self._read(lambda version: (layout.user_key(version, user),))
        if served is not None and values is not None and values[0] is not None:
            try:
                if (found := served.answer(slot, values[0], n, excluded)) is not None:
                    return found
            except (IndexError, ValueError):
                self._failed("damaged")
        return self._for_everyone(served, slot, n, excluded)

    async def with_basket(
        self, basket: Sequence[str], n: int, excluded: frozenset[str] = frozenset()
    ) -> Answer:
        """What goes with the distinct items of a basket, then what is popular, as ``answer`` does."""
        served, values = await self._read(
            lambda version: [layout.with_key(version, item) for item in basket]
        )
        excluded |= frozenset(basket)
        popular = self._for_everyone(served, "new", n, excluded)
        if served is None or values is None or not any(values):
            return popular
        try:
            offers = served.offers_with(basket, values)
        except (IndexError, ValueError):
            self._failed("damaged")
            return popular
        found = {each.item for each in offers}
        offers += [each for each in popular.offers if each.item not in found]
        return Answer(served.version, BASKET, without(offers, excluded, n))

    def _for_everyone(
        self, served: Served | None, slot: str, n: int, excluded: frozenset[str]
    ) -> Answer:
        """What is offered to whoever has no list."""
        first = n + len(excluded)
        if served is not None and slot in served.everyone:
            offers = _popular(served.everyone[slot][:first])
            return Answer(served.version, POPULAR, without(offers, excluded, n))
        if self._file is not None and slot in self._file.everyone:
            offers = _popular(self._file.everyone[slot][:first])
            return Answer(self._file.version, FILE, without(offers, excluded, n))
        return Answer(served.version if served else None, NONE, [])

    async def _read(
        self, keys_of: Callable[[str], Iterable[str]]
    ) -> tuple[Served | None, list[bytes | None] | None]:
        """The version, and the values of its keys as they were when it was served; of what fails None."""
        try:
            for last in (False, True):
                served = self._served
                if not self.up:
                    return served, None
                keys = [layout.LIVE]
                if served is not None:
                    keys += keys_of(served.version)
                values = await self._together(keys)
                if values is None or self._is_read(served, values[0]) or last:
                    return served, values[1:] if values and served is not None else None
                await self._follow()
        except Exception:
            log.exception("a list was not read")
            self._failed("error")
        return self._served, None

    def _is_read(self, served: Served | None, live: bytes | None) -> bool:
        """Whether the version that was asked is live, or what is live was looked at just now and cannot be read.

        Another request may have loaded a new one meanwhile: the values are of the one that was asked.
        """
        if live is None:
            return served is None
        if served is not None and served.version.encode() == live:
            return True
        looked_at, when = self._looked_at
        recent = looked_at == live and time.monotonic() - when < _UNUSABLE_SECONDS
        return recent and self._served is served

    async def _together(self, keys: list[str]) -> list[bytes | None] | None:
        """The values of the keys; None where Valkey fails. What is asked meanwhile is read at once after it."""
        if self._reading:
            future: asyncio.Future[list[bytes | None] | None] = (
                asyncio.get_running_loop().create_future()
            )
            self._waiting.append((keys, future))
            return await future
        self._reading = True
        try:
            return await self._mget(keys)
        finally:
            if self._waiting:
                self._keep(self._read_waiting())
            else:
                self._reading = False

    async def _read_waiting(self) -> None:
        now: list[tuple[list[str], asyncio.Future[list[bytes | None] | None]]] = []
        try:
            while self._waiting:
                together: list[str] = []
                now = []
                for keys, future in self._waiting[:_MOST_AT_ONCE]:
                    if now and len(together) + len(keys) > _MOST_KEYS:
                        break
                    together += keys
                    now.append((keys, future))
                del self._waiting[: len(now)]
                values = await self._mget(together)
                at = 0
                for keys, future in now:
                    if not future.done():
                        future.set_result(values and values[at : at + len(keys)])
                    at += len(keys)
                if len(together) > _MANY_KEYS:
                    await asyncio.sleep(0)
        finally:
            # However this ends, nobody waits for it any more.
            for _, future in now + self._waiting:
                if not future.done():
                    future.set_result(None)
            self._waiting.clear()
            self._reading = False

    async def _mget(self, keys: list[str]) -> list[bytes | None] | None:
        if not self.up:
            return None
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await self._values(keys)
        # Not of the client's own kinds alone: an event loop raises its own where a connection has just ended.
        except Exception as error:
            self._recover(_reason(error))
            return None

    async def _values(self, keys: list[str]) -> list[bytes | None]:
        async with self._alone:
            if self._connection.is_connected:
                # Servers and what lies between close a connection that was idle.
                with suppress(ValkeyConnectionError):
                    return await self._values_once(keys)
            return await self._values_once(keys)

    async def _values_once(self, keys: list[str]) -> list[bytes | None]:
        await self._connection.send_command("MGET", *keys, check_health=False)
        values: list[bytes | None] = await self._connection.read_response()
        return values

    async def _follow(self) -> None:
        """Loads what is served; who waits for it waits as long as for a read."""
        if self._loading is None:
            self._loading = self._keep(self._load_or_recover())
        await asyncio.wait([self._loading], timeout=READ_SECONDS)

    async def _load_or_recover(self) -> None:
        try:
            await self._load()
        except Exception as error:
            self._recover(_reason(error))
        finally:
            self._loading = None

    async def _load(self) -> None:
        async with asyncio.timeout(_LOAD_SECONDS):
            live = await self._client.get(layout.LIVE)
            found = None if live is None else await self._version_at(live)
        if live is not None and found is None:
            self._failed("damaged")
            if live != self._looked_at[0]:
                log.warning(
                    "version %s cannot be read: it is not whole, or not in layout %d; publish it again",
                    *(live[:64].decode("utf-8", "replace"), layout.LAYOUT),
                )
        self._looked_at = (live, time.monotonic())
        if (found and found.version) != self.version:
            log.info("version %s is read", found and found.version)
        self._served = found

    async def _version_at(self, live: bytes) -> Served | None:
        """What the pointer says; a version never changes, so the one that is read is not read again."""
        if self._served is not None and self._served.version.encode() == live:
            return self._served
        stored = await stored_in(self._client, live.decode("utf-8", "replace"))
        # Here and not in a thread: those may all be at reads of the lake, for which no list waits.
        return None if stored is None else served_of(stored)

    def _recover(self, reason: str) -> None:
        """Ends reading, until Valkey answers again."""
        if reason:
            self._failed(reason)
        if self._recovering is None:
            self._recovering = self._keep(self._wait_until_up(_FAST_PROBES if reason else 0))

    async def _wait_until_up(self, fast_probes: int) -> None:
        pause, longest = _PROBE_SECONDS
        was_down = False
        while True:
            try:
                await self._load()
                # A request has no time for that.
                async with asyncio.timeout(_LOAD_SECONDS), self._alone:
                    await self._connection.connect()
                for _ in range(fast_probes):
                    await self._probe()
                break
            except Exception as error:
                if not was_down:
                    log.warning("Valkey does not answer: %s", first_line(error))
                was_down = True
            finally:
                self._tried.set()
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)
        self._recovering = None
        if was_down:
            log.warning("Valkey answers again")

    async def _probe(self) -> None:
        """Raises TimeoutError where Valkey answers, and no request could wait for it."""
        try:
            async with asyncio.timeout(READ_SECONDS):
                await self._values([layout.LIVE])
        except TimeoutError:
            raise TimeoutError(f"an answer takes over {READ_SECONDS * 1000:.0f} ms") from None

    async def _follow_file(self) -> None:
        logged = ""
        while True:
            try:
                self._file = Baked.model_validate_json(await asyncio.to_thread(self._read_file))
                logged = ""
            # An object store's client has errors of its own, which are no OSError.
            except Exception as error:
                # By kind: a message may name a request, and be another each time.
                if (kind := type(error).__name__) != logged:
                    log.warning(
                        "the file that was baked at publish cannot be read: %s: %s",
                        *(kind, first_line(error)),
                    )
                logged = kind
            self._filed.set()
            await asyncio.sleep(_FILE_SECONDS)

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task


def _reason(error: BaseException) -> str:
    return "timeout" if isinstance(error, (TimeoutError, ValkeyTimeoutError)) else "error"


def _popular(items: Sequence[str]) -> list[Offer]:
    return [Offer(item, layout.POPULAR) for item in items]
