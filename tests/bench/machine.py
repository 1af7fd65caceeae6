"""What the figures were measured on."""

from __future__ import annotations

import platform
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
    """Cores, processor, memory, Python, system and the versions that matter."""
    described = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in described if line.startswith("model name")]
    return {
        "cores": psutil.cpu_count(),
        "cpu": names[0] if names else platform.processor(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {name: version(name) for name in PACKAGES},
    }
