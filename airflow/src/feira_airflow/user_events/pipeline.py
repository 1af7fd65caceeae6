"""User events: from Kafka to the lake, a day at a time."""

from __future__ import annotations

from feira_airflow.core.pipelines import Pipeline

PIPELINE = Pipeline(name="user_events", owner="sales-data", dags=(), tables=("web.user_events",))
