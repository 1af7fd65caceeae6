"""Threads of a trigger's own for what cannot be awaited.

Those of the event loop are few, and everybody's: it looks up each host's name in one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# Made when they are needed. They only wait, but a container may have few.
_MOST = 256


class NoAnswerInTimeError(Exception):
    """What a thread was asked for was not there in time, or no thread was free for it."""


def own_threads(name: str) -> Executor:
    """Threads for one kind of trigger: what hangs there keeps no other kind waiting."""
    return ThreadPoolExecutor(_MOST, name)


async def in_thread(
    threads: Executor,
    seconds: float,
    function: Callable[P, T],
    *arguments: P.args,
    **options: P.kwargs,
) -> T:
    """What the function returns, with this task's context.

    :param seconds: how long that may take, with the wait for a thread; where none was free, it is not called any more
    :raises NoAnswerInTimeError: after that time
    """
    called = partial(copy_context().run, function, *arguments, **options)
    try:
        async with asyncio.timeout(seconds) as limit:
            return await asyncio.get_running_loop().run_in_executor(threads, called)
    except TimeoutError as error:
        if limit.expired():
            raise NoAnswerInTimeError from error
        raise
