"""The language of row rules: a part of Spark SQL, each piece of which means the same in DuckDB.

Expressions are typed, and nothing is cast that does not say so: implicit casts are where the engines
differ. What is not listed here is refused where the contract is read, and so never judged otherwise by
the one than by the other. Beside Spark's own, the language has two functions that read a text strictly:

* ``zoned_time(text)``: the time of an ISO 8601 text with seconds and zone, from the year 1 on, or null
* ``decimal_text(text, p, s)``: the decimal(p,s) of a text of digits, with at most s behind a point, or
  null
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

import sqlglot
from sqlglot import exp

from feira.core.contracts.rule_regex import PatternError, re2
from feira.core.contracts.rule_terms import (
    INTEGERS,
    RuleError,
    Term,
    common_type,
    nearest_decimal,
    require_type,
    written_number,
)
from feira.core.errors import first_line

Dialect = Literal["spark", "duckdb"]
_COMPARED: dict[type[Any], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.NullSafeEQ: "<=>",
}
_PLAIN = ("string", "double", "boolean", "date", "timestamp")
_BLANK = r"^\s*\z"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
_ZONE = r"(Z|[+-]((0[0-9]|1[0-7]):[0-5][0-9]|18:00))"
_ZONED = rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[T ]{_CLOCK}{_ZONE}\z"


def translate(sql: str, columns: Mapping[str, str], dialect: Dialect) -> Term:
    """An expression of the language, for an engine.

    :param columns: what it may name, with its types: ``string``, ``int``, ``bigint``, ``integer`` (of
        any size), ``double``, ``decimal(p,s)``, ``boolean``, ``date``, ``timestamp``
    :raises RuleError: for what the language does not have
    """
    try:
        for token in sqlglot.tokenize(sql, read="spark"):
            if token.token_type.name == "STRING" and "\\" in sql[token.start : token.end + 1]:
                raise RuleError(f"the text {token.text!r} has an escape; write r'…' instead")
        return _Translation(columns, dialect).term(sqlglot.parse_one(sql, read="spark"))
    except sqlglot.errors.SqlglotError as error:
        raise RuleError(f"it is no SQL expression: {first_line(error)}") from error
    except RecursionError:
        raise RuleError("it is nested too deep") from None


def named(sql: str) -> set[str]:
    """The columns that an expression of the language names."""
    return {each.name for each in sqlglot.parse_one(sql, read="spark").find_all(exp.Column)}


@dataclass(frozen=True)
class _Translation:
    columns: Mapping[str, str]
    dialect: Dialect

    def term(self, node: Any) -> Term:
        if sign := _COMPARED.get(type(node)):
            return self._compared(sign, self.of(node, "this", "expression"))
        known: dict[type[Any], Callable[[Any], Term]] = {
            exp.Column: self._column,
            exp.Literal: self._literal,
            exp.RawString: self._literal,
            exp.Null: lambda _: Term("NULL", "null"),
            exp.Boolean: lambda each: Term(str(bool(each.this)).upper(), "boolean"),
            exp.Paren: lambda each: self.of(each, "this")[0],
            exp.And: lambda each: self._logical(each, "AND"),
            exp.Or: lambda each: self._logical(each, "OR"),
            exp.Not: self._not,
            exp.Neg: self._negative,
            exp.Is: self._is,
            exp.In: self._in,
            exp.Between: self._between,
            exp.Case: self._case,
            exp.If: self._if,
            exp.Coalesce: self._coalesce,
            exp.Cast: self._cast,
            exp.TryCast: self._cast,
            exp.Mul: self._product,
            exp.RegexpLike: self._matches,
            exp.Like: self._like,
            exp.Length: lambda each: Term(f"length({self.text(each)[0]})", "int"),
            exp.Trim: self._trim,
            exp.Contains: lambda each: self._about_text("contains", "contains", each),
            exp.StartsWith: lambda each: self._about_text("startswith", "starts_with", each),
            exp.EndsWith: lambda each: self._about_text("endswith", "ends_with", each),
            exp.Anonymous: self._own,
        }
        if type(node) not in known:
            name = getattr(node, "sql_name", lambda: type(node).__name__)()
            raise RuleError(f"it has {name.lower()}, which is not part of the language of rules")
        return known[type(node)](node)

    def of(self, node: exp.Expression, *names: str) -> list[Term]:
        """The terms of a node's arguments; it may have no other."""
        for name, value in node.args.items():
            if name not in names and value not in (None, False, []):
                raise RuleError(
                    f"{node.key} has {name}, which is not part of the language of rules"
                )
        return [self.term(node.args[name]) for name in names]

    def text(self, node: exp.Expression, *names: str) -> list[str]:
        found = self.of(node, *(names or ("this",)))
        return [require_type(each, "string", node.key).text for each in found]

    def _column(self, node: exp.Column) -> Term:
        if node.table or not isinstance(node.this, exp.Identifier):
            raise RuleError(f"{node.sql('spark')} is not the name of a column alone")
        if node.name not in self.columns:
            raise RuleError(f"it names {node.name}; there are {', '.join(self.columns)}")
        type_ = self.columns[node.name]
        if not (Term("", type_).decimal or type_ in _PLAIN):
            raise RuleError(f"{node.name} is of type {type_}, of which no rule can be made")
        mark = "`" if self.dialect == "spark" else '"'
        return Term(mark + node.name.replace(mark, mark * 2) + mark, type_)

    def _literal(self, node: exp.Literal | exp.RawString) -> Term:
        if isinstance(node, exp.RawString) or node.is_string:
            return Term(self._quoted(str(node.this)), "string")
        number = str(node.this)
        if re.fullmatch(r"[0-9]{1,37}", number):
            short = len(number) < 10
            return Term(number, "int" if short else f"decimal({len(number)},0)")
        if match := re.fullmatch(r"([0-9]{1,19})\.([0-9]{1,18})", number):
            # Leading zeros are no digits to either engine.
            digits = len((match[1] + match[2]).lstrip("0"))
            return Term(number, f"decimal({max(digits, len(match[2]), 1)},{len(match[2])})")
        raise RuleError(
            f"{number} is not a number of at most 37 digits, 18 of them behind the point"
        )

    def _quoted(self, text: str) -> str:
        if self.dialect == "spark":
            return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
        return "'" + text.replace("'", "''") + "'"

    def _logical(self, node: exp.Expression, word: str) -> Term:
        sides = [
            require_type(each, "boolean", word).text for each in self.of(node, "this", "expression")
        ]
        return Term(f"({f' {word} '.join(sides)})", "boolean")

    def _not(self, node: exp.Not) -> Term:
        (inner,) = self.of(node, "this")
        return Term(f"(NOT {require_type(inner, 'boolean', 'NOT').text})", "boolean")

    def _negative(self, node: exp.Neg) -> Term:
        if not isinstance(node.this, exp.Literal) or node.this.is_string:
            raise RuleError("a minus is only that of a number")
        inner = self._literal(node.this)
        return Term(f"(-{inner.text})", inner.type)

    def _is(self, node: exp.Is) -> Term:
        if not isinstance(node.expression, (exp.Null, exp.Boolean)):
            raise RuleError("IS is only that of NULL, TRUE or FALSE")
        left, right = self.of(node, "this", "expression")
        if right.type == "boolean":
            require_type(left, "boolean", "IS")
        return Term(f"({left.text} IS {right.text})", "boolean")

    def _compared(self, sign: str, terms: Sequence[Term]) -> Term:
        left, right = self._common(terms)
        if sign == "<=>" and self.dialect == "duckdb":
            sign = "IS NOT DISTINCT FROM"
        return Term(f"({left} {sign} {right})", "boolean")

    def _common(self, terms: Sequence[Term]) -> list[str]:
        """The terms' SQL, to be compared as they are; raises RuleError for terms that the engines would
        have to cast, or could not."""
        known = [each for each in terms if each.type != "null"]
        if len({each.family for each in known}) > 1:
            listed = ", ".join(f"{each.text} ({each.type})" for each in known)
            raise RuleError(f"it compares {listed}: values of different types")
        exact = [each.decimal for each in known if each.decimal and each.type != "integer"]
        scale = max((s for _, s in exact), default=0)
        digits = max((p - s for p, s in exact), default=0) + scale
        if digits > 38:
            raise RuleError("it compares decimals of more than 38 digits together")
        types = {each.type for each in known}
        if "integer" not in types or "double" in types or types <= {*INTEGERS}:
            return [each.text for each in terms]
        if digits > 37 or sum(each.type == "integer" for each in known) > 1:
            raise RuleError(
                "it compares an integer of any size with decimals of more than 37 digits together, or "
                "with another such integer beside them"
            )
        # DuckDB casts the integer to the decimal's scale, and fails where that takes more than 38 digits.
        most = 10 ** (38 - scale) - 1
        return [
            nearest_decimal(each.text, most, scale) if each.type == "integer" else each.text
            for each in terms
        ]

    def _in(self, node: exp.In) -> Term:
        if not node.expressions:
            raise RuleError("IN is only that of a list of values")
        terms = [self.term(node.this), *(self.term(each) for each in node.expressions)]
        value, *listed = self._common(terms)
        return Term(f"({value} IN ({', '.join(listed)}))", "boolean")

    def _between(self, node: exp.Between) -> Term:
        value, low, high = self._common(self.of(node, "this", "low", "high"))
        return Term(f"({value} BETWEEN {low} AND {high})", "boolean")

    def _case(self, node: exp.Case) -> Term:
        if node.this:
            raise RuleError("CASE is only that of conditions: CASE WHEN …")
        default = node.args.get("default")
        ifs = [(self.term(each.this), self.term(each.args["true"])) for each in node.args["ifs"]]
        return self._chosen(ifs, self.term(default) if default else Term("NULL", "null"))

    def _if(self, node: exp.If) -> Term:
        default = node.args.get("false")
        chosen = (self.term(node.this), self.term(node.args["true"]))
        return self._chosen([chosen], self.term(default) if default else Term("NULL", "null"))

    def _chosen(self, ifs: Sequence[tuple[Term, Term]], default: Term) -> Term:
        whens = " ".join(
            f"WHEN {require_type(condition, 'boolean', 'CASE').text} THEN {value.text}"
            for condition, value in ifs
        )
        type_ = common_type([*(value for _, value in ifs), default])
        return Term(f"(CASE {whens} ELSE {default.text} END)", type_)

    def _coalesce(self, node: exp.Coalesce) -> Term:
        terms = [self.term(node.this), *(self.term(each) for each in node.expressions)]
        return Term(f"coalesce({', '.join(each.text for each in terms)})", common_type(terms))

    def _cast(self, node: exp.Cast) -> Term:
        tries = bool(node.args.get("safe"))
        to = node.to.sql("spark").lower().replace(" ", "")
        if isinstance(node.this, exp.Literal) and node.this.is_string and not tries:
            return self._typed_literal(str(node.this.this), to)
        if {name for name, value in node.args.items() if value} - {"this", "to", "safe"}:
            raise RuleError("a cast is only that of an expression as a type")
        inner = self.term(node.this)
        given, wanted = inner.decimal, Term("", to).decimal
        if inner.type == "timestamp" and to == "date" and not tries:
            return Term(f"CAST({inner.text} AS DATE)", "date")
        if given and wanted and to not in INTEGERS and given[1] <= wanted[1]:
            fits = given[0] - given[1] <= wanted[0] - wanted[1]
            if tries or fits:
                word = "CAST" if fits and not tries else "TRY_CAST"
                return Term(f"{word}({inner.text} AS {to})", to)
        word = "try_cast" if tries else "cast"
        raise RuleError(
            f"{word} of {inner.type} as {to} is not the same in both engines, or can fail; use "
            "zoned_time or decimal_text for a text, bround before a cast to fewer places"
        )

    def _typed_literal(self, text: str, to: str) -> Term:
        try:
            if to == "date" and re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
                return Term(f"DATE'{date.fromisoformat(text)}'", "date")
            if to in ("timestamp", "timestamp_ltz") and re.match(
                _ZONED[:-2] + r"\Z", text, re.ASCII
            ):
                moment = datetime.fromisoformat(text).astimezone(UTC)
                zone = "Z" if self.dialect == "spark" else ""
                return Term(f"TIMESTAMP'{moment.replace(tzinfo=None)}{zone}'", "timestamp")
        except (ValueError, OverflowError):
            pass
        raise RuleError(
            f"{text!r} is no {to} that both engines read alike; write date'2010-12-01' or "
            "timestamp'2010-12-01T08:26:00Z', with its zone"
        )

    def _product(self, node: exp.Mul) -> Term:
        terms = self.of(node, "this", "expression")
        (p1, s1), (p2, s2) = sides = [
            each.decimal if each.type.startswith("decimal") and each.decimal else (39, 0)
            for each in terms
        ]
        if p1 + p2 > 37:
            raise RuleError(
                "* is only that of two decimals of together at most 37 digits; cast integers to "
                "decimal(10,0) or decimal(19,0) first"
            )
        left, right = (each.text for each in terms)
        # Spark has a digit more for a product than it needs.
        type_ = f"decimal({p1 + p2 + 1},{s1 + s2})"
        if self.dialect == "duckdb":
            # DuckDB keeps a product in the wider of the two, and then fails.
            wide = [
                f"CAST({t} AS DECIMAL(38,{s}))"
                for t, (_, s) in zip((left, right), sides, strict=True)
            ]
            return Term(f"CAST({' * '.join(wide)} AS {type_})", type_)
        return Term(f"({left} * {right})", type_)

    def _rounded(self, node: exp.Anonymous) -> Term:
        """Half to even, of a decimal; as Spark's bround."""
        value, places = self.term(node.expressions[0]), written_number(node.expressions[1])
        if not value.decimal or not 0 <= places < value.decimal[1] or value.decimal[0] > 37:
            raise RuleError("bround is only that of a decimal, to fewer places than it has")
        digits, scale = value.decimal
        x, type_ = value.text, f"decimal({digits - scale + places + 1},{places})"
        if self.dialect == "spark":
            return Term(f"bround({x}, {places})", type_)
        # Wide enough for one digit more than a value has.
        x = f"CAST({x} AS DECIMAL(38,{scale}))"
        step = f"CAST(1e-{places} AS DECIMAL(38,{places}))"
        near = f"round({x}, {places})"
        half = f"abs({x} - {near}) = CAST(0.{'0' * places}5 AS DECIMAL(38,{places + 1}))"
        odd = f"{near} % (2 * {step}) <> 0"
        down = f"CASE WHEN {x} > 0 THEN {near} - {step} ELSE {near} + {step} END"
        return Term(
            f"CAST(CASE WHEN {half} AND {odd} THEN {down} ELSE {near} END AS {type_})", type_
        )

    def _matches(self, node: exp.RegexpLike) -> Term:
        value, pattern = self._with_pattern(node, "RLIKE")
        return self._found(value, pattern)

    def _found(self, value: str, pattern: str) -> Term:
        try:
            other = re2(pattern)
        except PatternError as error:
            raise RuleError(f"the pattern {pattern!r}: {error}") from error
        if self.dialect == "spark":
            matches = f"{value} RLIKE {self._quoted(pattern)}"
            # White space alone, and no text, come before "!"; that comparison spares almost every row the search.
            first = f"{value} < '!' AND " if pattern == _BLANK else ""
            return Term(f"({first}{matches})", "boolean")
        return Term(f"regexp_matches({value}, {self._quoted(other)})", "boolean")

    def _like(self, node: exp.Like) -> Term:
        value, pattern = self._with_pattern(node, "LIKE")
        if "\\" in pattern:
            raise RuleError(f"the pattern {pattern!r} of LIKE has a \\; use RLIKE")
        return Term(f"({value} LIKE {self._quoted(pattern)})", "boolean")

    def _with_pattern(self, node: exp.Expression, word: str) -> tuple[str, str]:
        self.of(node, "this", "expression")
        if not isinstance(node.expression, (exp.Literal, exp.RawString)):
            raise RuleError(f"{word} takes a pattern that is written out")
        return self.text(node, "this", "expression")[0], str(node.expression.this)

    def _trim(self, node: exp.Trim) -> Term:
        # Spark's takes spaces alone, DuckDB's any white space unless told.
        (value,) = self.text(node)
        return Term(
            f"trim({value})" if self.dialect == "spark" else f"trim({value}, ' ')", "string"
        )

    def _about_text(self, spark: str, duckdb: str, node: exp.Expression) -> Term:
        value, part = self.text(node, "this", "expression")
        name = spark if self.dialect == "spark" else duckdb
        return Term(f"{name}({value}, {part})", "boolean")

    def _own(self, node: exp.Anonymous) -> Term:
        """The language's own functions, and Spark's of which sqlglot knows nothing."""
        name, arguments = node.name.lower(), node.expressions
        if name == "zoned_time" and len(arguments) == 1:
            value = require_type(self.term(arguments[0]), "string", name).text
            right = f"{self._found(value, _ZONED).text} AND NOT {value} LIKE '0000%'"
            if self.dialect == "spark":
                return Term(
                    f"(CASE WHEN {right} THEN try_cast({value} AS timestamp) END)", "timestamp"
                )
            # By way of a type with a zone: a cast to TIMESTAMP drops the offset that a text states.
            cast = f"CAST(TRY_CAST({value} AS TIMESTAMPTZ) AS TIMESTAMP)"
            return Term(f"(CASE WHEN {right} THEN {cast} END)", "timestamp")
        if name == "decimal_text" and len(arguments) == 3:
            value = require_type(self.term(arguments[0]), "string", name).text
            digits, places = written_number(arguments[1]), written_number(arguments[2])
            if not 0 <= places < digits <= 38:
                raise RuleError(f"decimal_text({digits}, {places}): p is 1 to 38, s is less")
            behind = rf"(\.[0-9]{{1,{places}}})?" if places else ""
            right = self._found(value, rf"^-?[0-9]{{1,{digits - places}}}{behind}\z").text
            type_ = f"decimal({digits},{places})"
            return Term(f"(CASE WHEN {right} THEN TRY_CAST({value} AS {type_}) END)", type_)
        if name == "bround" and len(arguments) == 2:
            return self._rounded(node)
        raise RuleError(f"it calls {name}, which is not part of the language of rules")
