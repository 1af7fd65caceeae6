"""Errors that another try cannot fix."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Self


def first_line(reason: object) -> str:
    """The first line of a reason that says something, without its full stop; an error without words is
    named by its type. Spark's begin with an empty line, and a plan or a query follows."""
    lines = [line.strip() for line in str(reason).splitlines()]
    return next((line for line in lines if line), type(reason).__name__).rstrip(".")


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

    def with_step(self, steps: Mapping[Remedy, str]) -> str:
        """The message, and how the remedy is had where it is read: ``{name}`` and ``{key}`` in a step are
        the pipeline and the partition's key."""
        if self.remedy is None or (self.of is None and self.remedy is not Remedy.MIGRATE):
            return str(self)
        name, key = self.of or ("", "")
        return f"{self} {steps[self.remedy].format(name=name, key=key)}"
