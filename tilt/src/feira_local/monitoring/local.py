"""Monitoring on a laptop, for who asks for it: ``feira up --monitoring``."""

from __future__ import annotations

import sys
from pathlib import Path

from feira_local.monitoring import prometheus
from feira_local.stack.config import HOST, StackConfig
from feira_local.stack.local_parts import LocalPart
from feira_local.stack.service import HttpCheck, Link, Service


def services(config: StackConfig) -> tuple[Service, ...]:
    """The exporter of figures, which Airflow sends its own to, and Prometheus and Alertmanager where they are found."""
    port, otlp = config.ports.own["exporter"], config.ports.own["otlp"]
    shared, own = config.repository / "shared" / "src" / "feira", Path(__file__).parent
    return (
        Service(
            name="exporter",
            label="monitoring",
            description="The platform's own figures, in the form of Prometheus",
            command=(sys.executable, "-m", "feira_local.monitoring"),
            cwd=config.home,
            health=HttpCheck(f"http://{HOST}:{port}/metrics"),
            depends_on=("databases",),
            env={
                "FEIRA_HOME": str(config.home),
                # When each series began: as many again, and no rule asks for it.
                "PROMETHEUS_DISABLE_CREATED_SERIES": "True",
            },
            ports=(port, otlp),
            links=(Link("figures", f"http://{HOST}:{port}/metrics"),),
            # Itself, what it imports of the pipelines, and what it reads of every table.
            code=(
                *(own / "__main__.py", own / "heaps.py"),
                *(shared / "monitoring", shared / "core"),
                *(shared / "sales" / name for name in ("landing.py", "published.py", "rates.py")),
                *(
                    shared / "user_events" / name
                    for name in ("codec.py", "offsets.py", "partitions.py")
                ),
                config.repository / "shared" / "contracts",
            ),
        ),
        *prometheus.services(config),
    )


LOCAL = LocalPart(
    "monitoring",
    ports={
        "exporter": 18090,
        "prometheus": 18091,
        "alertmanager": 18092,
        "otlp": 18093,
        "spark_ui": 18094,
    },
    services=services,
    on_request=lambda config: config.monitoring is not None,
)
