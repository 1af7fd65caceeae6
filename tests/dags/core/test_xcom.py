"""XCom carries paths and counts, never data."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from feira_airflow.core.xcom import XComValueError, check


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
