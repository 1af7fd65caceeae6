"""The outlets that a task has when it runs, and whether the code that it can reach changes them."""

from __future__ import annotations

import contextlib
import dis
import inspect
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from types import CodeType, FunctionType, ModuleType
from typing import Any

from airflow.sdk.definitions._internal.contextmanager import DagContext

from feira_wiring.task_code.functions import is_library, parameters


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


_ADDING = {"append", "extend", "insert", "add"}


def mentions(task: Any, word: str) -> bool:
    """Whether the code of a task names a word, itself or in functions it calls, or a template does."""
    templates = (getattr(task, name, "") for name in getattr(task, "template_fields", ()))
    starts = [*_functions(task), *_methods(getattr(task, "operator_class", type(task)))]
    return any(word in repr(each) for each in templates) or any(
        word in _names(each.__code__) for each in _reached(starts)
    )


def changes_outlets(task: Any) -> bool:
    """Whether the code of a task changes its own outlets while it runs."""
    kind: type = getattr(task, "operator_class", type(task))
    starts = [*_functions(task), *_run_methods(kind)]
    return any(_changes_outlets(each.__code__) for each in _reached(starts, kind))


@lru_cache(maxsize=512)
def _run_methods(kind: type) -> tuple[FunctionType, ...]:
    """The methods of a DAG's author that Airflow calls when a task runs: they are given a context."""
    own = (found for each in _methods(kind) if (found := _own(each)) is not None)
    return tuple(each for each in own if "context" in parameters(each))


def init_names_outlets(kind: type) -> bool:
    """Whether an operator's ``__init__``, or code of a DAG's author that it calls, names outlets.

    BaseOperator's own is left out.
    """
    inits = [vars(each).get("__init__") for each in kind.__mro__ if each.__name__ not in _BASES]
    codes = [each.__code__ for each in map(_unwrapped, inits) if each is not None]
    codes += [each.__code__ for each in _reached(inits, kind)]
    return any({"outlets", "add_outlets"} & _names(each) for each in codes)


_BASES = ("BaseOperator", "AbstractOperator")


def _functions(task: Any) -> Iterator[Any]:
    """The functions that a task is given: what a Python task calls, and hooks."""
    given = getattr(task, "partial_kwargs", {})
    given = given if isinstance(given, Mapping) else {}
    yield getattr(task, "python_callable", None) or given.get("python_callable")
    for hook in ("pre_execute", "post_execute"):
        yield getattr(task, f"_{hook}_hook", None) or given.get(hook)


def _methods(kind: type) -> Iterator[Any]:
    for each in kind.__mro__:
        yield from vars(each).values()


def _reached(starts: Iterable[Any], kind: type | None = None) -> Iterator[FunctionType]:
    """Functions of a DAG's author, and those that they can call; of ``kind``, methods by their name."""
    waiting = list(starts)
    seen: set[int] = set()
    while waiting:
        function = _own(waiting.pop())
        if function is None or id(function) in seen:
            continue
        seen.add(id(function))
        yield function
        names = _names(function.__code__)
        waiting.extend(_called(function, names))
        for each in kind.__mro__ if kind is not None else ():
            waiting.extend(vars(each).get(name) for name in names)


def _own(value: Any) -> FunctionType | None:
    """The function behind a method, or within what a library wraps it in; None for a library's."""
    function = getattr(value, "__func__", value)
    while function is not None:
        if isinstance(function, FunctionType) and not is_library(
            function.__globals__.get("__name__")
        ):
            return function
        function = vars(function).get("__wrapped__") if hasattr(function, "__dict__") else None
    return None


def _unwrapped(value: Any) -> FunctionType | None:
    value = inspect.unwrap(value) if callable(value) else value
    return value if isinstance(value, FunctionType) else None


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _names(code: CodeType) -> set[str]:
    """Names and words of a code object and of those within; of keyword arguments too."""
    found: set[str] = set()
    for each in _codes(code):
        found |= {*each.co_names, *each.co_varnames}
        for constant in each.co_consts:
            words = constant if isinstance(constant, tuple) else (constant,)
            found |= {word for word in words if isinstance(word, str) and word.isidentifier()}
    return found


def _changes_outlets(code: CodeType) -> bool:
    for each in _codes(code):
        names, before = _names(each), ""
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


def _called(function: FunctionType, names: set[str]) -> Iterator[Any]:
    """What a function can call: of its module, of modules and objects it names, of its closure."""
    yield getattr(function, "__wrapped__", None)
    held = [function.__globals__.get(name) for name in names]
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # a cell that is not filled yet
            held.append(cell.cell_contents)
    for value in held:
        if isinstance(value, ModuleType):
            inner = [vars(value).get(name) for name in names]
            yield from inner
            for each in inner:
                yield from _of_object(each, names)
        yield value
        yield from _of_object(value, names)


def _of_object(value: Any, names: set[str]) -> Iterator[Any]:
    """The methods of an object, or of a class, that are named; only of a DAG's author's own."""
    kind = value if isinstance(value, type) else type(value)
    if not is_library(kind.__module__):
        for each in kind.__mro__:
            yield from (vars(each).get(name) for name in (*names, "__init__", "__call__"))
