"""The code of a DAG's author that a task can reach, and the words in it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from types import CodeType, FunctionType, ModuleType
from typing import Any

from feira_wiring.task_code.functions import hooks_within, is_library, parameters


def run_words(task: Any) -> set[str]:
    """Names and words in the code that Airflow calls when a task runs, and in what that can call."""
    return words_of(run_functions(task))


def words_of(functions: Iterable[FunctionType]) -> set[str]:
    return {word for each in functions for word in names_of(each.__code__)}


def run_functions(task: Any) -> Iterator[FunctionType]:
    """The functions of a DAG's author that can run when a task does."""
    kind: type = getattr(task, "operator_class", type(task))
    return reached([*functions_of(task), *run_methods_of(kind)], kind)


def functions_of(task: Any) -> Iterator[Any]:
    """The functions that a task is given: what a Python task calls, and hooks."""
    given = getattr(task, "partial_kwargs", {})
    given = given if isinstance(given, Mapping) else {}
    yield getattr(task, "python_callable", None) or given.get("python_callable")
    for hook in ("pre_execute", "post_execute"):
        yield from hooks_within(getattr(task, f"_{hook}_hook", None) or given.get(hook))


def methods_of(kind: type) -> Iterator[Any]:
    for each in kind.__mro__:
        yield from vars(each).values()


def reached(starts: Iterable[Any], kind: type | None = None) -> Iterator[FunctionType]:
    """Functions of a DAG's author, and those that they can call; of ``kind``, methods by their name."""
    waiting = list(starts)
    seen: set[int] = set()
    while waiting:
        function = _own(waiting.pop())
        if function is None or id(function) in seen:
            continue
        seen.add(id(function))
        yield function
        names = names_of(function.__code__)
        waiting.extend(_called(function, names))
        for each in kind.__mro__ if kind is not None else ():
            waiting.extend(vars(each).get(name) for name in names)


def _own(value: Any) -> FunctionType | None:
    """The function behind a method, or within what a library wraps it in; None for a library's."""
    function = getattr(value, "__func__", value)
    while function is not None:
        if isinstance(function, functools.partial | functools.cached_property):
            function = function.func
        elif isinstance(function, property):
            function = function.fget
        if isinstance(function, FunctionType) and not is_library(
            function.__globals__.get("__name__")
        ):
            return function
        function = vars(function).get("__wrapped__") if hasattr(function, "__dict__") else None
    return None


@lru_cache(maxsize=512)
def run_methods_of(kind: type) -> tuple[FunctionType, ...]:
    """The methods of a DAG's author that Airflow calls when a task runs: they are given a context."""
    own = (found for each in methods_of(kind) if (found := _own(each)) is not None)
    return tuple(each for each in own if "context" in parameters(each))


def codes_of(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_of(constant)


def names_of(code: CodeType) -> set[str]:
    """Names and words of a code object and of those within; of keyword arguments too."""
    found: set[str] = set()
    for each in codes_of(code):
        found |= {*each.co_names, *each.co_varnames}
        for constant in each.co_consts:
            words = constant if isinstance(constant, tuple) else (constant,)
            found |= {word for word in words if isinstance(word, str) and word.isidentifier()}
    return found


def texts_of(functions: Iterable[FunctionType]) -> list[str]:
    """The texts in the code of functions, and those that they have by a name."""
    found: list[str] = []
    for each in functions:
        for code in codes_of(each.__code__):
            found += [text for text in code.co_consts if isinstance(text, str)]
        found += [text for text in held_by(each) if isinstance(text, str)]
    return found


def held_by(function: FunctionType) -> Iterator[Any]:
    """What the names in a function's code stand for: in its module, in modules that it names, around it."""
    names = names_of(function.__code__)
    for name in names:
        value = function.__globals__.get(name)
        yield value
        if isinstance(value, ModuleType):
            yield from (vars(value).get(each) for each in names)
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # a cell that is not filled yet
            yield cell.cell_contents


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
