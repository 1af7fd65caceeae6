"""Blocks of users, of which something is made on all cores at once and had in their order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from feira.recommendations.interactions import Ints

T = TypeVar("T")

CORES = len(os.sched_getaffinity(0))
# Users that are taken at once: their scores of every item stay in a processor's cache or near it.
USERS = 64
# What waits to be taken, of each core: so much is held, however many users there are.
_AHEAD = 2


def in_blocks(make: Callable[[Ints], T], users: int, cores: int = CORES) -> Iterator[T]:
    """What ``make`` gives for each block of users (their positions), in the order of the users.

    A block is made by one thread, and blocks are the same however many there are: so is what is made. NumPy,
    SciPy and LightGBM let other threads go on while they count; BLAS, which would start as many of its own in
    each, has one.
    """
    blocks = (
        np.arange(start, min(start + USERS, users), dtype=np.int32)
        for start in range(0, users, USERS)
    )
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(cores) as threads:
        made: deque[Future[T]] = deque()
        for block in blocks:
            made.append(threads.submit(make, block))
            if len(made) > _AHEAD * cores:
                yield made.popleft().result()
        while made:
            yield made.popleft().result()
