"""Finds the Java runtime that Spark, the S3 server and Ivy run on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from feira_local.stack.errors import StackError

OLDEST = 17
# Java 24 took away the security manager that Hadoop 3.4, under Spark 4.1, asks for the user's name:
# a later Java starts and fails at the first query ("getSubject is not supported").
NEWEST = 23


def java_command() -> str:
    """The ``java`` of JAVA_HOME, or else of PATH. Raises StackError saying how to install it."""
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").is_file():
        return str(Path(home) / "bin" / "java")
    found = shutil.which("java")
    if found:
        return found
    raise StackError(
        f"Java {OLDEST} to {NEWEST} is not on PATH and JAVA_HOME is not set. {install()}"
    )


def java_version(java: str) -> int:
    """The major version. Raises StackError when the platform does not run on it."""
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    if not found:
        raise StackError(f"`{java} -version` names no version. {install()}")
    version = int(found.group(1))
    if not OLDEST <= version <= NEWEST:
        raise StackError(
            f"{java} is Java {version}; Spark 4.1 runs on {OLDEST} to {NEWEST}. {install()} "
            "JAVA_HOME names it where another is the first on PATH."
        )
    return version


def install() -> str:
    return (
        "Install it: `sudo apt-get install openjdk-17-jre-headless` (Debian, Ubuntu), "
        "`sudo dnf install java-17-openjdk-headless` (Fedora) or `brew install openjdk@17` (macOS)."
    )
