"""Jars are what the lock says, or they are not used."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
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


def test_a_jar_with_another_hash_is_refused_and_not_installed(tmp_path: Path) -> None:
    jar = _jar(tmp_path, "a.jar", b"right")
    (tmp_path / "spark" / "a.jar").unlink()
    fetched = tmp_path / "fetched.jar"
    fetched.write_bytes(b"wrong")
    with pytest.raises(StackError, match=r"org.example:a.jar:1 came with SHA-256"):
        jars._take(jar, fetched, tmp_path)
    assert not (tmp_path / "spark" / "a.jar").exists()


def test_jars_of_an_earlier_lock_leave_the_class_path(tmp_path: Path) -> None:
    kept = _jar(tmp_path, "kept.jar", b"1")
    _jar(tmp_path, "old.jar", b"2")
    jars.remove_unmanaged([kept], tmp_path)
    assert [path.name for path in (tmp_path / "spark").iterdir()] == ["kept.jar"]


def test_two_versions_of_a_module_are_never_fetched_together() -> None:
    wanted = [
        Jar("spark", "org.example:a:1", "a-1.jar", 5, ""),
        Jar("s3proxy", "org.example:a:2", "a-2.jar", 5, ""),
        Jar("s3proxy", "org.example:b:1", "b-1.jar", 5, ""),
    ]
    for processes in (1, 2, 6):
        shares = jars._shares(wanted, processes)
        assert sorted(jar.file for share in shares for jar in share) == [
            "a-1.jar",
            "a-2.jar",
            "b-1.jar",
        ]
        for share in shares:
            modules = [jars._module(jar) for jar in share]
            assert len(modules) == len(set(modules))


def test_the_lock_holds_every_root_and_names_each_file_once() -> None:
    locked = jars.read_lock(jars.lock_path(repository_root()))
    for jar_set in jars.jar_sets():
        of_set = [jar for jar in locked if jar.set == jar_set.name]
        assert set(jar_set.roots) <= {jar.coordinates for jar in of_set}
        assert len({jar.file for jar in of_set}) == len(of_set)


def test_spark_gets_no_second_version_of_a_jar_it_brings() -> None:
    own = {jars._artifact(path.name) for path in ivy.pyspark_jars().glob("*.jar")}
    locked = jars.read_lock(jars.lock_path(repository_root()))
    ours = {jars._artifact(jar.file) for jar in locked if jar.set == "spark"}
    assert not own & ours


def test_the_readers_of_kafka_and_avro_are_of_the_spark_that_is_installed() -> None:
    assert version("pyspark") == jars.SPARK


def test_a_malformed_lock_is_named_with_its_line(tmp_path: Path) -> None:
    lock = tmp_path / "jars.lock"
    lock.write_text("# comment\nspark org.example:a:1 a.jar\n")
    with pytest.raises(StackError, match=r"jars.lock:2 has 3 columns"):
        jars.read_lock(lock)


def test_what_ivy_says_is_shown_without_the_password_of_a_mirror(tmp_path: Path) -> None:
    log = tmp_path / "ivy.log"
    log.write_text(
        "resolving\nServer access error at url https://me:s3cret@mirror/maven: timed out\n"
    )

    assert "s3cret" not in ivy.error_line(log)
    assert "mirror/maven: timed out" in ivy.error_line(log)
