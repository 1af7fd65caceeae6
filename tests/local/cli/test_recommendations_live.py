"""`feira recommendations live`: the page of a measured day as a file."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem

from feira.core.settings import LakeSettings
from feira.recommendations.live.estimate import Measured
from feira.recommendations.live.page import write_history, write_page
from feira_local.stack import access
from recommendations_command import run


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    root = f"file://{tmp_path}/lake"
    settings = LakeSettings(root=root, catalog="hadoop")
    monkeypatch.setattr(access, "lake_settings", lambda: settings)
    monkeypatch.chdir(tmp_path)
    return root


def test_the_page_of_a_day_or_of_the_newest_is_fetched(lake: str, tmp_path: Path) -> None:
    code, _, error = run("live")
    assert code == 1 and "No day was measured" in error
    for day, impressions in ((date(2010, 12, 9), 9), (date(2010, 12, 10), 10)):
        files = LocalFileSystem(auto_mkdir=True)
        write_page(files, lake, Measured(day, (), (), (), impressions, 0))
    code, output, _ = run("live")
    assert (code, output.strip()) == (
        0,
        f"2010-12-10: {(tmp_path / 'recommendations-2010-12-10.html').as_uri()}",
    )
    assert "10 impressions" in (tmp_path / "recommendations-2010-12-10.html").read_text()
    code, output, _ = run("live", "2010-12-09", "--to", "own.html", "--json")
    assert (code, json.loads(output)) == (0, {"day": "2010-12-09", "file": "own.html"})
    assert "9 impressions" in (tmp_path / "own.html").read_text()


def test_the_page_of_all_days_is_fetched(lake: str, tmp_path: Path) -> None:
    files = LocalFileSystem(auto_mkdir=True)
    write_page(files, lake, Measured(date(2010, 12, 9), (), (), (), 9, 0))
    code, _, error = run("live", "--history")
    assert code == 1 and "reports/recommendations/history.html yet" in error
    write_history(files, lake, ())
    code, output, _ = run("live", "--history")
    file = tmp_path / "recommendations-history.html"
    assert (code, output.strip()) == (0, f"All days: {file.as_uri()}")
    assert "by day" in file.read_text()
    code, output, _ = run("live", "--history", "--to", "own.html", "--json")
    assert (code, json.loads(output)) == (0, {"day": None, "file": "own.html"})
    code, _, error = run("live", "2010-12-09", "--history")
    assert code == 1 and "--history is of all days" in error


def test_a_day_of_which_measure_was_stopped_is_no_measured_day(lake: str, tmp_path: Path) -> None:
    files = LocalFileSystem(auto_mkdir=True)
    files.pipe_file(f"{lake}/reports/recommendations/2010-12-10/chart.png", b"x")
    for asked in ((), ("2010-12-10",)):
        code, _, error = run("live", *asked)
        assert code == 1 and "No day was measured" in error and "clear its task measure" in error
    write_page(files, lake, Measured(date(2010, 12, 9), (), (), (), 9, 0))
    code, output, _ = run("live")
    assert code == 0 and output.startswith("2010-12-09: ")
    code, _, error = run("live", "2010-12-10")
    assert code == 1 and "2010-12-10 was not measured; the newest is 2010-12-09." in error
    assert "ran for 2010-12-10, clear its task measure" in error
    assert "the next day" not in error


def test_a_day_without_a_page_and_a_file_that_cannot_be_are_refused(lake: str) -> None:
    code, _, error = run("live", "2010-12-01")
    assert code == 1 and "No day was measured" in error
    write_page(
        LocalFileSystem(auto_mkdir=True), lake, Measured(date(2010, 12, 9), (), (), (), 9, 0)
    )
    code, _, error = run("live", "2010-12-01")
    assert code == 1 and "the newest is 2010-12-09" in error
    code, _, error = run("live", "--to", "no/such/folder/page.html")
    assert code == 1 and "no/such/folder/page.html cannot be written: No such file" in error
