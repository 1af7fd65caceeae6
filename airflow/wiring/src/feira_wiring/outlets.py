"""The outlets that a task has when it runs, those that its operator's ``__init__`` sets among them."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from airflow.sdk.definitions._internal.contextmanager import DagContext

from feira_wiring.reached import init_names_outlets


def outlets_of(task: Any) -> tuple[list[Any], bool]:
    """Outlets, and whether they are all. A mapped task has no operator yet: one is made to ask it.

    What is made is thrown away. Where it cannot be made without the values that come when it runs,
    the outlets that are known are given, and False.
    """
    given = list(task.outlets)
    if not task.is_mapped or not init_names_outlets(task.operator_class):
        return given, True
    kept = getattr(task, "_wiring_outlets", None)
    if kept is not None:
        found: tuple[list[Any], bool] = kept
        return found
    found = _asked(task, given)
    with contextlib.suppress(AttributeError):
        object.__setattr__(task, "_wiring_outlets", found)
    return found


def _asked(task: Any, given: list[Any]) -> tuple[list[Any], bool]:
    outlets = list(given)
    instances = choices(task)
    if not instances:
        return outlets, False
    for mapped in instances:
        kwargs = {**task.partial_kwargs, **mapped}
        kwargs = {name: value for name, value in kwargs.items() if name not in _OF_THE_DAG}
        try:
            # Outside every DAG, so that it joins none.
            with _no_dag():
                made = task.operator_class(task_id="asked", **kwargs)
            outlets += [each for each in made.outlets if each not in outlets]
        except Exception:  # an operator may refuse what it is given here
            return outlets, False
    return outlets, True


_MOST = 1000
_OF_THE_DAG = {"dag", "task_group", "task_id", "start_date", "end_date", "params"}


@contextlib.contextmanager
def _no_dag() -> Iterator[None]:
    DagContext.push(None)  # type: ignore[arg-type]
    try:
        yield
    finally:
        DagContext.pop()


def choices(task: Any) -> list[dict[str, Any]]:
    """The values that each instance gets; none where the file does not hold them all, or too many."""
    value = getattr(task.expand_input, "value", None)
    if isinstance(value, Mapping):
        lists = [
            list(each.items()) if isinstance(each, Mapping) else each for each in value.values()
        ]
        if not all(isinstance(each, list | tuple) for each in lists):
            return []
        if math.prod(map(len, lists)) > _MOST:
            return []
        return [dict(zip(value, each, strict=True)) for each in itertools.product(*lists)]
    if isinstance(value, list | tuple) and all(isinstance(each, Mapping) for each in value):
        return [dict(each) for each in value] if len(value) <= _MOST else []
    return []
