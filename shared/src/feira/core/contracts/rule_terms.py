"""Terms of the language of row rules: an expression in the SQL of an engine, with its type."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

# Digits that each type can have.
INTEGERS = {"int": 10, "bigint": 19, "integer": 39}


class RuleError(ValueError):
    """An expression is not one of the language; the message names what is not."""


@dataclass(frozen=True)
class Term:
    """An expression in the SQL of an engine, and its type in the contract's words."""

    text: str
    type: str

    @property
    def decimal(self) -> tuple[int, int] | None:
        """Digits and scale as a decimal; None for what is no exact number."""
        if match := re.fullmatch(r"decimal\((\d+),(\d+)\)", self.type):
            return int(match[1]), int(match[2])
        return (INTEGERS[self.type], 0) if self.type in INTEGERS else None

    @property
    def family(self) -> str:
        """Terms of one family can be compared."""
        return "number" if self.decimal or self.type == "double" else self.type


def require_type(term: Term, type_: str, where: str) -> Term:
    """The term, if it is of this type or NULL; RuleError, with where it stands, for another."""
    if term.type not in (type_, "null"):
        raise RuleError(f"{where} needs a {type_}, and {term.text} is of type {term.type}")
    return term


def nearest_decimal(text: str, most: int, scale: int) -> str:
    """An integer as a decimal; one that has too many digits as the nearest, which no term it is compared
    with reaches."""
    near = (
        f"CASE WHEN {text} > {most} THEN {most} WHEN {text} < -{most} THEN -{most} ELSE {text} END"
    )
    return f"CAST({near} AS DECIMAL(38,{scale}))"


def common_type(terms: Sequence[Term]) -> str:
    """The one type that all of the terms have; NULL has any."""
    types = {each.type for each in terms} - {"null"}
    if len(types) != 1:
        raise RuleError(f"it chooses between values of the types {', '.join(sorted(types))}")
    return types.pop()


def written_number(node: exp.Expression) -> int:
    """The whole number that an argument is; RuleError for one that is computed."""
    if not isinstance(node, exp.Literal) or node.is_string or not str(node.this).isdigit():
        raise RuleError(f"{node.sql('spark')} is no number that is written out")
    return int(str(node.this))
