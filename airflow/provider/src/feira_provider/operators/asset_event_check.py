"""Checks that an asset has had its event of a partition.

Needs Airflow, nothing else of this repository.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from feira_provider.partition import is_stated

if TYPE_CHECKING:
    from airflow.sdk import Context


class MissingEventError(AirflowException):
    """An asset has no event of the partition: nothing that listens to it has run for that."""


class AssetEventCheckOperator(BaseOperator):
    """Fails when an asset has no event of a partition.

    A consumer that an asset sets off cannot fail for an event that never came: it has no run. This
    is the check of somebody who has a clock. It finds the events through the task's inlets, where it
    adds the asset to your own. Of a mapped task Airflow reads the inlets before it makes the operator: state
    ``inlets=[asset]`` in ``partial``.

    :param asset: the asset
    :param partition: the event's partition key; the run's own unless stated (templated)
    :param newest: how many of the asset's newest events are looked at
    :param next_step: what to do when there is none, for the message (templated)
    :return: when the partition's newest event was emitted, ISO 8601
    """

    only_watches = True
    """For the wiring linter: these inlets do not make the task a reader of its assets."""

    template_fields: Sequence[str] = ("partition", "next_step")
    ui_color = "#fff7e6"

    def __init__(
        self,
        *,
        asset: Asset,
        partition: str = "{{ dag_run.partition_key }}",
        newest: int = 1000,
        next_step: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if asset not in self.inlets:
            self.add_inlets([asset])
        self.asset = asset
        self.partition = partition
        self.newest = newest
        self.next_step = next_step

    def execute(self, context: Context) -> str:
        """Looks once.

        :raises MissingEventError: naming asset and partition
        :raises AirflowFailException: in a mapped task whose ``partial`` has no such inlet
        """
        # A DAG that renders templates to native objects makes None of a run without one, and a number of 20101201.
        self.partition = str(self.partition)
        if not is_stated(self.partition):
            raise MissingEventError(
                f"{self.task_id}: the run has no partition key, so there is no event of "
                f"{self.asset.name} to look for. Trigger it with one, or state the operator's "
                "`partition`."
            )
        try:
            accessor = context["inlet_events"][self.asset]
        except KeyError as error:
            raise AirflowFailException(
                f"{self.task_id}: {self.asset.name} is no inlet of this mapped task, so its events cannot be read. "
                "State inlets=[asset], with the same asset, in partial."
            ) from error
        events = accessor.ascending(False).limit(self.newest)
        found = [event.timestamp for event in events if event.partition_key == self.partition]
        if not found:
            raise MissingEventError(
                f"{self.asset.name}[{self.partition}] has no event among the newest "
                f"{self.newest:,} of {self.asset.name}. {self.next_step}".strip()
            )
        return max(found).isoformat()
