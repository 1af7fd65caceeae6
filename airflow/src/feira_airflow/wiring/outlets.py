"""The outlets that a task has when it runs, those that its operator's ``__init__`` sets among them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any

from airflow.sdk.definitions._internal.contextmanager import DagContext


def outlets_of(task: Any) -> tuple[list[Any], bool]:
    """Outlets, and whether they are all. A mapped task has no operator yet: one is made to ask it.

    What is made is thrown away. Where it cannot be made without the values that come when it runs,
    the outlets that are known are given, and False.
    """
    given = list(task.outlets)
    if not task.is_mapped or not _sets_outlets(task.operator_class):
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
    choices = list(_choices(task))
    if not choices:
        return outlets, False
    for mapped in choices:
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


_OF_THE_DAG = {"dag", "task_group", "task_id", "start_date", "end_date", "params"}


@contextlib.contextmanager
def _no_dag() -> Iterator[None]:
    DagContext.push(None)  # type: ignore[arg-type]
    try:
        yield
    finally:
        DagContext.pop()


def _choices(task: Any) -> Iterator[dict[str, Any]]:
    """The values that the instances get, as far as the file holds them; at most 50."""
    value = getattr(task.expand_input, "value", None)
    if isinstance(value, Mapping):
        lists = {
            name: list(each.items()) if isinstance(each, Mapping) else each
            for name, each in value.items()
        }
        if all(isinstance(each, list | tuple) and each for each in lists.values()):
            longest = max((len(each) for each in lists.values()), default=0)
            for number in range(min(longest, 50)):
                yield {name: each[number % len(each)] for name, each in lists.items()}
    elif isinstance(value, list | tuple) and all(isinstance(each, Mapping) for each in value):
        yield from (dict(each) for each in value[:50])


def _sets_outlets(kind: type) -> bool:
    for each in kind.__mro__:
        init = vars(each).get("__init__")
        init = getattr(init, "__wrapped__", init)
        if each.__name__ in ("BaseOperator", "AbstractOperator"):
            return False
        if isinstance(init, FunctionType):
            names = {*init.__code__.co_names, *init.__code__.co_consts}
            if "outlets" in names or "add_outlets" in names:
                return True
    return False
