"""The programs that `make` runs start: as a program each sees its own folder alone, as a test all of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["verify", "faults", "soak"])
def test_a_program_starts(name: str) -> None:
    program = Path(__file__).with_name(f"{name}.py")
    done = subprocess.run([sys.executable, program, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
