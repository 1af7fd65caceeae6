"""A proxy of the environment gets no request for a program of the stack, and those for others."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from answering import ONE_NAME, answering
from feira.core.lake import lake_files
from feira.core.settings import LakeSettings
from feira.monitoring.lake_reads import lake_reads
from feira_local import cli
from feira_local.stack.config import Monitoring, StackConfig
from feira_local.stack.launch import environment
from feira_local.stack.lifecycle import Stack
from feira_local.stack.loopback import no_proxy
from started_home import once_started

PROXY = {"HTTP_PROXY": "http://proxy:3128"}


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, None),
        ({"NO_PROXY": "a.example"}, None),
        ({"HTTP_PROXY": ""}, None),
        (PROXY, "127.0.0.1,localhost"),
        ({"all_proxy": "socks5://proxy"}, "127.0.0.1,localhost"),
        (PROXY | {"NO_PROXY": "a.example, .b,"}, "a.example,.b,127.0.0.1,localhost"),
        (PROXY | {"NO_PROXY": "a", "no_proxy": "b,127.0.0.1"}, "b,127.0.0.1,localhost"),
        (PROXY | {"NO_PROXY": "127.0.0.0/8"}, "127.0.0.0/8,127.0.0.1,localhost"),
        (PROXY | {"no_proxy": "*"}, "*"),
    ],
)
def test_loopback_is_added_to_the_hosts_that_are_asked_directly(
    env: dict[str, str], expected: str | None
) -> None:
    given = {} if expected is None else {"NO_PROXY": expected, "no_proxy": expected}
    assert no_proxy(env) == given
    assert no_proxy(env | given) == given


def test_a_service_asks_the_lake_of_the_stack_directly_and_others_by_the_callers_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = StackConfig.from_env({"FEIRA_HOME": str(tmp_path), "FEIRA_MONITORING": "on"})
    assert config.monitoring == Monitoring.found(os.environ)
    exporter = next(each for each in Stack.of(config).services if each.name == "exporter")
    with answering({"/b": (200, ONE_NAME)}) as store, answering({}) as proxy:
        for name, value in environment(exporter, dict(os.environ) | _proxied(proxy.url)).items():
            monkeypatch.setenv(name, value)
        here = LakeSettings("s3://b", store.url, "key", "secret", region="eu-west-3")
        for files in (lake_reads(here, 5), lake_files(here, 5)):
            assert files.ls("s3://b/a", detail=False) == ["b/a/x"]
        assert proxy.asked == []
        there = LakeSettings("s3://b", "http://store.invalid", "key", "secret", region="eu-west-3")
        with pytest.raises(FileNotFoundError):
            lake_reads(there, 5).cat_file("s3://b/k")
        assert [asked["host"] for asked in proxy.asked] == ["store.invalid"]


def _proxied(url: str) -> dict[str, str]:
    return {"HTTP_PROXY": url, "http_proxy": url}


def test_a_command_and_the_shell_that_it_makes_ready_ask_the_stack_directly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    for name in ("NO_PROXY", "no_proxy"):
        # Put back at the end, whatever the command has set.
        monkeypatch.setenv(name, "")
    once_started()
    assert "export no_proxy=127.0.0.1,localhost\n" in CliRunner().invoke(cli.app, ["env"]).stdout
    found: list[str] = []
    monkeypatch.setattr(cli, "app", lambda: found.append(os.environ["no_proxy"]))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    cli.main()
    assert found == ["127.0.0.1,localhost"]
