"""A landed line's JSON and the contract: each field's value where the line holds it as declared, and
the names of the rules that a line breaks.

A row rule's expression has SQL's three values: a rule whose inputs are null is not broken, because
the rule that follows from the field itself (``_absent``, ``_null``, ``_type``, ``_too_long``) names
the cause.

Types, presence and duplicate keys are what a strict parser found, never what a search of the text
finds. A line is cleared where the fields that were read from it, written as JSON, are that line again:
almost every line of a source whose JSON is compact and in the contract's order. The others are parsed
once more, by ``try_parse_json``, which gives null for a duplicate key, and looked at field by field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from feira.core.contracts import Contract
from feira.core.contracts.columns import require_in_a_line
from feira.core.contracts.model import DUPLICATE_KEY, UNREADABLE
from feira.core.contracts.model import Column as ContractColumn
from feira.core.contracts.rule_sql import translate
from feira_spark.core.tables import spark_type

SHAPE_RULES = "shape_rules"
_JSON_TYPE = {"string": "STRING", "int": "BIGINT", "bigint": "BIGINT", "boolean": "BOOLEAN"}
# Spark's own JSON reader takes 'a' for "a" and NaN for a number unless it is forbidden.
_STRICT = {"allowSingleQuotes": "false", "allowNonNumericNumbers": "false"}


def parse_schema(contract: Contract) -> T.StructType:
    """The schema by which a landed JSON line is parsed; every field may be null.

    Raises ContractError for a field of a type that JSON has not.
    """
    require_in_a_line(contract)
    return T.StructType(
        [
            T.StructField(column.name, spark_type(column.type), nullable=True)
            for column in contract.columns
        ]
    )


def read_fields(
    lines: DataFrame, contract: Contract, landed_fields: Iterable[str], raw: str = "raw"
) -> DataFrame:
    """Adds the contract's fields, and ``shape_rules``: what is wrong with them, null or empty where nothing is.

    ``raw`` is the line's text, whatever it holds. A field is null where the line has no value of the
    declared JSON type and length. ``shape_rules`` (array<string>) is only ``line_unreadable`` or only
    ``duplicate_key`` for a line that is not one JSON object without duplicate keys, and otherwise
    names fields: ``_absent``, ``_null`` (of a required one), ``_type``, ``_too_long``. Raises
    ContractError for a field of a type that JSON has not.
    ``landed_fields`` are those that the landing's contract knew: an older landing is not blamed for a
    field that was added since.
    """
    text = F.col(raw)
    line = F.from_json(text, parse_schema(contract), {"mode": "PERMISSIVE"})
    no_rules = F.lit(None).cast("array<string>")
    cleared = F.struct(F.col("_line").alias("fields"), no_rules.alias("rules"))
    looked_at = _looked_at(contract, set(landed_fields), text)
    # No list of columns: to ask the server for one would have it list the landing's files.
    read = lines.select("*", line.alias("_line")).select(
        "*", F.when(_as_declared(contract, text), cleared).otherwise(looked_at).alias("_read")
    )
    return read.select(
        "*",
        *[f"_read.fields.{name}" for name in contract.column_names],
        F.col("_read.rules").alias(SHAPE_RULES),
    ).drop("_line", "_read")


def rule_faults(contract: Contract) -> list[Column]:
    """Of each row rule its name where a row breaks it, else null, by name. The frame is as ``broken_rules`` has it."""
    known = contract.rule_names
    rules = {
        rule.name: F.expr(translate(rule.broken_when, known, "spark").text)
        for rule in contract.row_rules
    }
    return [F.when(rules[name], F.lit(name)) for name in sorted(rules)]


def broken_rules(contract: Contract) -> Column:
    """Sorted names of the rules that a row breaks: array<string>, empty for a valid row.

    The frame holds the fields and ``shape_rules`` of ``read_fields``, and what else the contract's
    rules name.
    """
    names = rule_faults(contract)
    shape = F.coalesce(F.col(SHAPE_RULES), F.array().cast("array<string>"))
    # Spark compiles coalesce, but interprets array_compact and all that is in it: only for the rows
    # that break a rule. Flat, since Connect's protocol refuses a tree as deep as there are rules.
    return F.when(F.coalesce(*names).isNull(), F.array_sort(shape)).otherwise(
        F.array_sort(F.concat(shape, F.array_compact(F.array(*names))))
    )


def _as_declared(contract: Contract, text: Column) -> Column:
    """Whether a line is to the letter what its fields are as JSON, and each may be stored.

    Then no value had another type, no key came twice and nothing else was there.
    """
    fields, faults = [], []
    for column in contract.columns:
        value = F.col(f"_line.{column.name}")
        fields.append(value.alias(column.name))
        if column.required:
            faults.append(value.isNull())
        if (fault := _unfit(column, value)) is not None:
            faults.append(fault)
    written = F.to_json(F.struct(*fields), {"ignoreNullFields": "false"})
    # Flat, as Connect's protocol refuses a deep tree.
    fit = F.coalesce(*[F.when(fault, F.lit(False)) for fault in faults], F.lit(True))
    return F.coalesce((written == text) & fit, F.lit(False))


def _looked_at(contract: Contract, landed: set[str], text: Column) -> Column:
    """``fields`` and ``rules`` of a line that is not as declared, from a second look at its text."""
    # All parsers stop at the end of the first value: the mark behind it shows that it was the last.
    # No line can hold the mark itself, which is a hash of the whole line.
    mark = F.xxhash64(text)
    framed = F.concat(F.lit("["), text, F.lit(',{"end":'), mark.cast("string"), F.lit("}]"))
    readable = ~_has_lone_surrogate(text) & F.is_valid_utf8(text)
    duplicate = readable & _has_duplicates(framed, mark.cast("string"))
    no_object = F.array(F.when(duplicate, DUPLICATE_KEY).otherwise(UNREADABLE))

    def kinds(json: Column) -> Column:
        """The JSON type of the line and of each field, null where there is none."""
        of = {
            name: _kind(json, f"$[0]{path}")
            for name, path in [("", ""), *((name, f".{name}") for name in contract.column_names)]
        }
        whole = F.try_variant_get(json, "$[1].end", "bigint") == mark
        return F.when(whole, F.struct(*[kind.alias(f"of_{name}") for name, kind in of.items()]))

    def judged(found: Column) -> Column:
        fields, rules = [], []
        for column in contract.columns:
            value, kind = F.col(f"_line.{column.name}"), found[f"of_{column.name}"]
            right = _has_type(column, kind)
            if (fault := _unfit(column, value)) is not None:
                right &= ~fault
            fields.append(F.when(right, value).alias(column.name))
            if column.name in landed:
                rules += _shape_rules(column, value, kind)
        is_object = found["of_"].startswith("OBJECT<")
        broken = F.when(is_object, F.array_compact(F.array(*rules))).otherwise(no_object)
        return F.struct(F.struct(*fields).alias("fields"), broken.alias("rules"))

    json = F.when(readable, F.try_parse_json(framed))
    return _with(json, lambda parsed: _with(kinds(parsed), judged))


def _with(value: Column, made: Callable[[Column], Column]) -> Column:
    """What is made of a value that is computed once, however often it is named.

    Spark interprets a lambda and all that is in it. So what only odd lines need stays out of the code
    that it compiles for every line, which is slow once it is long.
    """
    return F.get(F.transform(F.array(value), made), 0)


def _kind(json: Column, path: str) -> Column:
    """The JSON type of what is at a path, without a look into it.

    Spark spells out the type of every level: of objects some hundred deep its stack overflows, which ends
    the whole server.
    """
    inner = {"OBJECT<>": "map<string,variant>", "ARRAY<>": "array<variant>"}
    nested = [
        F.when(F.try_variant_get(json, path, type_).isNotNull(), F.lit(name))
        for name, type_ in inner.items()
    ]
    flat = F.schema_of_variant(F.try_variant_get(json, path, "variant"))
    return F.coalesce(*nested, flat)


def _has_type(column: ContractColumn, found: Column) -> Column:
    return F.coalesce(found == _JSON_TYPE[column.type], F.lit(False))


def _unfit(column: ContractColumn, value: Column) -> Column | None:
    """Whether a text cannot be stored: U+0000, which PostgreSQL's text cannot hold, or its length."""
    if column.type != "string":
        return None
    unfit = value.contains("\x00")
    return unfit if column.max_length is None else unfit | (F.length(value) > column.max_length)


def _shape_rules(column: ContractColumn, value: Column, found: Column) -> list[Column]:
    null = found == "VOID"
    typed = _has_type(column, found) & value.isNotNull()
    if column.type == "string":
        typed &= ~value.contains("\x00")
    rules = [
        F.when(found.isNull(), F.lit(f"{column.name}_absent")),
        F.when(found.isNotNull() & ~null & ~typed, F.lit(f"{column.name}_type")),
    ]
    if column.required:
        rules.append(F.when(null, F.lit(f"{column.name}_null")))
    if column.max_length is not None:
        too_long = typed & (F.length(value) > column.max_length)
        rules.append(F.when(too_long, F.lit(f"{column.name}_too_long")))
    return rules


def _has_lone_surrogate(text: Column) -> Column:
    r"""Whether an escape such as \ud800 stands for half a character: Java would make it a "?"."""
    escapes = F.replace(text, F.lit("\\\\"), F.lit("  "))  # an escaped backslash escapes nothing
    rest = F.regexp_replace(
        escapes, r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}", ""
    )
    surrogate = r"\\u[dD][89a-fA-F]"
    return F.when(text.contains("\\u"), rest.rlike(surrogate)).otherwise(F.lit(False))


def _has_duplicates(framed: Column, mark: Column) -> Column:
    """Whether a readable line that the strict parser refused is one JSON object all the same.

    What is left to refuse in it is a key that one of its objects has more than once. A map of texts is read
    without a look at what its values hold.
    """
    objects = F.from_json(framed, "array<map<string,string>>", _STRICT)
    end = F.try_element_at(F.get(objects, 1), F.lit("end"))
    one = F.get(objects, 0).isNotNull() & (end == mark)
    return F.coalesce(one, F.lit(False))
