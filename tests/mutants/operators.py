"""Mutations that cosmic-ray has none of: a call that is left out, an argument, an element of a literal.

Its own operators change what stands there. What a tired developer does is forget something: the check
after the work, the option that makes a write conditional, one of the columns of an audit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import parso
from cosmic_ray.operators.operator import Argument, Example, Operator
from parso.python.tree import PythonNode

Position = tuple[int, int]


class RemoveCall(Operator):  # type: ignore[misc]
    """A statement that is a call, or a ``raise``, becomes ``pass``."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Position, Position]]:
        if node.type == "simple_stmt" and _is_call_or_raise(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        prefix = node.children[0].get_first_leaf().prefix
        made = parso.parse("pass").children[0]
        made.get_first_leaf().prefix = prefix
        made.parent = node
        node.children[0] = made
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("check(x)\n", "pass\n"),)


def _is_call_or_raise(node: Any) -> bool:
    if node.type == "raise_stmt":
        return True
    return node.type in ("atom_expr", "power") and node.children[-1].get_code().startswith("(")


class _RemoveItem(Operator):  # type: ignore[misc]
    """Leaves one item out of what commas part."""

    def _removable(self, node: Any) -> list[Any]:
        raise NotImplementedError

    def mutation_positions(self, node: Any) -> Iterator[tuple[Position, Position]]:
        for item in self._removable(node):
            yield item.start_pos, item.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        item = self._removable(node)[index]
        children = node.children
        at = children.index(item)
        # With the comma behind it, or else the one before it.
        if at + 1 < len(children) and children[at + 1].get_code().strip() == ",":
            gone = children[at : at + 2]
        elif at > 0 and children[at - 1].get_code().strip() == ",":
            gone = children[at - 1 : at + 1]
        else:
            gone = [item]
        comma = next((each for each in gone if each is not item), None)
        node.children = [each for each in children if not any(each is one for one in gone)]
        if len(node.children) == 1 and comma is not None and node.type == "testlist_comp":
            node.children.append(comma)  # a tuple of one
        return node


class RemoveKeyword(_RemoveItem):
    """A call's keyword argument is left out."""

    def _removable(self, node: Any) -> list[Any]:
        is_call = node.type == "trailer" and node.children[0].get_code().strip() == "("
        if node.type != "arglist" and not is_call:
            return []
        return [
            child
            for child in node.children
            if child.type == "argument" and child.children[1].get_code().strip() == "="
        ]

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("f(a, mode=1)", "f(a)"), Example("f(mode=1)", "f()"))


class RemoveElement(_RemoveItem):
    """An element of a tuple, list, set or dict of at least two is left out."""

    def _removable(self, node: Any) -> list[Any]:
        if node.type != "testlist_comp" or not isinstance(node, PythonNode):
            return []
        if _in_annotation(node):
            return []
        items = [child for child in node.children if child.get_code().strip() != ","]
        is_comprehension = any(child.type in ("sync_comp_for", "comp_for") for child in items)
        return [] if is_comprehension or len(items) < 2 else items

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("[a, b, c]", "[a, c]", occurrence=1), Example("(a, b)", "( b,)"))


def _in_annotation(node: Any) -> bool:
    """Whether it is part of a type that is written down: no such thing is evaluated in our modules."""
    child, parent = node, node.parent
    while parent is not None:
        if parent.type == "annassign" and parent.children[1] is child:
            return True
        if parent.type in ("param", "funcdef") and parent.annotation is child:
            return True
        if parent.type == "tfpdef" and parent.children[2] is child:
            return True
        child, parent = parent, parent.parent
    return False


class Planted(Operator):  # type: ignore[misc]
    """A fault written down beside the module: text that is there once, and what comes in its place."""

    def __init__(self, find: str, replace: str) -> None:
        self.find, self.replace = find, replace

    def mutation_positions(self, node: Any) -> Iterator[tuple[Position, Position]]:
        if node.type == "file_input" and node.get_code().count(self.find) == 1:
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        return parso.parse(node.get_code().replace(self.find, self.replace))

    @classmethod
    def arguments(cls) -> tuple[Argument, ...]:
        return (Argument("find", "what is there once"), Argument("replace", "what it becomes"))

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("a = 1", "a = 2", operator_args={"find": "1", "replace": "2"}),)


_OPERATORS = {each.__name__: each for each in (RemoveCall, RemoveKeyword, RemoveElement, Planted)}


class Provider:
    """These operators, as cosmic-ray asks for them: ``feira/RemoveCall``, …"""

    def __iter__(self) -> Iterator[str]:
        return iter(_OPERATORS)

    def __getitem__(self, name: str) -> type[Operator]:
        return _OPERATORS[name]
