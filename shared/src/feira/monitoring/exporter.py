"""Asks each source in turn and shows the figures over HTTP: a source that does not answer stops no other."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Protocol

from prometheus_client import start_http_server

from feira.core.errors import first_line
from feira.monitoring.figures import Figures

log = logging.getLogger(__name__)


class Source(Protocol):
    """Something that figures come from."""

    name: str

    def collect(self, figures: Figures) -> None:
        """Brings the figures of this source up to date; raises where it does not answer."""


def collect(sources: Sequence[Source], figures: Figures) -> None:
    """Asks every source once, in their order; its ``feira_source_up`` says whether it answered. What it
    gave before stays, and ``feira_exporter_last_poll_timestamp_seconds`` says how old that may be."""
    for source in sources:
        try:
            source.collect(figures)
        except Exception as error:
            log.warning("%s: %s: %s", source.name, type(error).__name__, first_line(error))
            figures.source_up.labels(source.name).set(0)
        else:
            figures.source_up.labels(source.name).set(1)
    figures.last_poll.set_to_current_time()


def serve(
    sources: Sequence[Source],
    figures: Figures,
    *,
    host: str,
    port: int,
    seconds: float,
    stop: threading.Event,
) -> None:
    """Serves ``/metrics`` until ``stop`` is set, and asks every ``seconds``."""
    server, thread = start_http_server(port, addr=host, registry=figures.registry)
    try:
        while not stop.is_set():
            collect(sources, figures)
            stop.wait(seconds)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
