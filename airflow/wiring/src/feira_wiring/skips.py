"""Which tasks of a DAG nothing can skip."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from feira_wiring.task_code.functions import is_combined
from feira_wiring.task_code.reach import run_functions, run_words

# Trigger rules by which a task is skipped where what is above it succeeds.
_RULES = {"all_failed", "one_failed", "all_skipped"}


def unskipped(tasks: Iterable[Any]) -> frozenset[str]:
    """The ids of a DAG's tasks that no task of it can skip, whether it is above them or not."""
    tasks = list(tasks)
    if any(map(_skips_itself, tasks)):
        return frozenset()
    above = {each.task_id for each in tasks if getattr(each, "inherits_from_skipmixin", False)}
    return frozenset(each.task_id for each in tasks if not above - {each.task_id})


def _skips_itself(task: Any) -> bool:
    """And with itself what comes after it."""
    given = getattr(task, "partial_kwargs", {}) if task.is_mapped else vars(task)
    hooks = (given.get(name) for name in ("_pre_execute_hook", "pre_execute"))
    return (
        "sensor" in task.task_type.lower()
        or task.trigger_rule in _RULES
        or bool(given.get("skip_when_already_exists"))
        or any(map(is_combined, hooks))
        or _names_the_exception(task)
        or _may_exit_to_skip(given)
    )


def _names_the_exception(task: Any) -> bool:
    """Also where it is imported under another name."""
    name = AirflowSkipException.__name__
    return name in run_words(task) or any(
        value is AirflowSkipException
        for function in run_functions(task)
        for value in (function.__globals__.get(each) for each in function.__code__.co_names)
    )


def _may_exit_to_skip(given: Any) -> bool:
    """A command that names the exit code by which its task is skipped."""
    codes, command = given.get("skip_on_exit_code"), given.get("bash_command")
    if not isinstance(command, str):
        return False
    codes = codes if isinstance(codes, list | tuple | set) else [99 if codes is None else codes]
    return any(f"exit {each}" in command for each in codes)
