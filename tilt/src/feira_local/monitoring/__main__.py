"""The exporter of a laptop's stack: asks all that it has, takes what Airflow sends, and shows the figures."""

from __future__ import annotations

import logging
import shutil
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from feira.core.landing.store import LandingStore
from feira.monitoring.airflow import Airflow
from feira.monitoring.airflow_metrics import TAKEN
from feira.monitoring.endpoints import Endpoint
from feira.monitoring.exporter import Source, serve
from feira.monitoring.figures import Figures
from feira.monitoring.judged import JUDGES, Judgements
from feira.monitoring.lake_reads import lake_reads
from feira.monitoring.otlp import Sums
from feira.monitoring.otlp_server import receiving
from feira.monitoring.postgres import Postgres
from feira.monitoring.tables import LakeTables
from feira.monitoring.topics import Topics
from feira.monitoring.warehouse import Warehouse
from feira.sales.landing import LANDED
from feira.user_events.codec import DEAD_TOPIC, TOPIC
from feira_local.monitoring.heaps import Heaps
from feira_local.stack import airflow, health, postgres
from feira_local.stack.config import HOST, StackConfig
from feira_local.stack.own_connections import connections_of_parts, own_connections
from feira_local.stack.secrets import known_secrets
from feira_local.stack.state import running_config

SECONDS = 60
_KAFKA, _WAREHOUSE, _SHOP = "kafka_default", "warehouse_default", "shop_api"


@dataclass
class Disk:
    """The file system of the stack's folder."""

    folder: Path
    name: str = "disk"

    def collect(self, figures: Figures) -> None:
        """Sets its size and what of it is free."""
        found = shutil.disk_usage(self.folder)
        figures.disk_size.labels("state").set(found.total)
        figures.disk_free.labels("state").set(found.free)


def sources(config: StackConfig, figures: Figures) -> list[Source]:
    """What a stack's figures come from; of its parts those that it was started with.

    Lake and Kafka are those of ``connections.yaml`` where it names them. Another warehouse than the
    stack's own has no role for this, and another API than the simulator's is not asked beside the
    pipelines: these are left out.
    """
    secrets = known_secrets(config.home)
    own = own_connections(config.home)
    login = postgres.dsns(secrets, config.ports.postgres, config.warehouse_database).monitor
    lake = config.lake_settings(secrets)
    files = lake_reads(lake, health.PATIENCE_SECONDS)
    tables = LakeTables(postgres.in_database(login, "iceberg"), files)
    found: list[Source] = [Disk(config.home), Heaps(config.run), Postgres(login), tables]
    if lake.endpoint == config.s3_url:
        # It has no figures of its own. To who does not sign it answers 403, and does answer.
        found.append(Endpoint("s3", config.s3_url, statuses=(200, 403)))
    if _WAREHOUSE not in own:
        # Behind what stands for Redshift too: its views of itself do not say whether anything was written.
        found.append(Warehouse(login))
    if kafka := connections_of_parts(config).get(_KAFKA, {}).get("extra"):
        found.append(Topics(kafka, (TOPIC, DEAD_TOPIC), tables.read))
    if _SHOP not in own:
        found.append(Endpoint(_SHOP, f"{config.shop_url}/health"))
    found.append(
        Airflow(
            config.airflow_url,
            (airflow.MONITOR, secrets.airflow_monitor),
            Judgements(LandingStore(files, lake.root, LANDED.name), figures),
            JUDGES,
        )
    )
    return found


def main() -> None:
    """Runs until it is ended."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    config = running_config()
    figures = Figures()
    figures.clock.set(config.clock)
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    sums = Sums(TAKEN, since=time.time_ns())
    figures.registry.register(sums)
    with receiving(sums.take, HOST, config.ports.own["otlp"]):
        serve(
            sources(config, figures),
            figures,
            host=HOST,
            port=config.ports.own["exporter"],
            seconds=SECONDS,
            stop=stop,
        )


if __name__ == "__main__":
    main()
