"""Errors that another try cannot fix."""

from __future__ import annotations


class PermanentError(Exception):
    """The same inputs would fail the same way again. The message names thing, value, limit and what
    to do; a scheduler must not spend its retries on it."""
