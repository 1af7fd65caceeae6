"""The stack's passwords outlive a full disk and a kill, and its socket is in no folder of another user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from feira_local.stack import lifecycle
from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.secrets import Secrets, load_secrets
from feira_local.stack.supervisor import Supervisor


@pytest.fixture
def long_home(tmp_path: Path) -> Iterator[StackConfig]:
    """One whose socket is elsewhere; what is there is removed."""
    config = StackConfig.from_env({"FEIRA_HOME": str(tmp_path / ("x" * 120))})
    folder = config.socket.parent
    assert not folder.is_relative_to(config.home)
    yield config
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def test_a_stack_with_a_long_home_is_found_from_a_shell_with_another_tmpdir(
    long_home: StackConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_home.make_folders()
    supervisor = Supervisor(long_home)
    supervisor.launch([])
    try:
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        # As in a process of its own, which has not asked yet.
        monkeypatch.setattr(tempfile, "tempdir", None)
        assert tempfile.gettempdir() == str(tmp_path)
        assert supervisor.answers()
        assert long_home.socket.parent.stat().st_mode & 0o777 == 0o700
    finally:
        supervisor.shutdown()


@pytest.mark.parametrize("how", ["readable", "closed", "link", "file", "another user's"])
def test_a_socket_is_put_into_no_folder_that_is_not_this_users_alone(
    how: str, long_home: StackConfig, tmp_path: Path
) -> None:
    folder = long_home.socket.parent
    if how == "link":
        own = tmp_path / "own"
        own.mkdir(mode=0o700)
        folder.symlink_to(own)
    elif how == "file":
        folder.touch(mode=0o700)
    else:
        folder.mkdir(mode={"readable": 0o755, "closed": 0o600}.get(how, 0o700))
    if how == "another user's":
        if os.geteuid() != 0:
            pytest.skip("Only root makes another user's folder.")
        os.chown(folder, 65534, 65534)
    with pytest.raises(StackError, match=f"{folder} must be a folder of user {os.geteuid()}"):
        long_home.make_folders()
    # Nothing was started, and nothing keeps that from being cleared up.
    assert lifecycle.down(long_home) == {}


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    first = load_secrets(tmp_path)
    path = tmp_path / "secrets.env"
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_secrets(tmp_path) == first
    assert len(set(first.by_name().values())) == len(first.by_name().values())
    assert load_secrets(tmp_path / "another") != first


def test_a_secrets_file_of_an_older_release_gains_what_it_lacks(tmp_path: Path) -> None:
    first = load_secrets(tmp_path)
    path = tmp_path / "secrets.env"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    again = load_secrets(tmp_path)
    assert again.postgres_superuser == first.postgres_superuser
    assert again.airflow_api_secret
    assert load_secrets(tmp_path) == again


FULL = """
import resource, sys
from pathlib import Path
from feira_local.stack.secrets import Secrets, load_secrets
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
load_secrets(Path(sys.argv[1]))
"""
KILLED = """
import os, sys
from pathlib import Path
from feira_local.stack.secrets import Secrets, load_secrets
# As late as a write can be: all bytes are handed on, none is known to be on the disk.
os.fsync = lambda _: os._exit(9)
load_secrets(Path(sys.argv[1]))
"""


@pytest.mark.parametrize(("program", "limit"), [(FULL, "0"), (FULL, "100"), (KILLED, "")])
def test_a_start_that_cannot_write_a_new_secret_loses_none_of_the_others(
    program: str, limit: str, tmp_path: Path
) -> None:
    first = load_secrets(tmp_path)
    path = tmp_path / "secrets.env"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("VALKEY=")))
    before = path.read_bytes()
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), limit], capture_output=True, text=True
    )
    assert path.read_bytes() == before
    if program == FULL:
        assert f"StackError: {path} cannot be written: File too large" in ended.stderr
        assert sorted(each.name for each in tmp_path.iterdir()) == ["secrets.env", "secrets.lock"]
    else:
        assert ended.returncode == 9
    again = load_secrets(tmp_path)
    assert replace(again, valkey=first.valkey) == first


def test_first_runs_at_the_same_time_agree_on_one_set_of_secrets(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def load(_: int) -> Secrets:
        together.wait(10)
        return load_secrets(tmp_path)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(load, range(8)))
    assert found == [load_secrets(tmp_path)] * 8
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
