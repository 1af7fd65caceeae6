"""Errors that another try cannot fix."""

from __future__ import annotations

from enum import Enum
from typing import Self


class Remedy(Enum):
    """What a person can do about an error. How that is done is not the same everywhere: a command on a
    laptop, a DAG's trigger elsewhere. So only the edge, where the error is read, says how."""

    RUN = "run the partition"
    REFETCH = "run the partition with what the source shows then"
    MIGRATE = "bring the tables to their contracts"


class PermanentError(Exception):
    """The same inputs would fail the same way again. The message names thing, value, limit and what
    the state is; a scheduler must not spend its retries on it."""

    remedy: Remedy | None = None
    of: tuple[str, str] | None = None

    def fixed_by(self, remedy: Remedy, of: tuple[str, str] | None = None) -> Self:
        """This error, with what can be done about it, and the pipeline and partition key to do it for."""
        self.remedy, self.of = remedy, of
        return self
