"""
### Watch a day, and tell people

Checks the rows and the revenue of a day in the warehouse, then that the asset `orders` has had its event
of that day. A check that fails is reported to Slack (`slack_default`) and mail (`smtp_default`), and so is a
run that has not ended after two hours.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Asset, Param, dag

from feira_provider.notifiers.deadline import run_deadlines
from feira_provider.notifiers.failure import MailFailureNotifier, SlackFailureNotifier
from feira_provider.operators.asset_event_check import AssetEventCheckOperator
from feira_provider.operators.partition_check import PartitionCheck, PartitionCheckOperator

DAY = "{{ params.day }}"


@dag(
    schedule=None,
    doc_md=__doc__,
    tags=["example"],
    default_args={
        "owner": "orders-data",
        "on_failure_callback": [SlackFailureNotifier(), MailFailureNotifier()],
    },
    deadline=run_deadlines(timedelta(hours=2)),
    params={"day": Param("2010-12-01", type="string", format="date")},
)
def example_watched_day() -> None:
    complete = PartitionCheckOperator(
        task_id="day_is_complete",
        conn_id="warehouse_default",
        table="sales.orders",
        partition_column="order_date",
        partition=DAY,
        checks=[
            PartitionCheck("rows", "count(*)", at_least="1"),
            PartitionCheck("revenue", "sum(amount)", at_least="0", at_most="1000000"),
        ],
        next_step="Ask whether the day was like that; if not, load it again.",
    )
    announced = AssetEventCheckOperator(
        task_id="day_was_announced",
        asset=Asset("orders"),
        partition=DAY,
        next_step="Clear the task that emits it.",
    )
    complete >> announced


example_watched_day()
