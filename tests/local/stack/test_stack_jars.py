"""Jars are what the lock says, or they are not used."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from feira.core.settings import repository_root
from feira_local.stack import ivy, jars
from feira_local.stack.errors import StackError
from feira_local.stack.jars import Jar


def _jar(folder: Path, name: str, content: bytes) -> Jar:
    path = folder / "spark" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return Jar("spark", f"org.example:{name}:1", name, len(content), digest)


def test_a_damaged_jar_is_found_and_a_missing_one_too(tmp_path: Path) -> None:
    whole = _jar(tmp_path, "whole.jar", b"whole")
    damaged = _jar(tmp_path, "damaged.jar", b"right")
    (tmp_path / "spark" / "damaged.jar").write_bytes(b"wrong")
    missing = _jar(tmp_path, "missing.jar", b"there")
    (tmp_path / "spark" / "missing.jar").unlink()
    known = [whole, damaged, missing]
    assert jars.missing_jars(known, tmp_path) == [damaged, missing]
    # By size alone the damaged one passes: that is the quick look at each start.
    assert jars.missing_jars(known, tmp_path, thorough=False) == [missing]


class Repository:
    """A Maven repository on loopback: jars by path, each served from the given answers in turn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: dict[str, list[bytes | None]] = {}
        repository = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answers = repository.answers.get(self.path, [None])
                content = answers.pop(0) if len(answers) > 1 else answers[0]
                self.send_response(200 if content is not None else 404)
                # One that is cut off states more than it sends.
                cut_off = content is not None and content.endswith(b"...")
                self.send_header("Content-Length", str(len(content or b"") + cut_off))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"127.0.0.1:{self.server.server_port}"
        monkeypatch.setenv("FEIRA_MAVEN_MIRROR", f"http://user:hunter2@{address}/maven2/")

    def serve(self, name: str, *answers: bytes | None) -> Jar:
        """The jar as the lock has it: by the last answer."""
        self.answers[f"/maven2/org/example/{name}/1/{name}-1.jar"] = list(answers)
        content = answers[-1] or b""
        digest = hashlib.sha256(content).hexdigest()
        return Jar("spark", f"org.example:{name}:1", f"{name}-1.jar", len(content), digest)


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    started = Repository(monkeypatch)
    yield started
    started.server.shutdown()
    started.server.server_close()


def test_jars_are_fetched_side_by_side_and_one_that_is_cut_off_again(
    repository: Repository, tmp_path: Path
) -> None:
    wanted = [repository.serve(name, b"jar of " + name.encode()) for name in "abcdefgh"]
    wanted.append(repository.serve("late", b"cut off...", b"whole at last"))
    seen: list[int] = []
    jars.fetch(wanted, tmp_path, seen.append)
    assert jars.missing_jars(wanted, tmp_path) == []
    assert sum(seen) == sum(jar.size for jar in wanted)
    assert [path.name for path in tmp_path.iterdir()] == ["spark"]


def test_a_jar_with_another_hash_is_refused_and_not_installed(
    repository: Repository, tmp_path: Path
) -> None:
    jar = replace(repository.serve("a", b"wrong"), sha256=hashlib.sha256(b"right").hexdigest())
    with pytest.raises(StackError, match=r"org.example:a:1 came with SHA-256"):
        jars.fetch([jar], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_jar_that_cannot_be_fetched_is_named_and_the_mirrors_password_is_not(
    repository: Repository, tmp_path: Path
) -> None:
    with pytest.raises(StackError, match=r"org.example:gone:1 .* 3 attempts .*404") as refused:
        jars.fetch([repository.serve("gone", None)], tmp_path)
    assert "hunter2" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_jars_of_an_earlier_lock_leave_the_class_path(tmp_path: Path) -> None:
    kept = _jar(tmp_path, "kept.jar", b"1")
    _jar(tmp_path, "old.jar", b"2")
    jars.remove_unmanaged([kept], tmp_path)
    assert [path.name for path in (tmp_path / "spark").iterdir()] == ["kept.jar"]


def test_the_lock_holds_every_root_and_names_each_file_once() -> None:
    locked = jars.read_lock(jars.lock_path(repository_root()))
    for jar_set in jars.SETS:
        of_set = [jar for jar in locked if jar.set == jar_set.name]
        assert set(jar_set.roots) <= {jar.coordinates for jar in of_set}
        assert len({jar.file for jar in of_set}) == len(of_set)


def test_spark_gets_no_second_version_of_a_jar_it_brings() -> None:
    own = {jars._artifact(path.name) for path in ivy.pyspark_jars().glob("*.jar")}
    locked = jars.read_lock(jars.lock_path(repository_root()))
    ours = {jars._artifact(jar.file) for jar in locked if jar.set == "spark"}
    assert not own & ours


def test_a_malformed_lock_is_named_with_its_line(tmp_path: Path) -> None:
    lock = tmp_path / "jars.lock"
    lock.write_text("# comment\nspark org.example:a:1 a.jar\n")
    with pytest.raises(StackError, match=r"jars.lock:2 has 3 columns"):
        jars.read_lock(lock)
