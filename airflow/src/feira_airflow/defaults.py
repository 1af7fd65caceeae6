"""What every task of every DAG has unless it says otherwise."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from feira_airflow.connections import retry_delay_seconds

EXECUTION_TIMEOUT = timedelta(minutes=30)


def default_args(owner: str) -> dict[str, Any]:
    """Owner, three retries a short time apart, and half an hour a task."""
    return {
        "owner": owner,
        "retries": 3,
        "retry_delay": timedelta(seconds=retry_delay_seconds()),
        "execution_timeout": EXECUTION_TIMEOUT,
    }
