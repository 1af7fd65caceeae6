"""A state folder whose path has spaces, quotes, percent signs and more than ASCII."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from feira_local.cli import main, output
from feira_local.stack import ivy, spark
from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.s3 import _escaped
from feira_local.stack.secrets import load_secrets
from feira_local.stack.services import services
from feira_local.stack.supervisor import render


@pytest.mark.parametrize("name", ["a b", "a 'b", 'a "b', "a ü", "a;b#c,d:e"])
def test_supervisord_reads_back_the_paths_of_any_folder(tmp_path: Path, name: str) -> None:
    config = StackConfig.from_env({"FEIRA_HOME": str(tmp_path / name)})
    config.make_folders()
    defined = services(config, load_secrets(config.home))
    file = tmp_path / "supervisord.conf"
    file.write_text(render(config, defined), encoding="utf-8")
    options = ServerOptions()
    options.realize(["-c", str(file)])
    assert options.configroot.supervisord.logfile == str(config.logs / "supervisord.log")
    groups = options.process_group_configs
    logs = {group.process_configs[0].stdout_logfile for group in groups}
    assert logs == {str(config.logs / f"{service.name}.log") for service in defined}


def test_spark_splits_no_option_at_a_space_of_the_clones_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = StackConfig.from_env({"FEIRA_HOME": str(tmp_path)})
    monkeypatch.setattr(spark, "__file__", str(tmp_path / "a 'b" / "spark.py"))
    lake = dataclasses.replace(config, home=tmp_path).lake_settings(load_secrets(tmp_path))
    options = spark.properties(config, lake)["spark.driver.extraJavaOptions"].split()
    assert all(option.startswith("-") for option in options)
    assert "'" not in " ".join(options)


def test_the_s3_servers_properties_hold_any_path() -> None:
    assert _escaped("/a b/ü\\x") == "/a b/\\u00fc\\\\x"
    assert _escaped("/😀") == "/\\ud83d\\ude00"


@pytest.mark.parametrize("name", ["a [bold]b", "a'l[k]ü", "[red] :cat: 'x", "a,b:c"])
@pytest.mark.parametrize("command", ["down", "status", "services", "doctor", "clean --yes"])
def test_a_commands_output_names_the_folder_as_it_is_and_on_one_line(
    name: str, command: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    home = tmp_path / name / "much longer than a terminal of eighty columns is wide" / "home"
    home.mkdir(parents=True)
    (home / "secrets.env").touch()
    (home / "postgres" / "data").mkdir(parents=True)  # doctor names it
    monkeypatch.setenv("FEIRA_HOME", str(home))
    monkeypatch.setattr("sys.argv", ["feira", *command.split()])
    monkeypatch.setattr("feira_local.stack.jars.missing_jars", lambda *_, **__: [])
    with pytest.raises(SystemExit):
        main()
    assert str(home) in capfd.readouterr().out


@pytest.mark.parametrize(
    "name", ["a$HOME", "a%b", "a %(x)s", "a ;b", "a #b", "a\nb", "a\tb", "a\x1b[31mb", "a\udcffb"]
)
def test_a_path_that_the_stacks_programs_cannot_read_is_refused_by_name(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(StackError, match=r"FEIRA_HOME .*Move it"):
        StackConfig.from_env({"FEIRA_HOME": str(tmp_path / name)})


@pytest.mark.parametrize(
    "name", ["FEIRA_HOME", "FEIRA_SHOP_DATA", "FEIRA_EXTRA_DAGS", "FEIRA_MONITORING_BIN"]
)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("~nobody-of-that-name/x", "home directory"),
        ("{}/circle", "[Ll]oop"),
        ("{}/circle/x", "[Ll]oop"),
        ("/" + "x" * 300, "too long"),
    ],
)
def test_a_path_that_cannot_be_followed_is_refused_with_its_setting(
    name: str, value: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "round")
    (tmp_path / "round").symlink_to(tmp_path / "circle")
    path = value.format(tmp_path)
    env = {"FEIRA_HOME": str(tmp_path / "home"), "FEIRA_MONITORING": "on", name: path}
    with pytest.raises(StackError, match=rf"^{name} is '{path}', .*{reason}.*[^.]\.$"):
        StackConfig.from_env(env)


@pytest.mark.parametrize("name", ["FEIRA_SHOP_DATA", "FEIRA_EXTRA_DAGS", "FEIRA_MONITORING_BIN"])
@pytest.mark.parametrize("value", ["gone", "file", "file/below"])
def test_what_is_no_folder_is_refused_with_its_setting(
    name: str, value: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    path = str(tmp_path / value)
    env = {"FEIRA_HOME": str(tmp_path / "home"), "FEIRA_MONITORING": "on", name: path}
    with pytest.raises(StackError, match=f"^{name} is '{path}', which is no folder"):
        StackConfig.from_env(env)


def test_a_folder_of_dags_whose_path_airflow_would_change_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a $HOME"
    folder.mkdir()
    with pytest.raises(StackError, match="FEIRA_EXTRA_DAGS is in"):
        StackConfig.from_env({"FEIRA_HOME": str(tmp_path), "FEIRA_EXTRA_DAGS": str(folder)})


def test_spark_does_not_split_its_scratch_folder_at_a_comma(tmp_path: Path) -> None:
    config = StackConfig.from_env({"FEIRA_HOME": str(tmp_path / "a,b")})
    found = next(it for it in services(config, load_secrets(config.home)) if it.name == "spark")
    assert found.cwd / found.env["SPARK_LOCAL_DIRS"] == config.spark / "local"
    assert "," not in found.env["SPARK_LOCAL_DIRS"]


def test_ivy_is_given_no_path_whose_brackets_it_would_take_for_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr(
        ivy.subprocess, "Popen", lambda command, **rest: given.update(rest, command=command)
    )
    scratch = tmp_path / "a [b](c)"
    ivy.start(scratch, [("g:a:1", False)], poms=False, excludes=())
    command = given["command"]
    assert isinstance(command, list)
    assert given["cwd"] == scratch
    assert not [word for word in command if str(scratch) in word]


def test_no_print_takes_brackets_for_markup_or_colons_for_a_picture(
    capfd: pytest.CaptureFixture[str],
) -> None:
    for each in (output.console, output.error_console):
        each.print("[k] [bold]x[/] [/] :cat:")
    output.print_line("[k] \x1b[31m")
    shown = capfd.readouterr()
    assert shown.err == "[k] [bold]x[/] [/] :cat:\n"
    assert shown.out == "[k] [bold]x[/] [/] :cat:\n[k] \\x1b[31m\n"


def test_a_path_that_the_terminals_encoding_lacks_is_shown_escaped(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "from feira_local.cli import main; main()", "status"],
        env=os.environ | {"FEIRA_HOME": str(tmp_path / "ü"), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert rf"{tmp_path}/\xfc does not run" in ended.stdout
    assert ended.stderr == ""


def test_what_airflow_and_the_chart_write_is_in_the_state_folder(tmp_path: Path) -> None:
    config = StackConfig.from_env({"FEIRA_HOME": str(tmp_path / "a b")})
    for service in services(config, load_secrets(config.home)):
        if service.label == "airflow":
            for name in ("AIRFLOW_HOME", "MPLCONFIGDIR", "AIRFLOW__LOGGING__BASE_LOG_FOLDER"):
                assert Path(service.env[name]).is_relative_to(config.home)
