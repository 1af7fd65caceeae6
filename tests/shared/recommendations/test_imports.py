"""Each module can be the first that a process imports, as a task or a command does it."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import feira.recommendations

# In one process, whose libraries stay: what is of the package itself is imported anew each time.
EACH_ALONE = """
import importlib, sys
for name in sys.argv[1:]:
    for known in [it for it in sys.modules if it.startswith("feira.recommendations")]:
        del sys.modules[known]
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(name, error)
    if "numba" in sys.modules and name != sys.argv[-1]:
        print(name, "imports Numba")
"""
LOOPS = "feira.recommendations.serving.values"


@pytest.mark.slow
def test_each_module_of_recommendations_can_be_imported_first_and_one_alone_needs_numba() -> None:
    names = [
        it.name
        for it in pkgutil.walk_packages(feira.recommendations.__path__, "feira.recommendations.")
        if not it.name.endswith("__main__") and it.name != LOOPS
    ]
    assert "feira.recommendations.serving.app" in names and len(names) > 30
    done = subprocess.run(
        [sys.executable, "-c", EACH_ALONE, *names, LOOPS],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
