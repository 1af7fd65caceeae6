"""A deployment's migration: ``python -m feira_airflow.core.migrate``, before the DAGs of a new version run.

It is ``feira_spark.jobs.migrate`` with the warehouse of Airflow's connection, from wherever Airflow's secrets are.
``FEIRA_SPARK_URL`` names the Spark Connect server.
"""

from __future__ import annotations

import os
import sys

from feira.core.errors import PermanentError
from feira_airflow.core.connections import warehouse
from feira_provider.hooks.missing import MissingConnectionError


def main() -> None:
    from feira_spark.core.migrate import migrate
    from feira_spark.core.session import connect

    url = os.environ.get("FEIRA_SPARK_URL")
    if not url:
        sys.exit("FEIRA_SPARK_URL is not set; it must be as sc://spark-connect.spark.svc:15002.")
    try:
        with warehouse() as connection:
            spark = connect(url)
            try:
                done = migrate(spark, connection)
            finally:
                spark.stop()
    except (PermanentError, MissingConnectionError) as error:
        sys.exit(str(error))
    for line in done or ["Everything is as the contracts declare it."]:
        print(line)


if __name__ == "__main__":
    main()
