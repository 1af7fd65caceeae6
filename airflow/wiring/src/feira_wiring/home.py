"""Where Airflow keeps its configuration while the linter runs."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_HOME = "AIRFLOW_HOME"
_LEVEL = "AIRFLOW__LOGGING__LOGGING_LEVEL"


@contextlib.contextmanager
def airflow_home() -> Iterator[None]:
    """Airflow's own home where there is one, else a folder that is removed afterwards.

    Airflow makes its home when it is imported; looking at a DAG folder should leave nothing behind.
    Its log is off: what it says of a DAG file is among the findings. Enter this before the first
    import of airflow.
    """
    with contextlib.ExitStack() as undo:
        # A level that is set may be there to find out why a file cannot be imported.
        if _LEVEL not in os.environ:
            os.environ[_LEVEL] = "CRITICAL"
            undo.callback(os.environ.pop, _LEVEL)
        if _HOME not in os.environ and not Path("~/airflow").expanduser().exists():
            folder = tempfile.TemporaryDirectory(prefix="wiring-", ignore_cleanup_errors=True)
            os.environ[_HOME] = undo.enter_context(folder)
            undo.callback(os.environ.pop, _HOME)
        yield
