"""The outlets that a task has when it runs, and whether the code that it can reach changes them."""

from __future__ import annotations

import contextlib
import dis
import inspect
import itertools
import math
from collections.abc import Collection, Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any

from airflow.sdk.definitions._internal.contextmanager import DagContext

from feira_wiring.task_code.reach import (
    codes_of,
    functions_of,
    methods_of,
    names_of,
    reached,
    run_functions,
)


def as_list(lets: Any) -> list[Any]:
    """Outlets or inlets as Airflow takes them: a mapped task has them as they were written, None too."""
    if not lets:
        return []
    return list(lets) if isinstance(lets, Collection) else [lets]


def outlets_of(task: Any) -> tuple[list[Any], bool]:
    """Outlets, and whether they are all. A mapped task has no operator yet: one is made to ask it.

    What is made is thrown away. Where it cannot be made without the values that come when it runs,
    the outlets that are known are given, and False.
    """
    given = as_list(task.outlets)
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


def given_to(task: Any) -> list[dict[str, Any]]:
    """What a task is made of; what each instance of a mapped one is, as far as the file holds it."""
    if not task.is_mapped:
        return [vars(task)]
    partial: dict[str, Any] = dict(task.partial_kwargs)
    return [partial | each for each in choices(task)] or [partial]


def has_instances(task: Any) -> bool:
    """Whether a task has an instance in every run: a mapped one without any is skipped.

    The file itself then holds the values that it, and each mapped group around it, is expanded over.
    """
    inputs = [each._expand_input for each in task.iter_mapped_task_groups()]
    if task.is_mapped:
        inputs.append(getattr(task, "op_kwargs_expand_input", task.expand_input))
    return all(map(_has_values, inputs))


def _has_values(given: Any) -> bool:
    value = getattr(given, "value", None)
    lists = value.values() if isinstance(value, Mapping) else [value]
    return all(isinstance(each, list | tuple | Mapping) and len(each) > 0 for each in lists)


_ADDING = {"append", "extend", "insert", "add"}


def mentions(task: Any, word: str) -> bool:
    """Whether the code of a task names a word, itself or in functions it calls, or a template does."""
    templates = (getattr(task, name, "") for name in getattr(task, "template_fields", ()))
    starts = [*functions_of(task), *methods_of(getattr(task, "operator_class", type(task)))]
    return any(word in repr(each) for each in templates) or any(
        word in names_of(each.__code__) for each in reached(starts)
    )


def changes_outlets(task: Any) -> bool:
    """Whether the code of a task changes its own outlets while it runs."""
    return any(_changes_outlets(each.__code__) for each in run_functions(task))


def init_names_outlets(kind: type) -> bool:
    """Whether an operator's ``__init__``, or code of a DAG's author that it calls, names outlets.

    BaseOperator's own is left out.
    """
    inits = [vars(each).get("__init__") for each in kind.__mro__ if each.__name__ not in _BASES]
    codes = [each.__code__ for each in map(_unwrapped, inits) if each is not None]
    codes += [each.__code__ for each in reached(inits, kind)]
    return any({"outlets", "add_outlets"} & names_of(each) for each in codes)


_BASES = ("BaseOperator", "AbstractOperator")


def _unwrapped(value: Any) -> FunctionType | None:
    value = inspect.unwrap(value) if callable(value) else value
    return value if isinstance(value, FunctionType) else None


def _changes_outlets(code: CodeType) -> bool:
    for each in codes_of(code):
        names, before = names_of(each), ""
        if "add_outlets" in names or {"setattr", "outlets"} <= names:
            return True
        for step in dis.get_instructions(each):
            if step.argval == "outlets" and step.opname == "STORE_ATTR":
                return True
            if step.opname.startswith("LOAD_"):
                if before == "outlets" and step.argval in _ADDING:
                    return True
                before = str(step.argval)
    return False
