"""The `feira` command without a running stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from feira_local.cli import app, doctor
from feira_local.stack.secrets import load_secrets

COMMANDS = (
    *("up", "down", "status", "logs", "doctor", "clean", "services", "env"),
    *("attach", "restart", "test", "open", "shop faults list", "shop faults on", "shop faults off"),
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FEIRA_PORT_OFFSET", "2000")
    return tmp_path / "home"


def _json(*arguments: str) -> object:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    return json.loads(result.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Example:" in result.stdout


def test_status_of_a_stack_that_is_down_says_so_and_fails() -> None:
    result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == 1
    assert "feira up" in result.stdout
    found = _json("status")
    assert isinstance(found, dict)
    assert found["running"] is False
    assert {service["state"] for service in found["services"]} == {"stopped"}


def test_services_as_json_hold_names_of_secrets_but_no_secret(home: Path) -> None:
    found = CliRunner().invoke(app, ["services", "--json"]).stdout
    names = [service["name"] for service in json.loads(found)]
    assert names[0] == "postgres"
    assert "spark" in names
    assert "AIRFLOW__CORE__FERNET_KEY" in found
    assert not [secret for secret in load_secrets(home).values() if secret in found]


def test_env_is_read_by_a_shell_and_gives_the_lake_back(home: Path) -> None:
    exports = CliRunner().invoke(app, ["env"]).stdout
    script = (
        f"{exports}\n{sys.executable} -c 'from feira.core.settings import LakeSettings as L; "
        + ("s = L.from_env(); print(s.root, s.endpoint, s.secret_key)'")
    )
    read = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    secrets = load_secrets(home)
    assert read.stdout.split() == [
        "s3://feira-lake",
        "http://127.0.0.1:21000",
        secrets.s3_secret_key,
    ]


def test_doctor_looks_at_everything_and_names_the_next_step() -> None:
    found = _json("doctor")
    assert isinstance(found, list)
    by_what = {finding["what"]: finding for finding in found}
    assert {"Python", "Java", "jars", "disk", "memory", "port 21000 (s3)"} <= by_what.keys()
    assert all(finding["ok"] or finding["step"] for finding in found)


def test_doctor_finds_tilt_or_says_where_it_is_had_and_never_fails_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [(it.ok, "docs.tilt.dev/install" in it.found) for it in doctor._tilt()] == [(True, True)]
    (tmp_path / "tilt").touch(mode=0o755)
    assert [(it.ok, it.found) for it in doctor._tilt()] == [(True, str(tmp_path / "tilt"))]


def test_an_unknown_service_is_answered_with_the_known_ones() -> None:
    command = "from feira_local.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", command, "logs", "sprak"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "There is no service 'sprak'; there are postgres, s3" in result.stderr
    assert "Traceback" not in result.stderr


PERMANENT = """
import sys
from feira.core.errors import PermanentError, Remedy
from feira_local import cli

def fail():
    raise PermanentError("no such table.").fixed_by(Remedy.RUN, ("sales", "2010-12-01"))

cli.app = fail
try:
    cli.main()
finally:
    print(*(name for name in sys.modules if name.partition(".")[0] == "airflow"))
"""


def test_a_command_that_fails_for_good_imports_no_airflow_and_writes_nothing(
    tmp_path: Path,
) -> None:
    user = tmp_path / "user"
    user.mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    env |= {"HOME": str(user), "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", PERMANENT], env=env, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "no such table. Run `feira run sales --day 2010-12-01`" in ended.stderr
    assert ended.stdout == "\n"
    assert list(user.iterdir()) == []


def test_clean_refuses_a_folder_that_is_no_state_folder(home: Path) -> None:
    home.mkdir()
    (home / "thesis.tex").write_text("mine")
    result = CliRunner().invoke(app, ["clean", "--yes"])
    assert result.exit_code != 0
    assert (home / "thesis.tex").exists()


def test_clean_asks_unless_told_yes(home: Path) -> None:
    load_secrets(home)
    result = CliRunner().invoke(app, ["clean"])
    assert result.exit_code != 0
    assert (home / "secrets.env").exists()
