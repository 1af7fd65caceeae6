"""Validates a day's newest landing: valid lines staged, broken ones quarantined, the gate applied."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from feira.core.lake import landing_store
from feira.core.settings import LakeSettings
from feira.sales.landing import LANDED
from feira_spark.jobs.run import run
from feira_spark.jobs.session import job_session
from feira_spark.sales.steps import require_passed, validate_landing


def main(
    day: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The extract day, in UTC.")],
) -> None:
    """Validate the newest complete landing of a day; exit code 1 when it fails the gate.

    Example: eval "$(feira env)"; python -m feira_spark.jobs.validate_sales --day 2010-12-01
    """
    store = landing_store(LakeSettings.from_env(), LANDED.name)
    complete = store.complete(day.date())
    if not complete:
        raise typer.BadParameter(f"{day.date()} was never landed.", param_hint="--day")
    with job_session("validate_sales") as spark:
        validation = validate_landing(spark, store, complete[-1])
    typer.echo(f"sales {day.date()}: {validation.summary()}")
    require_passed(validation)


if __name__ == "__main__":
    run(main)
