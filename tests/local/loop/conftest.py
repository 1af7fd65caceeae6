"""Stacks that the loop shows: as they are, and watched by programs that are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from feira_local.stack.config import StackConfig
from feira_local.stack.lifecycle import Stack
from feira_local.stack.service import Service


@pytest.fixture
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stack's folder; with the parameter ``watched``, of one with monitoring."""
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FEIRA_PORT_OFFSET", "2000")
    if getattr(request, "param", "plain") == "watched":
        programs = tmp_path / "programs"
        programs.mkdir()
        for name in ("prometheus", "alertmanager"):
            (programs / name).write_text("#!/bin/sh\n")
            (programs / name).chmod(0o755)
        monkeypatch.setenv("FEIRA_MONITORING", "on")
        monkeypatch.setenv("FEIRA_MONITORING_BIN", str(programs))
    return tmp_path / "home"


@pytest.fixture
def services(home: Path) -> dict[str, Service]:
    return {each.name: each for each in Stack.of(StackConfig.from_env()).services}
