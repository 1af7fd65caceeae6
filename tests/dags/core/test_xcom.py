"""XCom carries paths and counts, never data."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from airflow.sdk.exceptions import AirflowFailException

from feira_airflow.core.xcom import XComValueError, check, result_of
from feira_spark.core.day import Loaded

LOADED = {
    "snapshot_id": "7",
    "landing_version": 1,
    "inserted": 2,
    "updated": 0,
    "deleted": 0,
    "day_rows": 2,
}


def test_a_result_is_read_whichever_release_has_written_it() -> None:
    older = Loaded("7", 1, 2, 0, 0, 2)
    assert result_of("load", Loaded, LOADED) == older
    newer = LOADED | {"staged": "lake.staging.x", "compressed": True}
    assert result_of("load", Loaded, newer) == Loaded("7", 1, 2, 0, 0, 2, "lake.staging.x")


@pytest.mark.parametrize(
    ("kept", "missing"),
    [(None, "snapshot_id, landing_version, .*day_rows")]
    + [({k: v for k, v in LOADED.items() if k != gone}, gone) for gone in LOADED],
)
def test_a_result_that_is_gone_is_named_with_the_task_to_clear(kept: Any, missing: str) -> None:
    with pytest.raises(
        AirflowFailException,
        match=rf"^XCom has no {missing} of load: .*Clear load and what follows",
    ):
        result_of("load", Loaded, kept)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "s3://feira-lake/landing/sales/2010-12-01/v0001/manifest.json",
        {"manifest": "s3://…", "lines": 3108},
        {"broken": {"sku_blank": 3}},
        ["a", "b"],
    ],
)
def test_paths_and_counts_pass(value: Any) -> None:
    check(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("x" * 2100, "2,102 bytes; XCom takes at most 2,048"),
        ([{"order_id": "1"}, {"order_id": "2"}], "returned 2 rows"),
        ({"rows": [[1, 2], [3, 4]]}, "returned 2 rows"),
        (pd.DataFrame({"a": [1]}), "pandas.*DataFrame"),
        ({"revenue": Decimal("1.10")}, "decimal.Decimal"),
        (date(2010, 12, 1), "datetime.date"),
        (b"bytes", "builtins.bytes"),
    ],
)
def test_data_is_refused_with_what_to_return_instead(value: Any, message: str) -> None:
    with pytest.raises(XComValueError, match=message) as refusal:
        check(value)
    assert "write" in str(refusal.value).lower()
