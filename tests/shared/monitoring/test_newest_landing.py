"""The newest day that was landed and let through, which a promise is held against."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

import landed_sales
from feira.core.lake import landing_store
from feira.core.landing.store import LandingStore
from feira.core.settings import LakeSettings
from feira.monitoring.airflow import EndedTask
from feira.monitoring.figures import Figures
from feira.monitoring.judged import Judgements


@pytest.fixture
def landings(tmp_path: Path) -> LandingStore:
    return landing_store(LakeSettings(root=f"file://{tmp_path}", catalog="hadoop"), "sales")


def land(landings: LandingStore, day: date, passed: bool = True) -> str:
    """A landing of one line; its manifest's URI."""
    broken = {} if passed else {"sku_null": 1}
    return landed_sales.land(landings, day, 1, int(passed), broken, 8)


def test_the_newest_landing_is_of_all_days_that_passed_whichever_ended_last(
    landings: LandingStore,
) -> None:
    def newest(manifest: str) -> float | None:
        """As an exporter sees it that starts with this run's end as the last one."""
        figures = Figures()
        ended = EndedTask("sales_etl", "validate", "success", 1.0, lambda _: {"manifest": manifest})
        Judgements(landings, figures)(ended, False)
        promised = figures.registry.get_sample_value(
            "feira_table_promised_latency_seconds", {"table": "sales.landing"}
        )
        assert promised == 7200
        return figures.registry.get_sample_value(
            "feira_table_newest_partition_timestamp_seconds", {"table": "sales.landing"}
        )

    assert newest(land(landings, date(2010, 12, 3), passed=False)) is None
    assert newest(land(landings, date(2010, 12, 2))) == 1291248000.0
    # A day is run again, and one that is newer was refused.
    assert newest(land(landings, date(2010, 12, 1))) == 1291248000.0
    landed = land(landings, date(2010, 12, 4))
    assert newest(landed) == 1291420800.0
    # A landing of a later day is damaged.
    land(landings, date(2010, 12, 5))
    Path(landings.manifest_uri(date(2010, 12, 5), 1).removeprefix("file://")).write_text("{")
    assert newest(landed) == 1291420800.0


def test_the_newest_landing_is_known_from_the_start_where_no_day_gets_as_far_as_the_gate(
    landings: LandingStore,
) -> None:
    land(landings, date(2010, 12, 2))
    figures = Figures()
    Judgements(landings, figures)(
        EndedTask("sales_etl", "land", "failed", 1.0, lambda _: None), False
    )
    newest = figures.registry.get_sample_value(
        "feira_table_newest_partition_timestamp_seconds", {"table": "sales.landing"}
    )
    assert newest == 1291248000.0


def test_days_are_folders_of_that_form_and_none_where_nothing_was_landed(
    landings: LandingStore, tmp_path: Path
) -> None:
    assert landings.days() == []
    for day in (date(2010, 12, 2), date(2010, 12, 1)):
        land(landings, day)
    for name in ("notes", "2010-02-30", "2010-13-01"):
        (tmp_path / "landing" / "sales" / name).mkdir()
    assert landings.days() == [date(2010, 12, 1), date(2010, 12, 2)]
