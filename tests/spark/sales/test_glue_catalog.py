"""A day on the catalog of AWS, which takes fewer names than the others: moto's, with its files in a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from moto.moto_server.werkzeug_app import UNSIGNED_REQUESTS

from feira.core.lake import read_snapshot
from feira.core.settings import LakeSettings
from feira.sales.published import PUBLISHED
from feira_spark.core import day as published_steps
from feira_spark.core.difference import lake_figures, stage_difference
from feira_spark.core.session import CATALOG, connect
from feira_spark.sales import day as steps
from feira_spark.sales.steps import drop_staging
from sales_lines import DAY, FakeFeed, line

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LINES = [*(line(line_number=n + 1) for n in range(19)), line(line_number=20, quantity=0)]
# As Airflow calls the run of a person, and its first try.
ATTEMPT = "manual__2026-11-29T18:38:08.123456+00:00_1"


@pytest.fixture
def on_glue(
    spark: SparkSession, s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SparkSession:
    """A session of its own, whose catalog is Glue."""
    # Nobody signs here, and by nothing else moto tells whom a request is for.
    monkeypatch.setitem(UNSIGNED_REQUESTS, "AWSGlue", ("glue", "us-east-1"))
    running = os.environ.get("FEIRA_TEST_SPARK")
    session = spark.newSession() if running is None else connect(running)
    # Before the catalog's first use it can still be another, for this session alone.
    for name, value in {
        "type": "glue",
        "warehouse": f"file://{tmp_path}/tables",
        "io-impl": "org.apache.iceberg.hadoop.HadoopFileIO",
        "glue.endpoint": s3_endpoint,
        "client.region": "us-east-1",
        "client.credentials-provider": "software.amazon.awssdk.auth.credentials.AnonymousCredentialsProvider",
        "http-client.type": "urlconnection",
    }.items():
        session.conf.set(f"spark.sql.catalog.{CATALOG}.{name}", value)
    return session


@pytest.mark.slow
def test_a_day_goes_from_its_landing_to_the_difference_on_glue(
    on_glue: SparkSession, tmp_path: Path
) -> None:
    lake = LakeSettings(root=f"file://{tmp_path}", catalog="glue")
    pages: list[Any] = [LINES]
    landed = steps.land(FakeFeed(pages), lake, DAY, requested_by=ATTEMPT)
    steps.validate(on_glue, lake, landed)
    steps.transform(on_glue, lake, DAY)
    published = published_steps.publish(on_glue, PUBLISHED, DAY, attempt=ATTEMPT)
    assert (published.inserted, published.updated, published.deleted) == (19, 0, 0)
    staged = stage_difference(on_glue, PUBLISHED, None)
    assert staged is not None
    rows = [row for batch in read_snapshot(lake, staged.metadata) for row in batch.to_pylist()]
    assert sorted(row["line_number"] for row in rows) == [*range(1, 20)]
    figures = lake_figures(on_glue, PUBLISHED, int(published.snapshot_id), DAY)
    assert {of: found.rows for of, found in figures.items()} == {(DAY, DAY): 19}

    assert len(drop_staging(on_glue, DAY, staged.table)) == 3
    assert on_glue.sql("SHOW TABLES IN lake.staging").collect() == []
    left = [path for path in tmp_path.rglob("staging.db/*/*/*") if path.is_file()]
    assert [path.name for path in left if not path.name.startswith(".")] == []
