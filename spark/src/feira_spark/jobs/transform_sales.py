"""Replaces a day's rows in sales.order_lines with its current landing's valid lines."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from feira.core.lake import landing_store
from feira.core.settings import LakeSettings
from feira.sales.landing import LANDED
from feira_spark.jobs.run import run
from feira_spark.jobs.session import job_session
from feira_spark.sales.steps import transform_day


def main(
    day: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The extract day, in UTC.")],
) -> None:
    """Transform a day's current landing; prints the metadata URI that pins the result.

    Example: eval "$(feira env)"; python -m feira_spark.jobs.transform_sales --day 2010-12-01
    """
    with job_session("transform_sales") as spark:
        _, metadata = transform_day(
            spark, landing_store(LakeSettings.from_env(), LANDED.name), day.date()
        )
    typer.echo(metadata)


if __name__ == "__main__":
    run(main)
