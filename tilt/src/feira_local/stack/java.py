"""Finds the Java runtime that Spark, the S3 server and Ivy run on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from feira_local.stack.errors import StackError

OLDEST = 17


def java_command() -> str:
    """The ``java`` of JAVA_HOME, or else of PATH. Raises StackError saying how to install it."""
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").is_file():
        return str(Path(home) / "bin" / "java")
    found = shutil.which("java")
    if found:
        return found
    raise StackError(f"Java {OLDEST} or newer is not on PATH and JAVA_HOME is not set. {install()}")


def java_version(java: str) -> int:
    """The major version. Raises StackError when it is older than the platform needs."""
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    if not found:
        raise StackError(f"`{java} -version` names no version. {install()}")
    version = int(found.group(1))
    if version < OLDEST:
        raise StackError(
            f"{java} is Java {version}; the platform needs {OLDEST} or newer. {install()}"
        )
    return version


def install() -> str:
    return (
        "Install it: `sudo apt-get install openjdk-17-jre-headless` (Debian, Ubuntu), "
        "`sudo dnf install java-17-openjdk-headless` (Fedora) or `brew install openjdk@17` (macOS)."
    )
