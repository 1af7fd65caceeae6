"""What the figures were measured on."""

from __future__ import annotations

import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from feira.core.warehouse.copy_rows import HAS_PGPQ

PACKAGES = (
    *("apache-airflow", "pyspark", "duckdb", "polars", "pyarrow", "psycopg", "pyiceberg"),
    *(["pgpq"] if HAS_PGPQ else []),
)


def machine() -> dict[str, Any]:
    """Cores, processor, its pace, memory, Python, system and the versions that matter."""
    described = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in described if line.startswith("model name")]
    return {
        "cores": psutil.cpu_count(),
        "cpu": names[0] if names else platform.processor(),
        "pace": pace(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {name: version(name) for name in PACKAGES},
    }


def pace() -> float:
    """CPU seconds that a fixed piece of work takes now, the least of three: on a shared machine a second of CPU
    does now more and now less, by a third within minutes."""
    taken = []
    for _ in range(3):
        began = time.process_time()
        sorted(hash(str(number)) for number in range(150_000))
        taken.append(time.process_time() - began)
    return min(taken)
