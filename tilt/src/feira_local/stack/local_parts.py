"""What a pipeline has on a laptop beside the shared services: ``feira_local/<part>/local.py``, found by its place.

A part brings services, ports, Airflow connections and jars, and the stack takes them as its own: it
starts and watches the services, moves the ports with FEIRA_PORT_OFFSET, hands the connections to
Airflow, and fetches the jars. ``feira up --without NAME`` leaves a part's services and connections out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from feira.core.by_place import declarations
from feira_local.stack.errors import StackError
from feira_local.stack.service import Service

if TYPE_CHECKING:
    from feira_local.stack.config import StackConfig
    from feira_local.stack.jars import JarSet
    from feira_local.stack.libraries import Library


def _no_services(config: StackConfig) -> tuple[Service, ...]:
    return ()


def _no_connections(config: StackConfig) -> dict[str, dict[str, Any]]:
    return {}


def _no_libraries(config: StackConfig) -> tuple[Library, ...]:
    return ()


@dataclass(frozen=True)
class LocalPart:
    """A part of the stack: ``LOCAL`` of its ``local.py``.

    :param name: its folder's name; ``<FEIRA_HOME>/<name>`` is its own to write in
    :param ports: the loopback ports of its services with their defaults; ``FEIRA_PORT_<NAME>`` sets
        another, and ``config.ports.own`` has those in force
    :param services: its services, whose ``cwd`` exists
    :param connections: Airflow connections by id, in the fields of ``airflow connections import``
    :param jars: the Java programs of its services; ``config.jars / <set's name>`` has them
    :param topics: topics of Kafka with their numbers of partitions
    :param libraries: what of the system its pipeline's packages need in this stack. A part that is left out is asked
        too: a connection of ``connections.yaml`` may stand for it
    :param on_request: whether it was asked for; such a part is started only then, and is none of ``--without``
    """

    name: str
    ports: Mapping[str, int] = field(default_factory=dict)
    services: Callable[[StackConfig], tuple[Service, ...]] = _no_services
    connections: Callable[[StackConfig], dict[str, dict[str, Any]]] = _no_connections
    jars: tuple[JarSet, ...] = ()
    topics: Mapping[str, int] = field(default_factory=dict)
    libraries: Callable[[StackConfig], tuple[Library, ...]] = _no_libraries
    on_request: Callable[[StackConfig], bool] | None = None


@functools.cache
def local_parts() -> tuple[LocalPart, ...]:
    """Every part, by name.

    :raises StackError: where one does not name its folder
    """
    import feira_local

    return tuple(declarations(feira_local.__path__, "feira_local", "local", LocalPart, StackError))
