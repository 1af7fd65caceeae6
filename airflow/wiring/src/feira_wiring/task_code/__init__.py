"""What the code of a task does to its outlets' events, read from its syntax tree and never run.

Values are followed from ``outlet_events`` through assignments, loops, helpers, methods and partials.
Where one is lost (handed to code that cannot be read), the answer is "may", never "does".
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FunctionType
from typing import Any

from airflow.sdk.definitions.asset.decorators import _AssetMainOperator

from feira_wiring.model import AssetId
from feira_wiring.task_code.events import Effects
from feira_wiring.task_code.functions import hooks_within, is_library, own_code, parameters
from feira_wiring.task_code.reach import reached, run_words, words_of
from feira_wiring.task_code.syntax import CodeReader
from feira_wiring.task_code.values import (
    Context,
    Instance,
    Known,
    Method,
    is_given_later,
)

__all__ = ["Effects", "effects"]


# How an event is given keys.
_ADDS = {"add_partitions", "partition_keys"}


def effects(
    task: Any, outlets: tuple[AssetId, ...], asset_of: Callable[[Any], AssetId | None]
) -> Effects:
    """What a task's own code does to the events of its outlets. Library code is taken to add no key."""
    found = Effects()
    reader = CodeReader(task, outlets, asset_of, found)
    try:
        for entry, args, kwargs, sure in _entries(task):
            reader.start(entry, args, kwargs, sure)
    except Exception:  # too long, or objects of a DAG file that do not behave: nothing is known
        found.maybe_keyed |= {*outlets}
        found.lost |= _aliases(outlets)
        return found
    if not reader.entered:
        found.lost |= _aliases(outlets)
    if outlets:
        words = run_words(task) | words_of(reached(reader.functions))
        if reader.lost_context:
            _lost_context(found, reader, words)
        if reader.entered and not reader.passed:
            _unseen(found, reader, words)
    return found


def _lost_context(found: Effects, reader: CodeReader, words: set[str]) -> None:
    """What went out of sight with a context, and is harmless where the code has no words for it."""
    if _ADDS & words:
        found.maybe_keyed |= {*reader.outlets}
    if _names_targets(words):
        found.lost |= _unresolved(found, reader.outlets)


def _unseen(found: Effects, reader: CodeReader, words: set[str]) -> None:
    """What the code says and was not seen to do, it may do: a value was lost on the way there."""
    met = reader.met or bool(words & {"get_current_context", "get_template_context"})
    if met and _ADDS & words and not found.keyed | found.maybe_keyed:
        found.maybe_keyed |= {*reader.outlets}
    if "Metadata" in words or (met and _names_targets(words)):
        found.lost |= _unresolved(found, reader.outlets)


def _names_targets(words: set[str]) -> bool:
    """Whether code has the words to make assets of an alias."""
    return "Metadata" in words or {"outlet_events", "add"} <= words


def _aliases(outlets: Iterable[AssetId]) -> set[AssetId]:
    return {each for each in outlets if each.kind == "alias"}


def _unresolved(found: Effects, outlets: Iterable[AssetId]) -> set[AssetId]:
    return {each for each in _aliases(outlets) if not found.resolved.get(each)}


def _entries(task: Any) -> Iterator[tuple[Any, tuple[Any, ...], dict[str, Any], bool]]:
    more = getattr(task, "partial_kwargs", None) if task.is_mapped else None
    given: Mapping[str, Any] = more if isinstance(more, Mapping) else {}
    function = getattr(task, "python_callable", None) or given.get("python_callable")
    if function is not None:
        op_args = getattr(task, "op_args", None) or given.get("op_args") or ()
        op_kwargs = getattr(task, "op_kwargs", None) or given.get("op_kwargs") or {}
        if not isinstance(op_args, list | tuple):
            op_args = ()
        named = dict(op_kwargs) if isinstance(op_kwargs, Mapping) else {}
        values = {name: _known(each) for name, each in named.items()}
        if task.is_mapped:  # its defaults are not what the instances get
            values |= dict.fromkeys(_expanded(task, function))
        if isinstance(task, _AssetMainOperator):  # a function of @asset
            values["context"] = Context()
        yield Known(function), tuple(_known(each) for each in op_args), values, True
    for hook in ("_pre_execute_hook", "_post_execute_hook"):
        called = getattr(task, hook, None) or given.get(hook.strip("_").removesuffix("_hook"))
        for each in hooks_within(called) if called is not None else ():
            yield Known(each), (Context(), None), {}, True
    kind = getattr(task, "operator_class", type(task))
    own = Instance(kind, dict(given)) if task.is_mapped else Known(task)
    names: dict[str, None] = {}
    for each in kind.__mro__:
        if not is_library(each.__module__):
            names |= {name: None for name, value in vars(each).items() if inspect.isroutine(value)}
    for name in names:
        member = own_code(inspect.getattr_static(kind, name))
        if isinstance(member, FunctionType) and "context" in parameters(member):
            sure = name in ("pre_execute", "execute", "post_execute")
            yield Method(own, name), (), {"context": Context()}, sure


def _expanded(task: Any, function: Any) -> tuple[str, ...]:
    """The parameters that a mapped task is expanded over; all of them where that is not known."""
    given = getattr(getattr(task, "op_kwargs_expand_input", task.expand_input), "value", None)
    if isinstance(given, Mapping):
        return tuple(map(str, given))
    inner = own_code(function)
    return parameters(inner) if isinstance(inner, FunctionType) else ()


def _known(value: Any) -> Any:
    """An argument; None where it is given when the task runs."""
    return None if is_given_later(value) else Known(value)
