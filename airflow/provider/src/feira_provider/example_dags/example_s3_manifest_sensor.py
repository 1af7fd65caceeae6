"""
### Wait for a complete dataset on S3

Starts its work when the manifest and all files that it lists are there; until then it takes no
worker. What follows reads the manifest's URI and counts from the sensor's result.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import Param, dag, task

from feira_provider.sensors.s3_manifest import S3ManifestSensor


@dag(
    schedule=None,
    doc_md=__doc__,
    tags=["example"],
    default_args={"owner": "orders-data"},
    params={"manifest": Param("s3://lake/landing/orders/manifest.json", type="string")},
)
def example_s3_manifest_sensor() -> None:
    complete = S3ManifestSensor(
        task_id="orders_are_complete",
        bucket_key="{{ params.manifest }}",
        min_rows=1,
        poke_interval=timedelta(seconds=30),
        timeout=timedelta(hours=2),
        deferrable=True,
    )

    @task
    def count(dataset: dict[str, int]) -> int:
        return dataset["rows"]

    count(complete.output)  # type: ignore[arg-type]


example_s3_manifest_sensor()
