"""What is taken of Airflow's own metrics, which it sends by OpenTelemetry: names, labels and kinds.

What stands here bounds what is exported: no other metric, and of each no other label. The ends and seconds of
tasks, and the events of assets, are not among them: the exporter has these from the REST API, also of a task
whose process was killed. So a task's process has nothing to send when it ends, unless its lineage failed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

PREFIX = "airflow."


@dataclass(frozen=True)
class Taken:
    """A metric of Airflow.

    :param name: Airflow's, without the prefix
    :param kind: of a ``timer`` Airflow sends milliseconds, and seconds are exported
    :param what: its description
    :param labels: the attribute of each label
    :param unit: of a gauge that has one, as the end of its name
    """

    name: str
    kind: Literal["counter", "gauge", "timer"]
    what: str
    labels: dict[str, str] = field(default_factory=dict)
    unit: str = ""

    @property
    def exported(self) -> str:
        """Its name by Prometheus' conventions, a counter's without ``_total``."""
        unit = "seconds" if self.kind == "timer" else self.unit
        name = re.sub(r"\W", "_", PREFIX + self.name.removesuffix("_duration"))
        return f"{name}_{unit}" if unit else name


_DAG = {"dag": "dag_id"}
_POOL = {"pool": "pool_name"}

TAKEN = (
    # Whether its components go on.
    Taken("scheduler_heartbeat", "counter", "Heartbeats of the scheduler"),
    Taken("dag_processor_heartbeat", "counter", "Heartbeats of the DAG processor"),
    Taken("triggerer_heartbeat", "counter", "Heartbeats of the triggerer"),
    Taken("scheduler.scheduler_loop_duration", "timer", "A round of the scheduler"),
    Taken(
        "scheduler.critical_section_duration", "timer", "Of it, what one scheduler does at a time"
    ),
    # What waits, and for what.
    Taken("task.scheduled_duration", "timer", "From scheduled to queued", _DAG),
    Taken("scheduler.tasks.starving", "gauge", "Tasks that no pool has a slot for"),
    Taken("scheduler.tasks.executable", "gauge", "Tasks that are ready to be queued"),
    Taken("pool.open_slots", "gauge", "Slots that are free", _POOL),
    Taken("pool.running_slots", "gauge", "Slots of tasks that run", _POOL),
    Taken("pool.queued_slots", "gauge", "Slots of tasks that are queued", _POOL),
    Taken("pool.deferred_slots", "gauge", "Slots of tasks that wait in the triggerer", _POOL),
    Taken("triggers.running", "gauge", "Triggers that run in the triggerer"),
    Taken("dagrun.duration.success", "timer", "Runs that succeeded", _DAG),
    # DAG files.
    Taken("dagbag_size", "gauge", "DAGs that were found"),
    Taken("dag_processing.import_errors", "gauge", "DAG files that could not be read"),
    Taken(
        "dag_processing.total_parse_time",
        "gauge",
        "Of the last round over all files",
        unit="seconds",
    ),
    # What goes wrong.
    Taken(
        "scheduler.tasks.killed_externally",
        "counter",
        "Tasks that ended while Airflow thought they ran",
    ),
    Taken("task_instances_without_heartbeats_killed", "counter", "Tasks whose process was lost"),
    Taken(
        "scheduler.orphaned_tasks.cleared", "counter", "Tasks of a lost scheduler that began anew"
    ),
    Taken("scheduler.orphaned_tasks.adopted", "counter", "Tasks of a lost scheduler that went on"),
    Taken("dag_processing.processor_timeouts", "counter", "DAG files that took too long to read"),
    Taken("triggers.failed", "counter", "Triggers that failed"),
    Taken("ol.emit.failed", "counter", "Events of lineage that were not delivered"),
)


def allow_list() -> str:
    """The same for Airflow's ``metrics_allow_list``: what is not taken is not sent."""
    return ",".join(f"^{re.escape(each.name)}$" for each in TAKEN)
