"""What verify looks up of a version, on tables and bytes that are made here: it names what is wrong."""

from __future__ import annotations

import datetime as dt
import json
import struct
from math import sqrt
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from fsspec.implementations.local import LocalFileSystem

import recommendation_checks as checks
from oracle_lists import Known

DAY, VERSION = dt.date(2010, 12, 1), "2010-12-01-001"


def matrix(offsets: str | None, *events: tuple[int, int], root: str = "") -> Any:
    """A stack whose lake has a version and the day's events by partition and offset."""
    tables = {
        "recommendations.list_versions": pd.DataFrame(
            [{"as_of": DAY, "version": VERSION, "events_offsets": offsets}]
        ),
        "web.user_events": pd.DataFrame(
            [
                {
                    "event_id": f"{at}",
                    "event_day": DAY,
                    "kafka_partition": at[0],
                    "kafka_offset": at[1],
                }
                for at in events
            ]
        ),
    }
    return SimpleNamespace(
        held=SimpleNamespace(lake=tables.__getitem__, root=root, files=LocalFileSystem)
    )


@pytest.mark.parametrize(
    ("offsets", "wrong"),
    [
        ('{"0": [3, 5], "1": [0, 1]}', 0),
        ('{"0": [3, 4], "1": [0, 1]}', 1),
        ('{"0": [4, 5], "1": [0, 1]}', 1),
        ('{"0": [3, 5]}', 1),
        (None, 3),
    ],
)
def test_an_event_outside_the_versions_offsets_is_named(offsets: str | None, wrong: int) -> None:
    assert len(checks._offsets_differ(matrix(offsets, (0, 3), (0, 4), (1, 0)), DAY)) == wrong


def test_the_verdict_is_read_from_the_folder_of_the_version(tmp_path: Any) -> None:
    folder = tmp_path / "recommendations" / VERSION
    folder.mkdir(parents=True)
    (folder / "gate.json").write_text('{"verdict": "passed"}')
    assert checks.verdict_of(matrix(None, root=str(tmp_path)), VERSION) == {"verdict": "passed"}


# A and B were had by two, as B and C.
KNOWN = Known(
    {(user, item, DAY) for user, items in {"1": "AB", "2": "ABC", "3": "BC"}.items() for item in items},
    DAY,
)  # fmt: skip
NEAR = 2 / sqrt(12 * 13)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, ""),
        ({"source": "popular"}, "popular"),
        ({"version": "other"}, "other"),
        ({"items": [{"item": "C", "reason": "popular"}]}, "basket"),
        ({"similar": NEAR + 0.01}, "what goes with B"),
        ({"nothing": True}, "no basket is tried"),
    ],
)
def test_a_wrong_pair_or_a_wrong_answer_to_a_basket_is_named(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], named: str
) -> None:
    values = {
        "items": json.dumps(["B", "A", "C"]).encode(),
        "with:A": struct.pack("<1I1f", 0, NEAR),
        "with:B": struct.pack("<2I2f", 1, 2, NEAR, change.get("similar", NEAR)),
        "with:C": struct.pack("<1I1f", 0, NEAR),
    }
    keys = ["items"] if "nothing" in change else [*values]
    found = {f"reco:{VERSION}:{key}".encode(): values[key] for key in keys}
    asked = []
    # B is in the basket, which C goes with too.
    offers = [{"item": "C", "reason": "goes_with", "reason_item": "B"}]
    offers.append({"item": "D", "reason": "popular"})
    answer = {"version": VERSION, "source": "basket", "items": offers} | change

    def ask(method: str, path: str, query: Any, body: Any) -> Any:
        asked.append((method, path, body["items"]))
        return answer

    monkeypatch.setattr(checks, "values_of", {VERSION: found}.__getitem__)
    monkeypatch.setattr(checks, "ask", ask)
    popular: Any = [("D", "popular", None), ("A", "popular", None), ("C", "popular", None)]
    problems = checks._baskets_differ(VERSION, KNOWN, popular)
    assert bool(problems) == bool(named) and any(named in each for each in problems or [""])
    if "nothing" not in change:
        assert asked == [("POST", "basket", ["B", "A", "no product"])]
