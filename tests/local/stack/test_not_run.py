"""What a run of the tests leaves out it says, and a target of such tests alone does not pass without them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import REPOSITORY

RECIPES = re.findall(r"/pytest (.+)", (REPOSITORY / "Makefile").read_text())


def pytest_run(*options: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Pytest with what these tests have too, where `path` is all of PATH."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", *options],
        cwd=REPOSITORY,
        env=os.environ | {"PATH": str(path)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_make_test_names_what_its_marks_leave_out(tmp_path: Path) -> None:
    (marks,) = (re.findall(r'-m "(.+?)"', each)[0] for each in RECIPES if "not slow" in each)
    answer = pytest_run("-m", marks, "tests/local/stack/test_not_run.py", "--co", path=tmp_path)
    assert re.findall(r"^not run, (\w+): .*`(make .+?)`", answer.stdout, re.M) == [
        ("slow", "make test-slow"),
        ("terraform", "make test-terraform"),
    ]


@pytest.mark.slow
def test_make_test_terraform_fails_where_there_is_no_terraform_and_says_how_to_have_it(
    tmp_path: Path,
) -> None:
    (options,) = (each.split() for each in RECIPES if each.startswith("-m terraform"))
    test = f"{options.pop()}/test_terraform_mocked.py::test_it_is_formatted_and_valid"
    answer = pytest_run(*options, test, path=tmp_path)
    assert answer.returncode == 1
    assert "1 skipped" in answer.stdout
    assert "curl -fsSLo /tmp/terraform.zip https://" in answer.stdout
