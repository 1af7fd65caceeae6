"""Errors that a person can act on: the command line prints them without a stack trace."""

from __future__ import annotations


class StackError(RuntimeError):
    """Something about the local stack is wrong; the message names it and the next step."""
