"""User events: from Kafka to the lake, a day at a time."""

from __future__ import annotations

from feira_airflow.core.assets import announced
from feira_airflow.core.kafka import KAFKA
from feira_airflow.core.pipelines import Pipeline

# Emitted by user_events.emit.
EVENTS = announced("web.user_events", group="web")

PIPELINE = Pipeline(
    name="user_events",
    owner="sales-data",
    dags=("user_events",),
    emits=(EVENTS,),
    tables=("web.user_events",),
    connections=((KAFKA, "Kafka, of type kafka: its extra is a configuration of librdkafka"),),
    producer="user_events",
)
