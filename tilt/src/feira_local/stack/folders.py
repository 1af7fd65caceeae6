"""The folders that settings name: found, and refused where the stack's programs could not read their path."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from feira_local.stack.errors import StackError

# supervisord's settings end at the first two; Airflow puts a variable's value for the third, and its
# configuration another setting's for the fourth.
_REFUSED = (" ;", " #", "$", "%")


def path_of(name: str, text: str) -> Path:
    """The whole path of a setting. Raises StackError where it cannot be followed: it begins with the home of a
    user who is unknown, or its links go in a circle."""
    try:
        path = Path(text).expanduser().resolve()
        # From Python 3.13 on a circle resolves to itself.
        with suppress(FileNotFoundError, NotADirectoryError):
            path.stat()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise StackError(
            f"{name} is {text!r}, a path that cannot be followed: {reason}. Set it to another."
        ) from None
    return path


def folder_of(env: Mapping[str, str], name: str, use: str) -> Path | None:
    """The folder of a setting, None where it is not set; ``use`` says in the error what it is for.

    Raises StackError where it is no folder.
    """
    text = env.get(name)
    if not text:
        return None
    path = path_of(name, text)
    if not path.is_dir():
        raise StackError(f"{name} is {text!r}, which is no folder{use}.")
    return path


def require_usable(what: str, path: Path, *refused: str) -> None:
    """Raises StackError where the path holds what a program of the stack, or one of ``refused``, takes for its
    own."""
    odd = [each for each in str(path) if unicodedata.category(each) in ("Cc", "Cs")]
    for text in (*odd, *_REFUSED, *refused):
        if text in str(path):
            raise StackError(
                f"{what} is in {str(path)!r}, which holds {text!r}; the stack's programs cannot read "
                "such a path. Move it to one without."
            )
