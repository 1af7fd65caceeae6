"""`feira attach` and `restart` over a real supervisor with a real service, the inbox."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feira_local.loop import attach as module
from feira_local.loop.attach import FollowedLog, attach
from feira_local.stack import lifecycle, state
from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.lifecycle import Stack
from feira_local.stack.supervisor import ProcessState, Supervisor, log_path
from stopped_process import stand_still
from temporary_postgres import free_port
from until import until


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackConfig:
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path / "home"))
    for name in ("INBOX", "SMTP", "SHOP"):
        monkeypatch.setenv(f"FEIRA_PORT_{name}", str(free_port()))
    found = StackConfig.from_env()
    found.make_folders()
    return found


@pytest.fixture
def supervisor(config: StackConfig) -> Iterator[Supervisor]:
    """A running supervisor of the whole stack, in which nothing is started."""
    stack = Stack.of(config)
    state.save(config)
    stack.supervisor.launch(stack.services)
    yield stack.supervisor
    lifecycle.down(config)


class Attached(threading.Thread):
    """`attach` of the inbox in a thread; ``error`` is what it ended with."""

    def __init__(self, config: StackConfig, patience: float) -> None:
        super().__init__(daemon=True)
        self.config, self.patience = config, patience
        self.lines: list[str] = []
        self.error: StackError | None = None
        self.start()

    def run(self) -> None:
        try:
            attach(self.config, "inbox", self.lines.append, self.patience)
        except StackError as error:
            self.error = error


def runs(supervisor: Supervisor, name: str = "inbox") -> ProcessState | None:
    found = supervisor.states()[name]
    return found if found.state == "RUNNING" else None


def test_it_starts_what_is_stopped_and_its_end_leaves_the_service_running(
    config: StackConfig, supervisor: Supervisor
) -> None:
    command = (sys.executable, "-c", "from feira_local.cli import main; main()", "attach", "inbox")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as attached:
        assert attached.stdout is not None
        try:
            # Its log comes line by line while the service runs.
            assert any("running on" in line for line in attached.stdout)
            pid = supervisor.states()["inbox"].pid
            assert psutil.Process(pid).is_running()
            attached.send_signal(signal.SIGTERM)
            assert attached.wait(20) != 0
        finally:
            attached.kill()
    assert supervisor.states()["inbox"].pid == pid
    assert psutil.Process(pid).is_running()


@pytest.mark.slow
def test_it_ends_with_1_once_the_service_stays_down_and_not_before(
    config: StackConfig, supervisor: Supervisor
) -> None:
    # Longer than a busy machine takes to start it.
    patience = 8
    attached = Attached(config, patience)
    until(lambda: runs(supervisor))
    first = supervisor.states()["inbox"].pid
    os.kill(first, signal.SIGKILL)  # the supervisor starts it again
    until(lambda: runs(supervisor) and supervisor.states()["inbox"].pid != first)
    assert attached.is_alive()
    # Being down once does not count towards the next time.
    supervisor.stop("inbox")
    attached.join(1)
    supervisor.start("inbox")
    until(lambda: runs(supervisor))
    attached.join(patience - 0.5)
    assert attached.is_alive()
    began = time.monotonic()
    supervisor.stop("inbox")
    attached.join(30)
    assert time.monotonic() - began >= patience
    assert all(part in str(attached.error) for part in ("inbox ", "(8 s)", "`feira restart inbox`"))


def test_what_is_still_being_stopped_is_started_once_it_has_ended(supervisor: Supervisor) -> None:
    supervisor.start("shop")
    until(lambda: runs(supervisor, "shop"))
    first = supervisor.states()["shop"].pid
    stand_still(first)  # it takes the signal to end, and cannot yet
    supervisor.stop("shop")
    assert supervisor.states()["shop"].state == "STOPPING"
    threading.Timer(0.5, os.kill, (first, signal.SIGCONT)).start()
    supervisor.start("shop")
    until(lambda: runs(supervisor, "shop"))
    assert supervisor.states()["shop"].pid != first


def test_when_the_whole_stack_is_gone_up_is_the_next_step(
    config: StackConfig, supervisor: Supervisor
) -> None:
    attached = Attached(config, patience=0.5)
    until(lambda: runs(supervisor))
    lifecycle.down(config)
    attached.join(30)
    assert all(part in str(attached.error) for part in ("with the stack", "(0 s)", "`feira up`"))


def test_while_an_up_or_a_restart_is_at_work_it_is_not_down(
    config: StackConfig, supervisor: Supervisor
) -> None:
    attached = Attached(config, patience=0.5)
    until(lambda: runs(supervisor))
    with state.alone(config):
        assert state.busy(config)
        supervisor.stop("inbox")
        attached.join(2.5)
        assert attached.is_alive()
    assert not state.busy(config)
    attached.join(30)
    assert attached.error is not None


def test_a_restart_gives_a_new_process_that_is_healthy_and_keeps_the_attached(
    config: StackConfig, supervisor: Supervisor
) -> None:
    attached = Attached(config, patience=10)
    until(lambda: any("running on" in line for line in attached.lines))
    before = supervisor.states()["inbox"].pid
    lifecycle.restart(config, "inbox")
    # It answers before supervisord takes it for one that runs.
    until(lambda: runs(supervisor))
    assert supervisor.states()["inbox"].pid != before
    assert not psutil.pid_exists(before)
    until(lambda: sum("running on" in line for line in attached.lines) == 2)
    assert attached.is_alive()
    # One that was stopped is started by it too.
    supervisor.stop("inbox")
    until(lambda: not runs(supervisor))
    lifecycle.restart(config, "inbox")
    until(lambda: runs(supervisor))


@pytest.mark.slow
def test_a_service_that_cannot_start_is_named_with_the_end_of_its_log(
    config: StackConfig, supervisor: Supervisor
) -> None:
    (config.home / "inbox").write_text("a file where its folder is due")
    with pytest.raises(StackError, match=r"(?s)inbox .*not start.*NotADirectory"):
        # Its launcher ends at once, six times: seconds.
        lifecycle.restart(config, "inbox")


def test_what_is_not_there_is_refused_by_name(config: StackConfig) -> None:
    for act in (
        lambda name: attach(config, name, print),
        lambda name: lifecycle.restart(config, name),
    ):
        with pytest.raises(StackError, match=r"service 'sprak'; .*postgres, s3"):
            act("sprak")
        with pytest.raises(StackError, match="not run; `feira up`"):
            act("s3")


def _step(name: str, exit_status: int, started: float = 1.0) -> ProcessState:
    return ProcessState(name, "EXITED", 0, started, exit_status, "")


def _scripted(
    monkeypatch: pytest.MonkeyPatch, before: ProcessState, after: ProcessState | None
) -> list[str]:
    """A supervisor whose step is ``before`` until it is started; returns what is started."""
    started: list[str] = []

    class Scripted(Supervisor):
        pid = 1

        def states(self) -> dict[str, ProcessState]:
            return {before.name: after if started and after else before}

        def start(self, name: str) -> None:
            started.append(name)

    for place in (module, lifecycle):
        monkeypatch.setattr(place, "Supervisor", Scripted)
    return started


@pytest.mark.parametrize("name", ["databases", "spark-warmup"])
def test_a_step_that_is_done_is_run_again_when_it_is_restarted(
    name: str, config: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = _scripted(monkeypatch, _step(name, 0), None)
    lifecycle.restart(config, name)
    assert started == [name]


@pytest.mark.parametrize(
    ("before", "after", "ended"),
    [
        (_step("databases", 0), None, ""),
        (_step("databases", 1), _step("databases", 0), ""),
        (_step("databases", 0, started=0), _step("databases", 3), "databases ended with 3"),
    ],
    ids=["done before", "run again", "fails"],
)
def test_a_step_is_run_where_it_is_not_done_and_ends_as_it_does(
    before: ProcessState,
    after: ProcessState | None,
    ended: str,
    config: StackConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started = _scripted(monkeypatch, before, after)
    log_path(config, "databases").write_text("begun\nmade")
    lines: list[str] = []
    if ended:
        with pytest.raises(StackError, match=ended):
            attach(config, "databases", lines.append)
    else:
        attach(config, "databases", lines.append)
    assert started == (["databases"] if after else [])
    assert lines == ["begun", "made"]


def test_a_log_is_followed_from_near_its_end_and_without_half_lines(tmp_path: Path) -> None:
    path = tmp_path / "s.log"
    path.write_text("".join(f"line {number} {'x' * 300}\n" for number in range(200)) + "half")
    log = FollowedLog(path)
    first = log.lines()
    assert first[-1].startswith("line 199 ")
    assert len(first) == 40
    assert all(line.startswith("line ") for line in first)
    with path.open("a") as file:
        file.write(" and half\nnext\r\n")
    assert log.lines() == ["half and half", "next"]
    assert log.lines() == []


@pytest.mark.parametrize("seen", [True, False])
def test_a_line_that_a_rotation_cuts_is_shown_in_two_halves(seen: bool, tmp_path: Path) -> None:
    path = tmp_path / "s.log"
    path.write_text("first\n")
    log = FollowedLog(path)
    assert log.lines() == ["first"]
    with path.open("a") as file:
        file.write("second\nERROR: no room ")
    shown = log.lines() if seen else []
    path.replace(path.with_suffix(".1"))
    path.write_text("on /data\nthird\nfou")
    assert shown + log.lines() == ["second", "ERROR: no room ", "on /data", "third"]
    assert log.lines() == []
    assert log.lines(ended=True) == ["fou"]
    assert log.lines(ended=True) == []


def test_what_the_old_file_gets_while_it_is_rotated_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.log"
    path.write_text("first\n")
    log = FollowedLog(path)
    asked = FollowedLog._replaced

    def rotated_after(self: FollowedLog) -> bool:
        answer = asked(self)
        with path.open("a") as file:
            file.write("last of the old\n")
        path.replace(path.with_suffix(".1"))
        path.write_text("first of the new\n")
        monkeypatch.setattr(FollowedLog, "_replaced", asked)
        return answer

    monkeypatch.setattr(FollowedLog, "_replaced", rotated_after)
    assert log.lines() == ["first", "last of the old"]
    assert log.lines() == ["first of the new"]


@given(
    st.lists(
        st.one_of(
            st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20),
            st.sampled_from(["rotate", "truncate", "remove", "read"]),
        ),
        max_size=30,
    )
)
def test_no_line_is_lost_or_repeated_where_the_log_is_rotated_or_removed(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    path = tmp_path_factory.mktemp("log") / "s.log"
    log, written, seen = FollowedLog(path), list[str](), list[str]()
    for step in steps:
        if step in ("rotate", "remove", "truncate"):
            seen += log.lines()  # as often as it is asked, a log is not moved twice in between
        if step == "rotate" and path.exists():
            path.replace(path.with_suffix(".1"))
        elif step == "remove":
            path.unlink(missing_ok=True)
        elif step == "truncate" and path.exists():
            path.write_text("")
            seen += log.lines()
        elif step == "read":
            seen += log.lines()
        elif step not in ("rotate", "remove", "truncate"):
            written.append(step)
            with path.open("ab") as file:
                file.write(f"{step}\n".encode())
    assert seen + log.lines() == written
