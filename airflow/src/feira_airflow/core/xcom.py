"""XCom of paths and small dicts of counts only, and what a later task reads of it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, TypeVar

from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.exceptions import AirflowFailException

MAX_BYTES = 2048
Result = TypeVar("Result")


class XComValueError(ValueError):
    """A task returned data where a path was due; the message says what to return instead."""


class PathOnlyXCom(BaseXCom):
    """Refuses any value over 2 KiB, and any that holds rows."""

    @staticmethod
    def serialize_value(value: Any, **kwargs: Any) -> Any:
        """Raises XComValueError for a value that is data; otherwise as Airflow does."""
        check(value)
        return BaseXCom.serialize_value(value, **kwargs)


def result_of(task: str, of: type[Result], value: Any) -> Result:
    """What a task of the run has returned, as the dataclass that it was. A field that only the release has which
    ran it is left out.

    :raises AirflowFailException: as ``fields_of``
    """
    fields = dataclasses.fields(of)  # type: ignore[arg-type]
    required = [
        each.name for each in fields if each.default is each.default_factory is dataclasses.MISSING
    ]
    fields_of(task, value, *required)
    return of(**{each.name: value[each.name] for each in fields if each.name in value})


def fields_of(task: str, value: Any, *names: str) -> list[Any]:
    """Those fields of what a task of the run has returned.

    :raises AirflowFailException: where nothing was kept of it, or a field is missing; it names the task to clear
    """
    kept = value if isinstance(value, dict) else {}
    if missing := [name for name in names if name not in kept]:
        raise AirflowFailException(
            f"XCom has no {', '.join(missing)} of {task}: it was cleaned, or written by another release. "
            f"Clear {_first_lost(task)} and what follows it."
        )
    return [kept[name] for name in names]


def _first_lost(task: str) -> str:
    """That task; or the first before it whose result it would miss in its turn."""
    from airflow.sdk import XComArg, get_current_context

    try:
        context: Any = get_current_context()
        dag, ti = context["dag"], context["ti"]
    except (RuntimeError, KeyError):  # Called outside of a run.
        return task
    for before, _ in XComArg.iter_xcom_references(dag.get_task(task)):
        if not ti.xcom_pull(task_ids=before.task_id):
            return _first_lost(before.task_id)
    return task


def check(value: Any) -> None:
    """Raises XComValueError unless the value is text, a number, or a small dict or list of those."""
    _check_shape(value)
    size = len(json.dumps(value).encode())
    if size > MAX_BYTES:
        raise XComValueError(
            f"A task returned {size:,} bytes; XCom takes at most {MAX_BYTES:,}. Write them to the "
            "lake and return their URI."
        )


def _check_shape(value: Any, depth: int = 0) -> None:
    if value is None or isinstance(value, (str, bool, int, float)):
        return
    if isinstance(value, dict):
        for item in value.values():
            _check_shape(item, depth + 1)
        return
    if isinstance(value, (list, tuple)):
        if any(isinstance(item, (dict, list, tuple)) for item in value):
            raise XComValueError(
                f"A task returned {len(value)} rows. Write them to the lake and return their URI."
            )
        for item in value:
            _check_shape(item, depth + 1)
        return
    raise XComValueError(
        f"A task returned a {type(value).__module__}.{type(value).__qualname__}. XCom takes text, "
        "numbers and small dicts of them: write the data to the lake and return its URI."
    )
