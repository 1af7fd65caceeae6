"""The command that starts the simulator: it serves, explains itself, and names what is wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from feira_local.shop.__main__ import command


def test_help_shows_an_example() -> None:
    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0
    assert "--source replay --data" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "replay"], "--data"),
        (["--source", "replay", "--data", "no_such_folder"], "no_such_folder"),
        (["--dirty-share", "3"], "dirty_share is 3.0"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_without_a_stack_trace(
    arguments: list[str], message: str
) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr


def test_the_command_serves_the_api_in_one_process_and_stops_when_told(tmp_path: Path) -> None:
    start = [sys.executable, "-m", "feira_local.shop", "--port", "0", "--lines-per-day", "50"]
    with subprocess.Popen(
        [*start, "--channel", "--state", str(tmp_path / "state")],
        env=os.environ | {"WEB_CONCURRENCY": "2"},
        stderr=subprocess.PIPE,
        text=True,
    ) as service:
        try:
            assert service.stderr is not None
            urls = (re.search(r"running on (http://[\d.:]+)", line) for line in service.stderr)
            url = next(found[1] for found in urls if found)
            with urllib.request.urlopen(f"{url}/sales?date=2010-12-06&limit=5") as answer:
                lines = json.load(answer)["lines"]
        finally:
            service.terminate()
    assert len(lines) == 5
    assert lines[0]["channel"] in ("web", "shop", "app")
