"""What of requirements.lock goes into an image: its own packages with all that these need, and no test's.

``python3 runtime_lock.py IMAGE requirements.lock pyproject.toml`` prints those blocks of the lock, hashes and
all, for ``pip install --no-deps --require-hashes``. It needs nothing but Python: it runs before anything is
installed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

PROJECT = "feira (pyproject.toml)"
# What each image begins with; None is all that the project itself needs. Of `airflow` tasks, the `feira`
# command and the local stack are run.
ROOTS: dict[str, tuple[str, ...] | None] = {
    "airflow": None,
    "serving": (
        *("confluent-kafka", "fastapi", "fastavro", "libvalkey", "numpy", "orjson"),
        *("prometheus-client", "pyarrow", "pydantic", "s3fs", "typer", "uvicorn", "valkey"),
        # What reads the contract of events.
        *("jsonschema-rs", "open-data-contract-standard", "pyyaml", "sqlglot"),
    ),
    # Java alone runs in it; the wheel is where Spark's jars and scripts come from.
    "spark": ("pyspark",),
    # Installs the others.
    "uv": ("uv",),
}
ALONE = ("spark", "uv")


def blocks(lock: str) -> dict[str, list[str]]:
    """Each package's lines of a lock by its name; of some there are two versions, for two Pythons."""
    found: dict[str, list[str]] = {}
    for block in re.split(r"\n(?=[a-z0-9])", lock.strip()):
        found.setdefault(block.partition("==")[0], []).append(block)
    return found


def needed_by(block: str) -> list[str]:
    """Who needs a package, as its ``# via`` says."""
    said = block.partition("# via")[2]
    return [line.strip(" #") for line in said.splitlines() if line.strip(" #")]


def runtime(lock: str, roots: Iterable[str], *, alone: bool = False) -> dict[str, list[str]]:
    """The blocks of the roots and, unless they are wanted alone, of all that they need. Feira's own packages, which
    are in no lock, are known to it by what they need.

    Raises KeyError naming a root that the lock does not know.
    """
    known = blocks(lock)
    needs: dict[str, set[str]] = {name: set() for name in known}
    for name, versions in known.items():
        for who in chain.from_iterable(map(needed_by, versions)):
            if who != PROJECT:
                needs.setdefault(who, set()).add(name)
    taken: set[str] = set()
    left = list(roots)
    while left:
        name = left.pop()
        if name not in taken:
            taken.add(name)
            needed = needs[name]
            left += [] if alone else needed
    return {name: known[name] for name in sorted(taken) if name in known}


def project_roots(pyproject: str) -> list[str]:
    """The names of the packages that the project itself asks for."""
    asked = tomllib.loads(pyproject)["project"]["dependencies"]
    return [re.split(r"[\[=<>! ;]", each, maxsplit=1)[0].lower() for each in asked]


def image_lock(image: str, lock: str, pyproject: str) -> dict[str, list[str]]:
    """The blocks of one image by package. Raises KeyError where there is no such image."""
    roots = ROOTS[image]
    return runtime(lock, project_roots(pyproject) if roots is None else roots, alone=image in ALONE)


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ROOTS:
        sys.exit(f"usage: runtime_lock.py {{{','.join(ROOTS)}}} requirements.lock pyproject.toml")
    _, image_name, lock_file, project_file = sys.argv
    chosen = image_lock(image_name, Path(lock_file).read_text(), Path(project_file).read_text())
    print("\n".join(chain.from_iterable(chosen.values())))
