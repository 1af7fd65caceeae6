"""Publishes a day to sales.fact: merge on a branch, audit it, fast-forward main."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

import typer

from feira.sales.published import PUBLISHED
from feira_spark.core.publish import publish_day
from feira_spark.jobs.run import run
from feira_spark.jobs.session import job_session
from feira_spark.sales.steps import drop_staging


def main(
    day: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The extract day, in UTC.")],
) -> None:
    """Publish a day and drop what was staged for it; prints what changed and the metadata URI that pins the fact.

    Not beside a running sales_etl: publishing has one writer, and the second is refused.

    Example: eval "$(feira env)"; python -m feira_spark.jobs.publish_sales --day 2010-12-01
    """
    with job_session("publish_sales") as spark:
        published = publish_day(spark, PUBLISHED, day.date(), attempt=f"job_{uuid.uuid4().hex[:8]}")
        drop_staging(spark, day.date())
    typer.echo(
        f"inserted {published.inserted}, updated {published.updated}, deleted {published.deleted}"
    )
    typer.echo(published.metadata)


if __name__ == "__main__":
    run(main)
