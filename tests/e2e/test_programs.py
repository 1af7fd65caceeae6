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


# `down` and `up` as the commands say them, and `inside` once the program has its stack. What it starts runs a while
# before `subprocess` has its number.
ENDED = """
import os, subprocess, sys, time
from pathlib import Path
import matrix
class Late:
    def __getattr__(self, name):
        return getattr(os, name)
    def read(self, *arguments):
        read = os.read(*arguments)
        time.sleep(float(sys.argv[3]))
        return read
matrix.REPOSITORY, matrix.FEIRA, subprocess.os = Path(sys.argv[1]), sys.argv[2], Late()
with matrix.fresh_stack(".feira-ended", lines=1):
    print("inside", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("last", "takes", "late"), [("inside", 0, 0), ("up", 60, 0), ("up", 60, 1)]
)
def test_a_program_that_is_ended_takes_its_stack_down(
    tmp_path: Path, last: str, takes: int, late: int
) -> None:
    feira = tmp_path / "feira"
    feira.write_text(f'#!/bin/sh\necho "$1"\n[ "$1" = up ] && exec sleep {takes}\nexit 0\n')
    feira.chmod(0o755)
    with subprocess.Popen(
        [sys.executable, "-c", ENDED, tmp_path, feira, str(late)],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        before = []
        for line in program.stdout:
            before.append(line.strip())
            if before[-1] == last:
                break
        program.terminate()
        after, _ = program.communicate(timeout=30)
    assert (before[0], after, program.returncode) == ("down", "down\n", 143)
