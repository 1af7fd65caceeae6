"""Which tasks of a DAG nothing can skip."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from typing import Any

from airflow.sdk import BaseSensorOperator, SkipMixin
from airflow.sdk.exceptions import AirflowSkipException, DownstreamTasksSkipped

from feira_wiring.outlets import given_to
from feira_wiring.task_code.functions import is_combined
from feira_wiring.task_code.reach import held_by, run_functions, run_words, texts_of

# Trigger rules by which a task is skipped where what is above it succeeds.
_RULES = {"all_failed", "one_failed", "all_skipped"}
_SKIPS = (AirflowSkipException, DownstreamTasksSkipped)
_BASH_SKIPS = 99  # what BashOperator takes for a skip unless it is told otherwise
_EXITS = re.compile(rf"\bexit\s+{_BASH_SKIPS}\b")


def unskipped(tasks: Iterable[Any]) -> frozenset[str]:
    """The ids of a DAG's tasks that no task of it can skip, whether it is above them or not."""
    tasks = list(tasks)
    if any(map(_skips_itself, tasks)):
        return frozenset()
    above = {each.task_id for each in tasks if _skips_others(each)}
    return frozenset(each.task_id for each in tasks if not above - {each.task_id})


def _kind(task: Any) -> type:
    kind: type = getattr(task, "operator_class", type(task))
    return kind


def _skips_others(task: Any) -> bool:
    """A branch or a short circuit. Providers may have a SkipMixin of their own."""
    mixed_in = any(each.__name__ == SkipMixin.__name__ for each in _kind(task).__mro__)
    return mixed_in or bool(getattr(task, "inherits_from_skipmixin", False))


def _skips_itself(task: Any) -> bool:
    """And with itself what comes after it."""
    given = given_to(task)
    hooks = (each.get(name) for each in given for name in ("_pre_execute_hook", "pre_execute"))
    return (
        issubclass(_kind(task), BaseSensorOperator)
        or task.trigger_rule in _RULES
        or any(each.get("skip_when_already_exists") for each in given)
        or any(map(is_combined, hooks))
        or _names_an_exception(task)
        or _may_exit_to_skip(task, given)
    )


def _names_an_exception(task: Any) -> bool:
    """One that skips, also where it is imported under another name, or a subclass of it."""
    names = {each.__name__ for kind in _SKIPS for each in _with_subclasses(kind)}
    return bool(names & run_words(task)) or any(
        isinstance(value, type) and issubclass(value, _SKIPS)
        for function in run_functions(task)
        for value in held_by(function)
    )


def _with_subclasses(kind: type) -> Iterator[type]:
    yield kind
    below: list[type] = kind.__subclasses__()
    for each in below:
        yield from _with_subclasses(each)


def _may_exit_to_skip(task: Any, given: list[dict[str, Any]]) -> bool:
    """An exit code that skips, which somebody has chosen; or the one of Bash in a command of its own."""
    bash = "bash_command" in task.template_fields
    for each in given:
        codes: Any = each.get("skip_on_exit_code", _BASH_SKIPS if bash else None)
        codes = [] if codes is None else codes if isinstance(codes, Container) else [codes]
        chosen = "skip_on_exit_code" in getattr(task, "_BaseOperator__init_kwargs", each)
        if codes and (chosen or codes != [_BASH_SKIPS]):
            return True
        texts = [each.get("bash_command"), *texts_of(run_functions(task))] if bash and codes else []
        if any(isinstance(text, str) and _EXITS.search(text) for text in texts):
            return True
    return False
