"""The `feira` command without a running stack."""

from __future__ import annotations

import http.server
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from feira_local.cli import app, clean, doctor, stack
from feira_local.stack import access, lifecycle, state
from feira_local.stack.config import Monitoring, StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.report import ServiceReport, StackReport
from feira_local.stack.secrets import load_secrets
from started_home import once_started

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


@pytest.mark.parametrize("ended", ["while it starts", "once it is up"])
def test_ctrl_c_in_the_foreground_stops_what_was_started(
    home: Path, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    downs: list[StackConfig] = []
    monkeypatch.setattr(stack, "ensure_jars", lambda *_, **__: None)
    monkeypatch.setattr(lifecycle, "up", lambda *_: [])
    monkeypatch.setattr(
        *((lifecycle, "up") if ended == "while it starts" else (stack, "events")), interrupted
    )
    monkeypatch.setattr(lifecycle, "down", downs.append)
    done = CliRunner().invoke(app, ["up", "--foreground", "--comet"])
    assert done.exit_code == 0 and done.stdout.endswith("Stopped.\n")
    assert [(config.home, config.comet) for config in downs] == [(home, True)]


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


def test_a_stack_that_runs_is_taken_as_it_was_started_by_who_asks_for_that(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[StackConfig] = []
    monkeypatch.setattr(stack, "ensure_jars", lambda *_, **__: None)
    monkeypatch.setattr(lifecycle, "up", lambda config, _: asked.append(config) or [])
    plain = StackConfig.from_env()
    watched = replace(plain, monitoring=Monitoring())
    watched.make_folders()
    state.save(watched)
    for words in (["--as-is"], []):
        assert CliRunner().invoke(app, ["up", *words, "--json"]).exit_code == 0
    # It runs no more.
    state.forget(watched)
    assert CliRunner().invoke(app, ["up", "--as-is", "--json"]).exit_code == 0
    assert asked == [watched, plain, plain]
    refused = CliRunner().invoke(app, ["up", "--as-is", "--monitoring"])
    assert isinstance(refused.exception, StackError)
    assert "FEIRA_MONITORING" in str(refused.exception)


def test_services_as_json_hold_names_of_secrets_but_no_secret(home: Path) -> None:
    found = CliRunner().invoke(app, ["services", "--json"]).stdout
    names = [service["name"] for service in json.loads(found)]
    assert names[0] == "postgres"
    assert "spark" in names
    assert "AIRFLOW__CORE__FERNET_KEY" in found
    assert not [secret for secret in load_secrets(home).by_name().values() if secret in found]


def test_env_is_read_by_a_shell_and_gives_the_lake_back() -> None:
    secrets = once_started()
    exports = CliRunner().invoke(app, ["env"]).stdout
    script = (
        f"{exports}\n{shlex.quote(sys.executable)} -c 'from feira.core.settings import LakeSettings as L; "
        + ("s = L.from_env(); print(s.root, s.endpoint, s.secret_key)'")
    )
    read = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert read.stdout.split() == [
        "s3://feira-lake",
        "http://127.0.0.1:21000",
        secrets.s3_secret_key,
    ]


def test_a_connection_that_no_shell_can_name_is_left_out_and_named(home: Path) -> None:
    once_started()
    own = home / "connections.yaml"
    own.write_text("my-conn: {conn_type: http}\n'x;touch y': {conn_type: http}\n")
    own.chmod(0o600)
    found = CliRunner().invoke(app, ["env"])
    assert found.exit_code == 0 and "LAKE_DEFAULT" in found.stdout
    assert "MY-CONN" not in found.stdout and "TOUCH" not in found.stdout
    assert "AIRFLOW_CONN_MY-CONN is left out" in found.stderr


def test_doctor_looks_at_everything_and_names_the_next_step() -> None:
    found = _json("doctor")
    assert isinstance(found, list)
    by_what = {finding["what"]: finding for finding in found}
    assert {"Python", "Java", "jars", "disk", "memory", "port 21000 (s3)"} <= by_what.keys()
    assert all(finding["ok"] or finding["step"] for finding in found)


def test_doctor_names_for_each_port_the_variable_that_moves_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("prometheus", "alertmanager"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    asked = {
        "FEIRA_HOME": str(home),
        "FEIRA_MONITORING": "on",
        "FEIRA_MONITORING_BIN": str(tmp_path),
        "FEIRA_SPARK": "cluster",
        "FEIRA_WAREHOUSE_ON": "redshift",
    }
    config = StackConfig.from_env(asked)
    ports = config.ports.named()
    monkeypatch.setattr(doctor, "port_owner", lambda port: "process 1")
    steps = {
        int(finding.what.split()[1]): finding.step
        for finding in doctor._ports(lifecycle.Stack.of(config))
    }
    assert sorted(steps) == sorted(ports.values())
    for port, step in steps.items():
        (variable,) = re.findall(r"FEIRA_\w+", step)
        moved = StackConfig.from_env(asked | {variable: "20000"}).ports.named()
        assert set(moved.values()) ^ set(ports.values()) == {port, 20000}


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


def test_clean_that_keeps_settings_leaves_own_connections_alone_and_is_repeatable(
    home: Path,
) -> None:
    load_secrets(home)
    (home / "lake").mkdir()
    (home / "lake" / "part").write_text("rows")
    (home / "dbt").symlink_to(home / "lake")
    own = home / "connections.yaml"
    own.write_text("shop_api: {conn_type: http}")
    own.chmod(0o600)
    cleaned = CliRunner().invoke(app, ["clean", "--yes", "--keep-settings"])
    assert cleaned.exit_code == 0
    assert "connections.yaml" in cleaned.stdout
    assert list(home.iterdir()) == [own]
    assert (own.read_text(), own.stat().st_mode & 0o777) == ("shop_api: {conn_type: http}", 0o600)
    # As the button does where the start after it has failed.
    again = CliRunner().invoke(app, ["clean", "--yes", "--keep-settings"])
    assert (again.exit_code, "nothing to remove" in again.stdout) == (0, True)
    load_secrets(home)
    assert CliRunner().invoke(app, ["clean", "--yes"]).exit_code == 0
    assert not home.exists()


def test_a_clean_that_was_ended_among_the_jars_is_done_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(StackConfig.from_env(), repository=home.parent, home=home.parent / ".feira")
    monkeypatch.setattr(clean, "running_config", lambda: config)
    load_secrets(config.home)
    cache = config.repository / ".cache"
    cache.mkdir()
    removed = shutil.rmtree

    def ended(path: Path, **options: object) -> None:
        if path == cache:
            raise KeyboardInterrupt
        removed(path, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as first:
        first.setattr(clean.shutil, "rmtree", ended)
        assert CliRunner().invoke(app, ["clean", "--yes"]).exit_code != 0
    assert CliRunner().invoke(app, ["clean", "--yes"]).exit_code == 0
    assert not config.home.exists() and not cache.exists()


def test_a_stack_that_is_reset_comes_back_with_the_settings_that_it_ran_with(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[StackConfig] = []
    monkeypatch.setattr(stack, "ensure_jars", lambda *_, **__: None)
    monkeypatch.setattr(lifecycle, "up", lambda config, _: began.append(config) or [])
    watched = replace(StackConfig.from_env(), monitoring=Monitoring(), without=("kafka",))
    watched.make_folders()
    load_secrets(home)
    (home / "lake" / "part").write_text("rows")
    (home / "connections.yaml").touch(mode=0o600)
    state.save(watched)
    ran = CliRunner().invoke(app, ["clean", "--yes", "--restart", "--json"])
    assert ran.exit_code == 0
    assert "seconds" in json.loads(ran.stdout)
    assert began == [watched]
    assert (home / "connections.yaml").exists() and not (home / "lake" / "part").exists()


def _no_jars(*_: object, **__: object) -> None:
    raise StackError("The repository does not answer.")


def test_a_reset_whose_start_fails_leaves_the_settings_to_the_next_start(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        plain = StackConfig.from_env()
        ports = replace(plain.ports, s3=taken.getsockname()[1])
        watched = replace(plain, ports=ports, monitoring=Monitoring(), without=("kafka",))
        watched.make_folders()
        load_secrets(home)
        (home / "lake" / "part").write_text("rows")
        state.save(watched)
        # Before anything is there again, on what that left, and with all but the processes there.
        for attempt, fails in (("nothing", _no_jars), ("nothing", _no_jars), ("folders", None)):
            with monkeypatch.context() as patched:
                if fails:
                    patched.setattr(stack, "ensure_jars", fails)
                ran = CliRunner().invoke(app, ["clean", "--yes", "--restart", "--json"])
            assert isinstance(ran.exception, StackError)
            assert ("held by" in str(ran.exception)) is (attempt == "folders")
            assert state.running_config() == watched
            assert not (home / "lake" / "part").exists()
            assert (home / "secrets.env").exists() is (attempt == "folders")
        again = CliRunner().invoke(app, ["up", "--as-is"])
        assert "held by" in str(again.exception)
        assert state.running_config() == watched
    assert lifecycle.down(watched) == {}
    assert state.running_config() == plain


def test_what_a_failed_reset_left_is_known_as_a_stacks_and_removed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = replace(StackConfig.from_env(), monitoring=Monitoring())
    watched.make_folders()
    load_secrets(home)
    state.save(watched)
    monkeypatch.setattr(stack, "ensure_jars", _no_jars)
    assert CliRunner().invoke(app, ["clean", "--yes", "--restart"]).exit_code == 1
    left = {path for path in home.rglob("*") if path.is_file()}
    assert left == {state.settings_path(watched), state.lock_path(watched)}
    assert CliRunner().invoke(app, ["clean", "--yes"]).exit_code == 0
    assert not home.exists()


@pytest.mark.parametrize("restart", [False, True])
def test_no_stack_is_started_beside_a_clean_nor_before_what_it_starts_itself(
    restart: bool, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = StackConfig.from_env()
    config.make_folders()
    load_secrets(home)
    (home / "lake" / "part").write_text("rows")
    locks: list[os.stat_result] = []
    taken: list[tuple[str, bool]] = []

    def note(what: str) -> None:
        locks.append(state.lock_path(config).stat())
        taken.append((what, state.busy(config)))

    removed, downed = clean._remove, lifecycle.down
    monkeypatch.setattr(clean, "_remove", lambda path, kept: (note("remove"), removed(path, kept)))
    monkeypatch.setattr(lifecycle, "down", lambda config: (note("down"), downed(config)))
    monkeypatch.setattr(stack, "ensure_jars", lambda *_, **__: note("jars"))
    monkeypatch.setattr(lifecycle, "up", lambda *_: (note("up"), [])[1])
    asked = ["clean", "--yes", "--json", *(["--restart"] if restart else [])]
    assert CliRunner().invoke(app, asked).exit_code == 0
    steps = [what for what, _ in taken]
    assert steps[0] == "down" and {"remove"} <= set(steps)
    assert steps[-2:] == (["jars", "up"] if restart else ["remove", "remove"])
    assert {busy for _, busy in taken} == {True}
    assert len({found.st_ino for found in locks}) == 1
    assert not state.busy(config)
    assert home.exists() is restart


def test_a_start_beside_the_end_of_a_clean_keeps_its_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = StackConfig.from_env()
    config.make_folders()
    load_secrets(home)
    lock, unlink = state.lock_path(config), Path.unlink

    def unlinked(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok)
        if path == lock:
            lock.touch()

    monkeypatch.setattr(Path, "unlink", unlinked)
    assert CliRunner().invoke(app, ["clean", "--yes"]).exit_code == 0
    assert [path for path in home.rglob("*") if path.is_file()] == [lock]


def test_clean_that_keeps_settings_removes_the_folder_where_there_are_none(home: Path) -> None:
    load_secrets(home)
    assert CliRunner().invoke(app, ["clean", "--yes", "--keep-settings"]).exit_code == 0
    assert not home.exists()


@pytest.mark.parametrize("words", [["up"], ["up", "--json"]])
def test_the_login_is_printed_to_a_terminal_alone(
    words: list[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "ensure_jars", lambda *_, **__: None)
    monkeypatch.setattr(stack.lifecycle, "up", lambda *_: [])
    password = once_started().airflow_admin
    # What a CI sets so that its log has colours is no terminal.
    monkeypatch.setenv("FORCE_COLOR", "1")
    printed = CliRunner().invoke(app, words)
    assert printed.exit_code == 0
    assert password not in printed.output
    monkeypatch.setattr("typer.testing._NamedTextIOWrapper.isatty", lambda _: True)
    assert (password in CliRunner().invoke(app, words).output) is (words == ["up"])


def test_each_users_login_is_printed_on_request() -> None:
    secrets = once_started()
    for words, user, password in (
        ([], "admin", secrets.airflow_admin),
        (["operator"], "operator", secrets.airflow_operator),
        (["viewer"], "viewer", secrets.airflow_viewer),
    ):
        printed = CliRunner().invoke(app, ["login", *words]).stdout
        assert f"{user} / {password} " in printed
        shown = json.loads(CliRunner().invoke(app, ["login", *words, "--json"]).stdout)
        assert (shown["user"], shown["password"]) == (user, password)
    refused = CliRunner().invoke(app, ["login", "root"])
    assert isinstance(refused.exception, StackError)
    assert all(user in str(refused.exception) for user in ("'root'", "admin", "operator", "viewer"))


@pytest.mark.parametrize("command", ["login", "login viewer", "login --json", "env", "env --json"])
def test_where_no_stack_was_started_no_password_is_made_and_printed(
    command: str, home: Path
) -> None:
    printed = CliRunner().invoke(app, command.split())
    assert isinstance(printed.exception, StackError)
    assert all(words in str(printed.exception) for words in (str(home), "`feira up`", "FEIRA_HOME"))
    assert (printed.stdout, home.exists()) == ("", False)


@pytest.mark.parametrize("command", ["login", "env"])
def test_passwords_of_a_start_that_came_to_nothing_are_not_printed(
    command: str, home: Path
) -> None:
    load_secrets(home)
    printed = CliRunner().invoke(app, [command])
    assert isinstance(printed.exception, StackError)
    assert (printed.stdout, "There is no stack in" in str(printed.exception)) == ("", True)


def test_the_password_of_a_program_is_printed_by_no_login() -> None:
    secrets = once_started()
    for user in ("admin", "operator", "viewer"):
        found = _json(*f"login {user}".split())
        assert isinstance(found, dict)
        assert found["password"] == secrets.by_name()[f"airflow_{user}"]
    refused = CliRunner().invoke(app, ["login", "monitor"])
    assert isinstance(refused.exception, StackError)
    assert "'monitor'" in str(refused.exception)
    assert "admin, operator, viewer" in str(refused.exception)
    assert secrets.airflow_monitor not in f"{refused.output}{refused.exception}"


LOOKS = (
    *("status", "status --json", "doctor", "services", "services --json", "logs spark", "verify"),
    *("events produce 2010-12-01", "restart spark", "attach spark", "recommendations versions"),
    *("recommendations live 2010-12-01", "show fact --day 2010-12-01", "lineage", "down"),
)


@pytest.mark.parametrize("command", LOOKS)
def test_who_only_looks_makes_no_folder_and_no_password(
    command: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feira_local.stack.jars.missing_jars", lambda *_, **__: [])
    CliRunner().invoke(app, command.split())
    assert not home.exists()


@pytest.mark.parametrize(
    ("fault", "failed", "words"),
    [
        ("a file is above it", {"state folder"}, "is no folder"),
        ("passwords cannot be read", {"libraries", "stack"}, "secrets.env cannot be read"),
        ("settings are damaged", {"settings"}, "does not hold a stack's settings"),
    ],
)
def test_of_a_folder_that_cannot_be_used_doctor_prints_its_checks_and_status_says_so(
    fault: str, failed: set[str], words: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault.startswith("passwords"):
        (home / "secrets.env").mkdir(parents=True)
    elif fault.startswith("settings"):
        state.settings_path(StackConfig.from_env()).parent.mkdir(parents=True)
        state.settings_path(StackConfig.from_env()).write_text("{}")
    else:
        home.touch()
        monkeypatch.setenv("FEIRA_HOME", str(home / "below"))
    monkeypatch.setattr("feira_local.stack.jars.missing_jars", lambda *_, **__: [])
    found = _json("doctor")
    assert isinstance(found, list)
    about = {"settings", "state folder", "libraries", "stack", "PostgreSQL data"}
    assert {it["what"] for it in found if not it["ok"]} & about == failed
    assert [it for it in found if words in it["found"] and it["step"]]
    assert {"Python", "Java", "disk", "memory"} <= {it["what"] for it in found}
    status = CliRunner().invoke(app, ["status"])
    assert status.exit_code == 1
    said = f"{status.stdout}{status.exception}"
    assert ("does not run; `feira up`" if fault.startswith("a file") else words) in said


@pytest.fixture
def one_service_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's API answers its health page, and PostgreSQL is down."""
    found = [
        ServiceReport(name, state, "", 1, 1.0, 0, None, 1, ())
        for name, state in (("postgres", "failed"), ("airflow-api", "healthy"))
    ]
    monkeypatch.setattr(stack, "report", lambda _: StackReport(True, tuple(found), 1))


class Refuses(http.server.BaseHTTPRequestHandler):
    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        self.send_response(500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.mark.usefixtures("one_service_works")
def test_status_has_every_services_health_where_airflow_has_no_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(access, "require_running", lambda: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(access, "airflow_api", lambda: (url, str))
        monkeypatch.setattr(Refuses, "asked", 0)
        printed = CliRunner().invoke(app, ["status"])
        assert Refuses.asked == 1
        found = json.loads(CliRunner().invoke(app, ["status", "--json"]).stdout)
        server.shutdown()
    assert (printed.exit_code, type(printed.exception)) == (1, SystemExit)
    lines = printed.stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [
        ["postgres", "failed"],
        ["airflow-api", "healthy"],
    ]
    assert "500" in lines[-1]
    assert [each["state"] for each in found["services"]] == ["failed", "healthy"]
    assert found["pipelines"] == []
    assert "500" in found["pipelines_error"]


@pytest.mark.parametrize("health", ["healthy", "failed"])
def test_a_declaration_that_cannot_be_read_costs_status_its_table_alone(
    health: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_: object) -> None:
        raise SyntaxError("invalid syntax (pipeline.py, line 3)")

    api = ServiceReport("airflow-api", "healthy", "", 1, 1.0, 0, None, 1, ())
    found = StackReport(True, (api, replace(api, name="spark", state=health)), 1)
    monkeypatch.setattr(stack, "report", lambda _: found)
    monkeypatch.setattr(access, "require_running", lambda: None)
    monkeypatch.setattr(stack, "states", unreadable)
    printed = CliRunner().invoke(app, ["status"])
    assert printed.exit_code == (0 if health == "healthy" else 1)
    assert "spark" in printed.stdout
    assert "SyntaxError: invalid syntax (pipeline.py, line 3)" in printed.stdout
