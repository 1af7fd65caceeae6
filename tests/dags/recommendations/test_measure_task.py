"""The task that measures: what it is given and returns, and the page that it writes."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk.execution_time.context import set_current_context

from feira.core.settings import LakeSettings
from feira.recommendations.bootstrap import NOTHING
from feira.recommendations.live.estimate import Estimate, Measured
from feira_airflow.core.xcom import check
from feira_airflow.recommendations import tasks
from feira_spark.recommendations import measure as steps

DAY = date(2010, 12, 1)


def test_the_task_measures_the_events_that_the_features_were_made_from_and_writes_a_page(
    tmp_path: Path, settings: LakeSettings, named_spark: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, given, impressions = "2010-12-01-001", [], 7

    def measure(*arguments: Any) -> Measured:
        given.append(arguments)
        made = Estimate(
            version, NOTHING, NOTHING, NOTHING, 0.0, None, NOTHING, 0, 0, "nothing_logged"
        )
        return Measured(DAY, (), (made,), (), impressions, 0)

    monkeypatch.setattr(steps, "measure", measure)
    sums = pa.table({"slot": ["new"], "bucket": [7], "impressions": [3]})
    pq.write_table(sums, tmp_path / "impressions.parquet")
    staged = {"table": "lake.staging.impressions", "sums": f"file://{tmp_path}/impressions.parquet"}
    monkeypatch.setattr(steps, "newest_history", lambda spark: ())
    sources = {"sales.fact": 1, "sales.order_lines": None, "web.user_events": 2**63 - 1}
    context: Any = {"dag_run": SimpleNamespace(run_id="asset__1", partition_key=str(DAY))}
    for expected in ("7 impressions", "8 impressions"):
        with set_current_context(context):
            returned = tasks.measure({"sources": sources}, {"version": version}, staged)
        check(returned)
        file = tmp_path / "reports" / "recommendations" / "2010-12-01" / "live.html"
        assert returned == {
            "page": f"file://{file}",
            "history": f"file://{file.parents[1]}/history.html",
            "impressions": impressions,
            "left_out": 0,
            "figures": 0,
            "refused": "nothing_logged",
        }
        # Measured again, the day's page is replaced.
        assert expected in file.read_text()
        assert file.with_name("chart.png").read_bytes().startswith(b"\x89PNG")
        assert "Nothing was shown." in (file.parents[1] / "history.html").read_text()
        impressions += 1
    assert given == [("spark", DAY, version, sources, sums, staged["table"])] * 2
