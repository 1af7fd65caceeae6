"""Shared libraries of the system that wheels need and do not bring."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from feira_local.stack.errors import StackError
from feira_local.stack.local_parts import local_parts

if TYPE_CHECKING:
    from feira_local.stack.config import StackConfig


@dataclass(frozen=True)
class Library:
    """A library of a Linux system.

    :param name: what the wheels ask the loader for
    :param needed_by: which wheels, and what the stack does with them
    :param step: how it is installed
    """

    name: str
    needed_by: str
    step: str

    @property
    def missing(self) -> str:
        """Why the loader does not take it; empty where it does."""
        try:
            ctypes.CDLL(self.name)
        except OSError as error:
            return str(error)
        return ""


LIBGOMP = Library(
    "libgomp.so.1",
    "the packages implicit and lightgbm, which make the lists of recommendations",
    "Install it: `sudo apt-get install libgomp1` (Debian, Ubuntu) or `sudo dnf install libgomp` (Fedora); "
    "or do without recommendations: `feira up --without valkey`.",
)


def libraries(config: StackConfig) -> tuple[Library, ...]:
    """What the stack's pipelines need as it is to be started; nothing where the system is not Linux."""
    if sys.platform != "linux":
        return ()
    return tuple(it for part in local_parts() for it in part.libraries(config))


def require_libraries(config: StackConfig) -> None:
    """Raises StackError naming a library that is missing, what needs it and how it is installed."""
    for it in libraries(config):
        if it.missing:
            raise StackError(
                f"Nothing was started: the system's library {it.name} is needed by {it.needed_by}, and cannot be "
                f"loaded ({it.missing}). {it.step}"
            )
