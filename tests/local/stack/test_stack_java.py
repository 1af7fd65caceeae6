"""Which Java runtimes are taken, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from feira_local.stack.errors import StackError
from feira_local.stack.java import java_command, java_version


def runtime(folder: Path, answer: str) -> Path:
    """A JAVA_HOME whose java answers so when it is asked for its version."""
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho '{answer}' >&2\n")
    java.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("answer", "version"),
    [('openjdk version "17.0.15" 2025-04-15', 17), ('openjdk version "23" 2024-09-17', 23)],
)
def test_the_runtime_of_java_home_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, version: int
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(runtime(tmp_path / "jdk", answer)))
    assert java_version(java_command()) == version


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ('openjdk version "11.0.2" 2019-01-15', "is Java 11; Spark 4.1 runs on 17 to 23"),
        ('java version "1.8.0_402"', "is Java 1; Spark 4.1 runs on 17 to 23"),
        ('openjdk version "25.0.1" 2025-10-21', "is Java 25; Spark 4.1 runs on 17 to 23"),
        ("Unrecognized option", "names no version"),
    ],
)
def test_a_runtime_that_spark_does_not_run_on_is_named_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, message: str
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(runtime(tmp_path / "jdk", answer)))
    with pytest.raises(StackError, match=message) as refused:
        java_version(java_command())
    assert "openjdk-17-jre-headless" in str(refused.value)


def test_no_runtime_at_all_is_said_with_the_command_that_installs_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match=r"not on PATH .*JAVA_HOME .*apt-get install"):
        java_command()
