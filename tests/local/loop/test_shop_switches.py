"""`feira shop faults` against the simulator itself, and `feira open`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from feira_local.cli import app
from feira_local.shop.app import create_app
from feira_local.shop.faults import FAULTS
from feira_local.shop.fx import FxRates
from feira_local.shop.generator import GeneratedSource, GeneratorSettings
from feira_local.stack.errors import StackError
from shop_server import served


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    source = GeneratedSource(GeneratorSettings(lines_per_day=10))
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path / "home"))
    with served(create_app(source, FxRates(7), tmp_path / "shop")) as url:
        monkeypatch.setenv("FEIRA_PORT_SHOP", str(urlsplit(url).port))
        yield url


def feira(*words: str) -> Any:
    ended = CliRunner().invoke(app, ["shop", "faults", *words, "--json"], catch_exceptions=True)
    if ended.exception and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return json.loads(ended.stdout)


def on() -> dict[str, Any]:
    return {each["name"]: each["state"] for each in feira("list") if each["on"]}


def test_a_fault_is_on_with_its_options_until_it_is_off(shop: str) -> None:
    assert on() == {}
    feira("on", "server_error", "-o", "status=503", "-o", "count=3", "-o", "day=2010-12-01")
    feira("on", "renamed_field", "-o", "to=cost")
    found = on()
    assert set(found) == {"server_error", "renamed_field"}
    assert (found["server_error"]["status"], found["server_error"]["count"]) == (503, 3)
    assert found["server_error"]["day"] == "2010-12-01"
    assert found["renamed_field"]["to"] == "cost"
    feira("off", "server_error")
    assert set(on()) == {"renamed_field"}
    feira("off")
    assert on() == {}
    feira("off", "hang")  # off already is fine


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_can_be_switched_by_its_name_alone(name: str, shop: str) -> None:
    assert feira("on", name)["on"] is True
    assert set(on()) == {name}
    assert feira("off", name) == {"off": name}
    assert on() == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("on", "server_eror"), "fault 'server_eror'; .*server_error, hang"),
        (("off", "x"), "no fault 'x'"),
        (("on", "server_error", "-o", "status=404"), "status: .*500, and it is 404"),
        (("on", "server_error", "-o", "stat=503"), "stat: .*503"),
        (("on", "server_error", "-o", "status"), "'status' is no option; write name=value"),
        (("on", "server_error", "-o", "=503"), "no option"),
        (("on", "hang", "-o", "seconds=NaN"), "seconds: "),
        (("on", "hang", "-o", "seconds=1e400"), "seconds: "),
        (("on", "hang", "-o", "seconds=Infinity"), "seconds: "),
        (("on", "short_page", "-o", "missing=" + "[" * 9000), "missing: "),
        # More than 64 bits, which the state file cannot hold: it is the simulator that refuses.
        (("on", "wrong_total", "-o", "by=99999999999999999999"), "answered 422.*wrong_total"),
        (("on", "hang", "-o", "count=99999999999999999999"), "answered 422.*hang"),
    ],
    ids=str,
)
def test_what_the_simulator_would_not_take_is_refused_with_the_value(
    words: tuple[str, ...], said: str, shop: str
) -> None:
    with pytest.raises(StackError, match=said):
        feira(*words)
    assert on() == {}


def test_without_the_simulator_the_faults_are_listed_and_none_is_switched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path))
    monkeypatch.setenv("FEIRA_PORT_SHOP", "2")
    monkeypatch.setenv("FEIRA_PORT_OFFSET", "1022")
    found = feira("list")
    assert [each["name"] for each in found] == list(FAULTS)
    assert all("on" not in each for each in found)
    for words in (("on", "hang"), ("off",)):
        with pytest.raises(StackError, match=r"http://127\.0\.0\.1:1024/_faults.*`feira status`"):
            feira(*words)


def test_a_page_is_opened_at_the_stacks_own_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", opened.append)
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path))
    monkeypatch.setenv("FEIRA_PORT_OFFSET", "100")
    for page in ("report", "inbox", "assets", "airflow", "shop"):
        shown = CliRunner().invoke(app, ["open", page]).stdout.strip()
        assert shown == opened[-1]
    assert opened == [
        "http://127.0.0.1:18125/?channel=mail",
        "http://127.0.0.1:18125",
        "http://127.0.0.1:18180/assets",
        "http://127.0.0.1:18180",
        "http://127.0.0.1:18110/docs",
    ]
    assert CliRunner().invoke(app, ["open", "x"]).exit_code == 1
    assert len(opened) == 5
