"""Ports are named with their owner, and what a killed service leaves behind is ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import psutil
import pytest

from feira_local.stack import processes, state
from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.lifecycle import Stack, _levels, _Startup, check_ports, down, up
from feira_local.stack.service import by_name
from feira_local.stack.supervisor import events
from temporary_postgres import free_port

PARENT = """
import subprocess, sys, time
from pathlib import Path
from feira_local.stack.processes import record_start
record_start(Path(sys.argv[1]), "parent")
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    found = StackConfig.from_env({"FEIRA_HOME": str(tmp_path / "home")})
    found.make_folders()
    return found


def _orphan(run: Path) -> int:
    """Starts a service that has a child, kills the service, and returns the child's number."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(run)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert psutil.pid_exists(child)
    return child


@pytest.mark.parametrize(("name", "service"), [("spark", "spark"), ("smtp", "inbox")])
def test_a_taken_port_is_named_with_its_owner_before_anything_starts(
    config: StackConfig, name: str, service: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        moved = replace(config, ports=replace(config.ports, **{name: port}))
        with pytest.raises(StackError) as caught:
            check_ports(Stack.of(moved), {})
        message = str(caught.value)
        assert f"port {port} of {service} is held by process {os.getpid()}" in message
        assert f"FEIRA_PORT_{name.upper()}" in message


def test_a_free_port_has_no_owner() -> None:
    assert processes.port_owner(free_port()) is None


def test_the_child_of_a_killed_service_is_found_and_ended(config: StackConfig) -> None:
    child = _orphan(config.run)
    assert [process.pid for process in processes.members(config.run, "parent")] == [child]
    processes.kill_leftovers(config.run, "parent")
    assert processes.wait_gone(child, 5)
    assert processes.leaders(config.run) == []


def test_down_ends_what_a_killed_supervisor_left(config: StackConfig) -> None:
    child = _orphan(config.run)
    assert list(down(config)) == [child]
    assert processes.wait_gone(child, 5)
    assert down(config) == {}


@pytest.mark.parametrize(
    ("name", "content", "mode"),
    [
        ("secrets.env", b"\xff\xfe", 0o600),
        ("connections.yaml", b"shop_api: {conn_type: http}", 0o644),
        ("connections.yaml", b"\xff", 0o600),
        # No StackError.
        ("connections.yaml", b"lake_default: {conn_type: aws}", 0o600),
    ],
)
def test_down_stops_a_stack_whose_files_cannot_be_read(
    name: str, content: bytes, mode: int, config: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feira_local.stack.supervisor.launcher", lambda _: ("sleep", "600"))
    stack = Stack.of(config)
    state.save(config)
    supervisor = stack.supervisor
    supervisor.launch(each for each in stack.services if each.name in ("s3", "spark"))
    try:
        for service in ("s3", "spark"):
            supervisor.start(service)
        running = [each.pid for each in supervisor.states().values()]
        (config.home / name).write_bytes(content)
        (config.home / name).chmod(mode)
        levels: list[str] = []
        assert down(config, levels.append) == {}
        assert levels == ["s3, spark"]
        assert supervisor.pid is None
        assert all(processes.wait_gone(pid, 0) for pid in running)
        assert not state.settings_path(config).exists()
    finally:
        supervisor.shutdown()


def test_a_process_number_that_is_anothers_now_is_left_alone(config: StackConfig) -> None:
    bystander = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
    )
    try:
        mine = psutil.Process(bystander.pid).create_time()
        before = processes.Leader("spark", bystander.pid, mine - 3600)
        assert processes.group(before) == []
        assert len(processes.group(processes.Leader("spark", bystander.pid, mine))) == 1
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux counts times of start from the boot")
@pytest.mark.parametrize("step", [300.0, -86_400.0, 2.0])
def test_a_clock_that_is_set_forgets_no_process(
    step: float, config: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = _orphan(config.run)
    try:
        (leader,) = processes.leaders(config.run)
        # As the kernel has it then: a process's own time is counted from it.
        booted = psutil.boot_time() + step
        monkeypatch.setattr(psutil, "boot_time", lambda: booted)
        monkeypatch.setattr("psutil._pslinux.boot_time", lambda: booted)
        psutil.process_iter.cache_clear()
        (moved,) = processes.leaders(config.run)
        assert moved == replace(leader, started=leader.started + step)
        assert [process.pid for process in processes.members(config.run)] == [child]
        booted_anew = config.home / "boot_id"
        booted_anew.write_text("another\n")
        monkeypatch.setattr(processes, "_BOOT_ID", booted_anew)
        assert processes.leaders(config.run) == []
    finally:
        monkeypatch.undo()
        psutil.process_iter.cache_clear()
        psutil.Process(child).kill()


@pytest.mark.parametrize(("rebooted", "known"), [(0, 1), (59, 1), (61, 0), (-61, 0)])
def test_without_a_boots_name_its_time_tells_it_from_another(
    rebooted: int, known: int, config: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_BOOT_ID", config.home / "none")
    processes.record_start(config.run, "shop")
    booted = psutil.boot_time() + rebooted
    monkeypatch.setattr(psutil, "boot_time", lambda: booted)
    assert len(processes.leaders(config.run)) == known


def test_two_commands_never_work_on_one_home_together(config: StackConfig) -> None:
    import fcntl

    with (config.run / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StackError, match="Another `feira up`, `feira down` or `feira clean`"):
            down(config)


def test_a_lock_that_a_clean_removed_meanwhile_keeps_others_out_all_the_same(
    config: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    locked, cleaned = state._locked, iter((True, True, False))

    def after_a_clean(file: IO[str], how: int) -> bool:
        if next(cleaned, False):
            shutil.rmtree(config.home)
        return locked(file, how)

    monkeypatch.setattr(state, "_locked", after_a_clean)
    with state.alone(config):
        assert state.lock_path(config).is_file() and state.busy(config)
        with state.alone(config):
            pass
        assert state.busy(config)
    assert not state.busy(config)


def test_up_without_jars_names_the_command_that_fetches_them(
    config: StackConfig, tmp_path: Path
) -> None:
    lock = config.repository / "tilt" / "jars.lock"
    (tmp_path / "tilt").mkdir()
    (tmp_path / "tilt" / "jars.lock").write_text(lock.read_text())
    with pytest.raises(StackError, match="feira jars fetch"):
        up(replace(config, repository=tmp_path))


def test_up_as_a_user_without_a_name_says_who_asks_for_it(
    config: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 2**31 - 7)
    with pytest.raises(StackError, match=r"user 2147483641 .*no name .*PostgreSQL"):
        up(config)


def test_services_are_stopped_before_what_they_depend_on(config: StackConfig) -> None:
    order: dict[str, int] = {}
    for number, level in enumerate(_levels(Stack.of(config).services)):
        order |= {service.name: number for service in level}
    for service in Stack.of(config).services:
        for needed in service.depends_on:
            assert order[service.name] < order[needed]


def test_the_running_stacks_settings_outlive_the_shell_that_started_it(
    config: StackConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started = StackConfig.from_env(
        {
            "FEIRA_HOME": str(config.home),
            "FEIRA_PORT_OFFSET": "500",
            "FEIRA_SHOP_DATA": str(tmp_path),
        }
    )
    monkeypatch.setenv("FEIRA_HOME", str(config.home))
    monkeypatch.delenv("FEIRA_PORT_OFFSET", raising=False)
    state.save(started)
    assert state.running_config() == started
    state.forget(started)
    assert state.running_config().ports.s3 == 19000


def test_an_unexpected_end_is_told_with_its_signal_and_a_stop_is_not(config: StackConfig) -> None:
    stamp = f"{datetime(2026, 1, 2, 3, 4, 5):%Y-%m-%d %H:%M:%S}"
    (config.logs / "supervisord.log").write_text(
        f"{stamp},001 INFO exited: shop (exit status 3; not expected)\n"
        f"{stamp},001 INFO supervisord started with pid 1\n"
        f"{stamp},002 WARN exited: spark (terminated by SIGKILL; not expected)\n"
        f"{stamp},003 INFO exited: databases (exit status 0; expected)\n"
        f"{stamp},004 WARN stopped: s3 (terminated by SIGTERM)\n"
        f"{stamp},005 INFO exited: airflow-api (exit status 0; expected)\n"
    )
    shown = [str(event) for event in events(config, Stack.of(config).services)]
    assert shown == [
        "03:04:05 UTC spark ended: terminated by SIGKILL",
        "03:04:05 UTC airflow-api ended: exit status 0",
    ]


ZONES = ("UTC", "America/Sao_Paulo", "Asia/Tokyo", "Asia/Kathmandu")


@pytest.fixture
def in_zone() -> Iterator[Callable[[str], None]]:
    """Sets this process's time zone, until the test is over."""

    def moved(zone: str) -> None:
        patch.setenv("TZ", zone)
        time.tzset()

    with pytest.MonkeyPatch.context() as patch:
        yield moved
    time.tzset()


@pytest.mark.parametrize("shell", ["America/Sao_Paulo", "Asia/Tokyo"])
def test_an_end_has_its_time_whatever_the_zones_of_the_shells_that_start_and_ask(
    shell: str,
    config: StackConfig,
    monkeypatch: pytest.MonkeyPatch,
    in_zone: Callable[[str], None],
) -> None:
    monkeypatch.setattr("feira_local.stack.supervisor.launcher", lambda _: ("false",))
    stack = Stack.of(config)
    in_zone(shell)
    before = int(time.time())
    stack.supervisor.launch(each for each in stack.services if each.name == "shop")
    try:
        with pytest.raises(xmlrpc.client.Fault):
            stack.supervisor.call("startProcess", "shop", True)
        for reader in ZONES:
            in_zone(reader)
            first = events(config, stack.services)[0]
            assert (first.service, first.how) == ("shop", "exit status 1")
            assert before <= first.at.timestamp() <= time.time()
            assert str(first).startswith(f"{first.at.astimezone(UTC):%H:%M:%S} UTC shop")
    finally:
        stack.supervisor.shutdown()


def logged(config: StackConfig, pid: int, *ends: float) -> None:
    """supervisord's log with an end of the shop at each of these times (epoch), in this process's zone."""
    lines = [f"{datetime(2026, 1, 1)},001 INFO supervisord started with pid {pid}\n"]
    for at in ends:
        stamp = datetime.fromtimestamp(int(at))
        lines.append(f"{stamp},002 WARN exited: shop (exit status 1; not expected)\n")
    (config.logs / "supervisord.log").write_text("".join(lines))


@pytest.mark.parametrize("zone", ZONES)
def test_a_start_counts_the_crashes_since_it_and_none_before_in_any_zone(
    zone: str, config: StackConfig, in_zone: Callable[[str], None]
) -> None:
    stack, now = Stack.of(config), time.time()
    shop = by_name(stack.services)["shop"]
    ends = [now - 1800, now - 1790, now - 1780]
    for found, phase in ((ends, "starting"), ([*ends, now, now, now], "failed")):
        in_zone("UTC")
        logged(config, 2**22, *found)
        in_zone(zone)
        startup = _Startup(stack, stack.supervisor, [shop])
        startup.started["shop"] = now
        startup._settle(shop, "starting", "takes no connections")
        assert [item.phase for item in startup.progress()] == [phase]


def test_a_supervisord_of_before_its_log_was_in_utc_is_read_in_the_zone_of_its_shell(
    config: StackConfig, in_zone: Callable[[str], None]
) -> None:
    in_zone("Asia/Tokyo")
    at = time.time() - 60
    older = subprocess.Popen([sys.executable, "-c", "input()", "supervisor.supervisord"], stdin=-1)
    try:
        logged(config, older.pid, at)
        assert [int(it.at.timestamp()) for it in events(config, Stack.of(config).services)] == [
            int(at)
        ]
    finally:
        older.communicate(b"\n")


def test_memory_counts_this_process_and_skips_one_that_is_gone() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    handle = psutil.Process(gone.pid)
    gone.wait()
    assert processes.memory([psutil.Process(), handle]) > 2**20


def test_every_service_has_a_log_and_a_label(config: StackConfig) -> None:
    for service in by_name(Stack.of(config).services).values():
        assert service.label
        assert service.description
