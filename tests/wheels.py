"""Distributions of this repository as people get them: built as wheels and installed in a folder."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from checkout import REPOSITORY


def install(to: Path, *distributions: str) -> Path:
    """The folder with the distributions of these folders of the repository, and nothing else."""
    site = to / "site"
    for number, name in enumerate(distributions):
        source, wheels = to / f"source-{number}", to / f"wheel-{number}"
        shutil.copytree(REPOSITORY / name, source)
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
        subprocess.run(build, cwd=source, check=True, capture_output=True)
        (wheel,) = wheels.glob("*.whl")
        pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
        subprocess.run([sys.executable, *pip, str(wheel)], check=True, capture_output=True)
    return site


def imported(sources: Iterable[Path]) -> set[str]:
    """First parts of the names of all modules that Python files import, wherever they do."""
    pattern = re.compile(r"^\s*(?:from|import) ([A-Za-z_]\w*)[\w.]*(?: import |$)", re.MULTILINE)
    return {name for path in sources for name in pattern.findall(path.read_text())} - {
        "__future__",
        "_typeshed",
    }
