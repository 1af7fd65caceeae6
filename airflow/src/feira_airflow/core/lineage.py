"""Lineage of a task, added to the run that Airflow's OpenLineage provider reports of it.

On where the provider is: where ``[openlineage] config_conn_id`` names a connection, or another of its
settings says where events go. Otherwise nothing is computed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow.sdk import get_current_context

if TYPE_CHECKING:
    from feira.core.lineage import Step

log = logging.getLogger(__name__)


def lineage_is_on() -> bool:
    """Whether events go anywhere; by settings that cannot be read they do not, and a warning says so."""
    try:
        from airflow.providers.openlineage import conf

        return not conf.is_disabled()
    except Exception as error:
        log.warning("lineage is off, its settings cannot be read: %s", error)
        return False


def report_lineage(describe: Callable[[], Step]) -> None:
    """Reports what the running task reads and writes.

    Waits at most the provider's ``execution_timeout``. What goes wrong, in ``describe`` too, is a
    warning in the task's log and nothing else.
    """
    if not lineage_is_on():
        return
    try:
        from airflow.providers.openlineage import conf
        from airflow.providers.openlineage.api import emit_dataset_lineage

        inputs, outputs = describe().events()
        instance = get_current_context()["ti"]
        sending = threading.Thread(
            target=emit_dataset_lineage,
            kwargs={"inputs": inputs, "outputs": outputs, "task_instance": instance},
            name="lineage",
            daemon=True,
        )
        sending.start()
        sending.join(conf.execution_timeout())
        if sending.is_alive():
            log.warning("lineage: no answer in %s s, going on", conf.execution_timeout())
    except Exception as error:
        log.warning("lineage of this task is not reported: %s", error)


def parent_run() -> str | None:
    """The running task as Spark's runs name it: ``<namespace>/<DAG>.<task>/<run id>``. None where lineage
    is off, or no task runs."""
    if not lineage_is_on():
        return None
    try:
        from airflow.providers.openlineage.plugins.macros import lineage_parent_id

        parent: str = lineage_parent_id(get_current_context()["ti"])
    except Exception as error:
        log.warning("lineage: Spark's runs will not name this task: %s", error)
        return None
    return parent
