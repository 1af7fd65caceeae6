"""Folders that were not written for the linter: Feira's own, and the examples that come with Airflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from feira_wiring.keys import sample_keys
from feira_wiring.linting import lint
from feira_wiring.rules import RULES

REPOSITORY = Path(__file__).resolve().parents[3]
OFF = [rule.id for rule in RULES if not rule.on]


@pytest.mark.parametrize("clock", ["on", "off"])
def test_feiras_own_dags_break_no_rule(monkeypatch: pytest.MonkeyPatch, clock: str) -> None:
    monkeypatch.setenv("FEIRA_CLOCK", clock)
    report = lint(REPOSITORY / "airflow" / "dags", enable=OFF)
    assert report.findings == ()
    assert len(report.wiring.emitters) == len(report.wiring.assets) > 0


def test_with_the_clock_on_the_keys_of_feiras_dags_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FEIRA_CLOCK", "on")
    samples = sample_keys(lint(REPOSITORY / "airflow" / "dags").wiring)
    assert samples["sales_etl"] == samples["sales_summary"]
    assert samples["sales_summary"][0] == "2025-12-29"


def test_in_airflows_own_example_of_partitions_the_one_error_is_the_dag_that_never_runs() -> None:
    """Twenty DAGs that were not written for this linter."""
    import airflow.example_dags

    report = lint(Path(airflow.example_dags.__path__[0], "example_asset_partition.py"))
    (error,) = (each for each in report.findings if each.level == "error")
    assert (error.rule, error.dags[-1]) == (
        "unreadable-key",
        "player_odds_quality_check_wont_ever_to_trigger",
    )


def test_of_all_examples_that_come_with_airflow_only_what_never_runs_is_an_error() -> None:
    import airflow.example_dags

    findings = lint(Path(airflow.example_dags.__path__[0])).findings
    assert {(each.rule, each.asset) for each in findings if each.level == "error"} == {
        ("unreadable-key", "combined_player_stats"),
        # Two examples declare it with other names: Airflow activates one of them.
        ("asset-conflict", "s3://output/1.txt"),
        # Listened to by the DAGs whose names end in "never_scheduled".
        ("no-emitter", "s3://unrelated/this-asset-doesnt-get-triggered"),
        ("no-emitter", "s3://unrelated/asset3.txt"),
        ("no-emitter", "s3://unrelated/asset_other_unknown.txt"),
    }
    # Two need plugins that their folder has.
    assert sum(each.rule == "import-error" for each in findings) == 2
