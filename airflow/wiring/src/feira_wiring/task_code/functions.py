"""The functions of DAG files and of what they import: which can be read, and where their text is."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from airflow.sdk.definitions.decorators import condition

from feira_wiring.syntax import tree_of
from feira_wiring.task_code.values import Args, Context, Events, Known, Kwargs, Many

_LIBRARIES = sys.stdlib_module_names | {"airflow"}


def parameters(function: FunctionType) -> tuple[str, ...]:
    code = function.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def own_code(value: Any) -> Any:
    """The function itself, without what a library has wrapped around it: lru_cache, Airflow's checks."""
    while (wrapped := getattr(value, "__wrapped__", None)) is not None:
        if isinstance(value, FunctionType) and not is_library(value.__globals__.get("__name__")):
            break
        value = wrapped
    return value


def is_library(module: str | None) -> bool:
    """By a module's name; code that is made at run time may have none."""
    return str(module or "").partition(".")[0] in _LIBRARIES


@lru_cache(maxsize=512)
def functions(file: str) -> Mapping[tuple[str, int], ast.AST | None]:
    """The functions of a file by name and first line; None where two lambdas share one."""
    found: dict[tuple[str, int], ast.AST | None] = {}
    tree = tree_of(Path(file))
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
            found[node.name, first] = node
        elif isinstance(node, ast.Lambda):
            key = ("<lambda>", node.lineno)
            found[key] = None if key in found else node
    return found


def is_combined(hook: Any) -> bool:
    """Whether a hook is one that run_if or skip_if has made."""
    return isinstance(hook, FunctionType) and hook.__module__ == condition.__name__


def hooks_within(hook: Any) -> Iterator[Any]:
    """The hooks that run_if and skip_if have combined into one, or that hook."""
    held = [each.cell_contents for each in hook.__closure__ or ()] if is_combined(hook) else []
    inner = [each for one in held if isinstance(one, tuple) for each in one if each is not None]
    for each in inner:
        yield from hooks_within(each)
    if not inner:
        yield hook


def mentions_events(code: CodeType) -> bool:
    """Whether code names add_partitions or anything that holds events."""
    words = {"add_partitions", "outlet_events"}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if mentions_events(constant):
                return True
        elif isinstance(constant, str) and constant in words:
            return True
    return bool(words & {*code.co_names, *code.co_varnames})


def bound(
    signature: ast.arguments,
    args: Args,
    kwargs: Kwargs,
    function: FunctionType,
    entry: bool,
    own: bool,
) -> dict[str, Any]:
    """Parameter → value; a task's own function is handed its context by name.

    ``own``: the signature is the function's, not that of one within it.
    """
    positional = [each.arg for each in (*signature.posonlyargs, *signature.args)]
    named = [*positional, *(each.arg for each in signature.kwonlyargs)]
    found: dict[str, Any] = dict.fromkeys(named)
    defaults = function.__defaults__ or ()
    if own and function.__code__.co_argcount == len(positional):
        for name, value in zip(reversed(positional), reversed(defaults), strict=False):
            found[name] = Known(value)
    found |= {
        name: Known(each)
        for name, each in (function.__kwdefaults__ or {}).items()
        if own and name in found
    }
    found |= dict(zip(positional, args, strict=False))
    found |= {name: each for name, each in kwargs.items() if name in found}
    if signature.vararg is not None:
        found[signature.vararg.arg] = Many(tuple(args[len(positional) :]))
    if entry and "outlet_events" in found:
        found["outlet_events"] = Events()
    if signature.kwarg is not None:
        over = {name: each for name, each in kwargs.items() if name not in named}
        hands_on = entry or any(isinstance(each, Events | Context) for each in over.values())
        found[signature.kwarg.arg] = Context() if hands_on else Many(tuple(over.values()))
    return found
