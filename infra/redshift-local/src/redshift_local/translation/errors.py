"""What a statement is refused with: Redshift's words for the kind of error, and what to write instead."""

from __future__ import annotations

SYNTAX = "42601"
UNSUPPORTED = "0A000"
UNDEFINED_FUNCTION = "42883"
UNDEFINED_OBJECT = "42704"
INVALID_PARAMETER = "22023"
INVALID_TABLE = "42P16"


class RedshiftError(Exception):
    """A statement that Redshift refuses too.

    ``sqlstate`` is the class of error as the wire protocol states it, ``str()`` Redshift's message
    and ``hint``, which Redshift does not send, what to write instead ("" where nothing is to be said).
    """

    def __init__(self, message: str, *, sqlstate: str = UNSUPPORTED, hint: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.hint = hint


class NotImitated(RedshiftError):
    """A statement that Redshift may take and this package does not know: refused and never passed on."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(f"redshift-local does not imitate {what}", sqlstate=UNSUPPORTED, hint=hint)


def syntax_error(near: str, hint: str = "") -> RedshiftError:
    """The parser's refusal, as Redshift words it: ``near`` is the first word that does not belong."""
    return RedshiftError(f'syntax error at or near "{near}"', sqlstate=SYNTAX, hint=hint)


def no_function(name: str, hint: str = "") -> RedshiftError:
    return RedshiftError(f"function {name} does not exist", sqlstate=UNDEFINED_FUNCTION, hint=hint)


def no_type(name: str, hint: str = "") -> RedshiftError:
    return RedshiftError(f'type "{name}" does not exist', sqlstate=UNDEFINED_OBJECT, hint=hint)
