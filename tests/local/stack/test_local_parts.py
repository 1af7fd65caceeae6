"""A part of the stack is found by its place, and the stack takes its services, ports and connections."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from feira.core.by_place import declarations
from feira_local.stack import airflow, config, lifecycle, local_parts, services, state
from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.local_parts import LocalPart
from feira_local.stack.secrets import load_secrets
from feira_local.stack.supervisor import Supervisor
from temporary_postgres import free_port

GEO = """
import sys
from feira_local.stack.local_parts import LocalPart
from feira_local.stack.service import HttpCheck, Service

def services(config):
    port = config.ports.own["geo"]
    return (
        Service(
            name="geo", label="source", description="Countries by address",
            command=(sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"),
            cwd=config.home, health=HttpCheck(f"http://127.0.0.1:{port}/"), ports=(port,),
        ),
    )

def connections(config):
    return {"geo_api": {"conn_type": "http", "host": "127.0.0.1", "port": config.ports.own["geo"]}}

LOCAL = LocalPart("geo", ports={"geo": 18050}, services=services, connections=connections)
"""


@pytest.fixture
def package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], LocalPart]]:
    """Makes the part ``geo`` of a package ``laptop`` from the text of its local.py."""
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "laptop" / "geo"
    folder.mkdir(parents=True)
    for each in (folder, folder.parent):
        (each / "__init__.py").touch()

    def made(text: str) -> LocalPart:
        (folder / "local.py").write_text(text)
        importlib.invalidate_caches()
        (part,) = declarations([str(tmp_path / "laptop")], "laptop", "local", LocalPart, StackError)
        return part

    yield made
    for name in [name for name in sys.modules if name.partition(".")[0] == "laptop"]:
        del sys.modules[name]


@pytest.fixture
def joined(package: Callable[[str], LocalPart], monkeypatch: pytest.MonkeyPatch) -> LocalPart:
    """The part, among those that the stack finds."""
    part = package(GEO)
    found = (*local_parts.local_parts(), part)
    monkeypatch.setattr(config, "local_parts", lambda: found)
    return part


def test_the_stack_takes_a_parts_service_port_and_connection(
    joined: LocalPart, tmp_path: Path
) -> None:
    env = {"FEIRA_HOME": str(tmp_path / "home"), "FEIRA_PORT_OFFSET": "100"}
    stack = StackConfig.from_env(env)
    secrets = load_secrets(stack.home)
    assert stack.ports.named()["geo"] == 18150
    (geo,) = (each for each in services.services(stack, secrets) if each.name == "geo")
    assert geo.ports == (18150,)
    described = json.loads(airflow.connections(stack, secrets)["AIRFLOW_CONN_GEO_API"])
    assert described["port"] == 18150
    assert "AIRFLOW_CONN_SHOP_API" in airflow.connections(stack, secrets)


def test_a_ports_variable_is_the_parts_too_and_must_be_free(joined: LocalPart) -> None:
    assert StackConfig.from_env({"FEIRA_PORT_GEO": "18060"}).ports.own["geo"] == 18060
    with pytest.raises(StackError, match=r"postgres .*geo .*15432.*FEIRA_PORT_GEO"):
        StackConfig.from_env({"FEIRA_PORT_GEO": "15432"})


def test_a_stack_that_was_started_before_the_part_joined_has_its_default(
    joined: LocalPart, tmp_path: Path
) -> None:
    before = StackConfig.from_env({"FEIRA_HOME": str(tmp_path)})
    saved = state.as_json(replace(before, ports=replace(before.ports, own={})))
    assert state._restored(before, json.loads(json.dumps(saved))).ports.own["geo"] == 18050
    moved = state.as_json(replace(before, ports=replace(before.ports, own={"geo": 20000})))
    assert state._restored(before, json.loads(json.dumps(moved))).ports.own["geo"] == 20000


def test_a_stack_that_was_started_before_the_part_joined_is_named_by_up_and_stopped_by_down(
    joined: LocalPart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "missing_jars", lambda *_, **__: [])
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path))
    monkeypatch.setenv("FEIRA_PORT_GEO", str(free_port()))
    stack = StackConfig.from_env()
    stack.make_folders()
    (geo,) = joined.services(stack)
    supervisor = Supervisor(stack)
    state.save(stack)
    # What runs is a part that is gone since, and what the sources name was never started.
    supervisor.launch((replace(geo, name="maps"),))
    try:
        supervisor.start("maps")
        with pytest.raises(StackError, match=r"without .*geo, .*`feira down`.*`feira up`"):
            lifecycle.up(stack)
        assert supervisor.states()["maps"].runs
    finally:
        left = lifecycle.down(stack)
    assert left == {}
    assert supervisor.pid is None


def test_a_part_that_is_left_out_brings_neither_service_nor_connection(
    joined: LocalPart, tmp_path: Path
) -> None:
    stack = StackConfig.from_env({"FEIRA_HOME": str(tmp_path), "FEIRA_WITHOUT": "geo, kafka"})
    secrets = load_secrets(stack.home)
    names = {each.name for each in services.services(stack, secrets)}
    assert "shop" in names and not names & {"geo", "kafka", "kafka-topics"}
    found = airflow.connections(stack, secrets)
    assert "AIRFLOW_CONN_SHOP_API" in found
    assert not {"AIRFLOW_CONN_GEO_API", "AIRFLOW_CONN_KAFKA_DEFAULT"} & found.keys()


def test_a_running_stack_knows_what_it_was_started_without(
    joined: LocalPart, tmp_path: Path
) -> None:
    plain = StackConfig.from_env({"FEIRA_HOME": str(tmp_path)})
    saved = json.loads(json.dumps(state.as_json(replace(plain, without=("geo",)))))
    assert state._restored(plain, saved).without == ("geo",)
    assert lifecycle._difference(replace(plain, without=("geo",)), plain) == (
        "parts without: ['geo'] → []"
    )
    # One that was started before there was the choice runs all.
    saved = json.loads(json.dumps(state.as_json(plain)))
    del saved["parts"]
    assert state._restored(plain, saved) == plain


@pytest.mark.parametrize("text", ["kafka,valkye", "postgres", "Kafka"])
def test_what_is_no_part_cannot_be_left_out(text: str) -> None:
    with pytest.raises(
        StackError, match=rf"FEIRA_WITHOUT.* '{text.split(',')[-1]}'; .*kafka, shop"
    ):
        StackConfig.from_env({"FEIRA_WITHOUT": text})


@pytest.mark.parametrize("text", [",", " ", " , ,"])
def test_to_leave_out_no_part_by_name_is_refused(text: str) -> None:
    with pytest.raises(StackError, match=rf"FEIRA_WITHOUT, or --without, names '{text}'; .*kafka"):
        StackConfig.from_env({"FEIRA_WITHOUT": text})
    assert StackConfig.from_env({"FEIRA_WITHOUT": ""}).without == ()
    assert StackConfig.from_env({"FEIRA_WITHOUT": "kafka,"}).without == ("kafka",)


def test_two_services_of_one_name_are_refused(joined: LocalPart, tmp_path: Path) -> None:
    stack = StackConfig.from_env({"FEIRA_HOME": str(tmp_path)})
    (geo,) = joined.services(stack)
    with pytest.raises(StackError, match=r"services .*named shop"):
        services.require_apart((replace(geo, name="shop"),), (geo, replace(geo, name="shop")))


def test_a_folder_that_declares_nothing_is_not_imported_to_find_that_out(
    package: Callable[[str], LocalPart], tmp_path: Path
) -> None:
    folder = tmp_path / "laptop" / "heavy"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise MemoryError")
    assert package(GEO).name == "geo"


@pytest.mark.parametrize(
    "text", ["", "LOCAL = 1", GEO.replace('LocalPart("geo"', 'LocalPart("maps"')]
)
def test_a_part_that_does_not_name_its_folder_is_refused(
    package: Callable[[str], LocalPart], text: str
) -> None:
    with pytest.raises(StackError, match=r"laptop\.geo\.local must hold .*name='geo'"):
        package(text)
