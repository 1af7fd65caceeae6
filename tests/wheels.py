"""Distributions of this repository as people get them: built as wheels and installed in a folder."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from checkout import REPOSITORY, copy_checkout

# The one that the tests' environment is made of: it has nothing installed but what PYTHONPATH brings.
PYTHON = getattr(sys, "_base_executable", sys.executable)


def install(to: Path, *distributions: str) -> Path:
    """The folder with the distributions of these folders of the repository, and nothing else."""
    site, wheels = to / "site", to / "wheels"
    for number, name in enumerate(distributions):
        source = to / f"source-{number}"
        if name == ".":
            copy_checkout(source)
        else:
            shutil.copytree(REPOSITORY / name, source)
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
        subprocess.run(build, cwd=source, check=True, capture_output=True)
    # At once: into a folder that is there already pip puts no second distribution's part of a package.
    pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    built = map(str, wheels.glob("*.whl"))
    subprocess.run([sys.executable, *pip, *built], check=True, capture_output=True)
    return site


def add_libraries(site: Path) -> None:
    """Puts all that is installed here into the folder, but Feira's own, which is there by its metadata and
    ``.pth``; for ``PYTHON``."""
    for each in Path(sysconfig.get_path("purelib")).iterdir():
        if not each.name.endswith(".pth") and not re.search(
            "feira|asset_wiring|redshift_local", each.name
        ):
            (site / each.name).symlink_to(each)


def imported(sources: Iterable[Path]) -> set[str]:
    """First parts of the names of all modules that Python files import, wherever they do."""
    pattern = re.compile(r"^\s*(?:from|import) ([A-Za-z_]\w*)[\w.]*(?: import |$)", re.MULTILINE)
    return {name for path in sources for name in pattern.findall(path.read_text())} - {
        "__future__",
        "_typeshed",
    }
