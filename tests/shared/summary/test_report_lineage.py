"""What the report says of its lineage names the very files that were written."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from feira.core.lake import lake_files
from feira.core.settings import LakeSettings
from feira.summary.files import ReportFiles
from feira.summary.lineage import reported
from reported_days import D1, D2, report

WAREHOUSE: Any = SimpleNamespace(
    info=SimpleNamespace(host="db", port=5432, dbname="warehouse", server_version=180000)
)


def test_each_csv_that_was_written_is_made_of_the_fact(tmp_path: Path) -> None:
    lake = LakeSettings(root=f"file://{tmp_path}", catalog="hadoop")
    files = ReportFiles(lake_files(lake), lake.root)
    written = [(each, files.write(each)) for each in (report(D1), report(D2, version=2))]
    step = reported(lake, WAREHOUSE, written)
    assert "warehouse.sales.fact" in {each.name for each in step.inputs}
    named = {each.name for each in step.outputs if each.namespace == "file"}
    assert named == {str(path) for path in tmp_path.rglob("*.csv")}
    assert len(named) == 2


def test_where_nothing_is_reported_no_file_is_named(tmp_path: Path) -> None:
    step = reported(LakeSettings(root=f"file://{tmp_path}", catalog="hadoop"), WAREHOUSE, [])
    assert {each.name for each in step.outputs} == {"warehouse.sales.report_ledger"}
