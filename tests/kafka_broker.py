"""A broker with the stack's own command and settings, and its topics, for as long as a test needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feira.core.settings import repository_root
from feira_local.kafka import local
from feira_local.kafka.topics import make_topics
from feira_local.stack.config import DEFAULT_PORTS, Ports, ShopOptions, StackConfig
from feira_local.stack.secrets import load_secrets
from running_server import running, wait_for
from temporary_postgres import free_port


@contextmanager
def temporary_broker(home: Path) -> Iterator[str]:
    """Yields where a client begins; ends the broker at the end."""
    ports = Ports(
        **{name: free_port() for name in DEFAULT_PORTS},
        own={name: free_port() for name in ("kafka", "kafka_controller")},
    )
    config = StackConfig(home, repository_root(), ports, ShopOptions(None, 7, 1))
    config.make_folders()
    local.prepare(config, load_secrets(home))
    (service,) = [each for each in local.services(config) if each.name == "kafka"]
    log = config.logs / "kafka.log"
    with running(service.command, log, service.cwd) as process:
        try:
            wait_for(process, ports.own["kafka"], log)
            make_topics(local.bootstrap(config))
            yield local.bootstrap(config)
        finally:
            # Nothing of it is kept, and by itself it takes seconds to end.
            process.kill()
