"""A plugin of pytest for `feira test`: a test file that holds no test is an error of usage.

pytest ends with 5 both where files hold none and where all of theirs are deselected, and with 0 where another
file's have run.
"""

from __future__ import annotations

import pytest


class TestFiles:
    """The files that were read whole: neither skipped nor broken off by an error."""

    def __init__(self) -> None:
        self.read: set[str] = set()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Notes the file of a report that is of a file."""
        if report.passed and report.nodeid.endswith(".py"):
            self.read.add(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Raises UsageError with the files of which no test is left, before any is deselected."""
        if empty := sorted(self.read - {item.nodeid.partition("::")[0] for item in items}):
            raise pytest.UsageError(f"{', '.join(empty)}: no test in it; is its name test_…?")


def pytest_configure(config: pytest.Config) -> None:
    """Is called by pytest for `-p`."""
    config.pluginmanager.register(TestFiles())
