"""Whether a warehouse column holds values as they are: what it would round, cut or shift is refused.

PostgreSQL rounds 1.2399 to a numeric(12,2), 8 nanoseconds to none and a time with a zone to one
without, all in silence. So every column is first converted to its own Arrow equivalent, which loses
nothing or fails, and what is staged is the result.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_TYPE = re.compile(r"([a-z ]+?) ?(?:\((\d+)(?:,(\d+))?\))?( with time zone| without time zone)?")
_INTEGERS = {"smallint": "int16", "integer": "int32", "bigint": "int64"}
_FLOATS = {"real": "float32", "double precision": "float64"}
_TEXTS = ("text", "character varying", "character")
# Of these types of Redshift's what is equal is identical.
_EXACT = (*_INTEGERS, "numeric", "boolean", "date", "timestamp", "time")
# Arrow's types that COPY of Parquet puts into a column of Redshift's, whatever the value.
_COPIED = {
    "smallint": ("int8", "int16"),
    "integer": ("int32",),
    "bigint": ("int64",),
    "real": ("float",),
    "double precision": ("double",),
    "boolean": ("bool",),
}


class UnfitError(ValueError):
    """A value, or every value of a type, that a column cannot hold as it is."""

    def __init__(self, target: Target, found: str, cause: str) -> None:
        super().__init__(
            f"{found} in {target.column}, which its type {target.type} does not hold as it is: {cause}"
        )
        self.found = found
        self.column, self.cause = target.column, cause


@dataclass(frozen=True)
class Target:
    """A column of the warehouse, and its type as ``format_type`` of its catalog writes it."""

    column: str
    type: str
    counts_bytes: bool = False
    """Whether the type's length is one of bytes, as Redshift's is, or of characters."""
    deterministic: bool = True
    """Whether texts that are equal by the column's collation are identical, on PostgreSQL."""

    def identical(self, one: str, other: str) -> list[str]:
        """SQL of Redshift's for what makes two values of this column identical, beside that they are equal.

        Texts are equal but for blanks at their end, and for case where the column's collation says so; 0 is
        -0. What is equal of a type that is none of these, nobody has said.
        """
        base = self._parsed()[0]
        if base in _TEXTS:
            return [f"md5({one}) = md5({other})"]
        if base in _FLOATS:
            return [f"CAST({one} AS VARCHAR(32)) = CAST({other} AS VARCHAR(32))"]
        return [] if base in _EXACT else ["FALSE"]

    def is_exact(self) -> bool:
        """Whether two values of this column that are equal are identical."""
        base, digits, *_ = self._parsed()
        if base in _TEXTS:
            return self.deterministic and not self.counts_bytes
        # A numeric without a scale keeps the one that each value was written with.
        return base in (*_EXACT, "uuid") and (base != "numeric" or digits is not None)

    def convert(self, values: pa.Array) -> pa.Array:
        """The same values, of the type in Arrow that is this column's own.

        :raises UnfitError: naming the first value that the column cannot hold, or the file's type
        """
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if pa.types.is_null(values.type):
            return values
        try:
            return self._converted(values)
        except (pa.ArrowException, _ValueLostError) as error:
            raise self._first(values, str(error)) from error

    def require_copied(self, type_: pa.DataType) -> bool:
        """Whether Redshift's COPY of Parquet takes any value of the file's type; False where it depends on the
        value, which is to be converted to see.

        :raises UnfitError: for a type that it takes no value of
        """
        base, first, second, _ = self._parsed()
        if pa.types.is_dictionary(type_):
            # Arrow's own note: in the file it is a column of the values.
            type_ = type_.value_type
        if str(type_) in _COPIED.get(base, ()):
            return True
        if pa.types.is_decimal(type_) and base == "numeric" and type_.scale == (second or 0):
            return first is not None and type_.precision <= first
        looked_at = (
            (_is_text(type_) and base in _TEXTS)
            or (pa.types.is_date(type_) and base == "date")
            or (pa.types.is_timestamp(type_) and base == "timestamp")
        )
        if not looked_at:
            raise UnfitError(
                self, f"a column of type {type_}", "Redshift's COPY does not convert it"
            )
        return False

    def _parsed(self) -> tuple[str, int | None, int | None, str]:
        # timestamp(3) without time zone has its digits before the zone, as numeric(12,2) at its end.
        found = _TYPE.fullmatch(self.type)
        if found is None:
            return self.type, None, None, ""
        base, first, second, zone = found.groups()
        return base, int(first) if first else None, int(second) if second else None, zone or ""

    def _converted(self, values: pa.Array) -> pa.Array:
        base, first, second, zone = self._parsed()
        kind, types = values.type, pa.types
        if base in _INTEGERS and (_is_exact(kind) or types.is_floating(kind)):
            return values.cast(_INTEGERS[base])
        if base in _FLOATS and (types.is_integer(kind) or types.is_floating(kind)):
            return _as_float(values, _FLOATS[base])
        if base == "numeric" and types.is_floating(kind):
            return _decimals(values, first, second)
        if base == "numeric" and _is_exact(kind):
            return values if first is None else _rescaled(values, first, second or 0)
        if base == "boolean" and types.is_boolean(kind):
            return values
        if base == "date" and types.is_date(kind):
            return _in_calendar(values.cast(pa.date32()))
        if base == "timestamp" and types.is_timestamp(kind):
            if (kind.tz is not None) is (zone == " with time zone"):
                return _in_calendar(_digits(values.cast(pa.timestamp("us", kind.tz)), first))
        elif base == "time" and types.is_time(kind) and zone != " with time zone":
            return _digits(values.cast(pa.time64("us")), first)
        elif _is_text(kind) and base not in _OTHERWISE:
            return _text(values.cast(pa.string()), base, first, in_bytes=self.counts_bytes)
        cause = "it is for another kind of value"
        if types.is_nested(kind) or types.is_binary(kind):
            cause = "lists, structs and bytes cannot be staged; write them as text"
        raise UnfitError(self, f"a column of type {kind}", cause)

    def _first(self, values: pa.Array, cause: str) -> UnfitError:
        """The error for the first of the values that does not fit, found by halves."""
        while len(values) > 1:
            half = values.slice(0, len(values) // 2)
            try:
                self._converted(half)
            except (pa.ArrowException, _ValueLostError) as error:
                values, cause = half, str(error)
            else:
                values = values.slice(len(half))
        return UnfitError(self, _shown(values), cause[:200])


def fit(batch: pa.RecordBatch, targets: Sequence[Target]) -> pa.RecordBatch:
    """The batch's columns of those names, as the warehouse holds them.

    :raises UnfitError: naming column, value and type where one does not fit
    """
    columns = [target.convert(batch.column(target.column)) for target in targets]
    return pa.record_batch(columns, names=[target.column for target in targets])


def _shown(values: pa.Array) -> str:
    """The one value, as text; of times Arrow's, which also shows what no calendar has."""
    if pa.types.is_temporal(values.type):
        return str(values.cast(pa.string())[0])
    text = str(values[0].as_py())[:60]
    return text if text.isprintable() else ascii(text)[1:-1]


_OTHERWISE = (
    *(*_INTEGERS, *_FLOATS, "numeric", "boolean", "date", "timestamp", "time"),
    *("interval", "bit", "bit varying", "bytea", "money"),
)


class _ValueLostError(ValueError):
    pass


def _is_exact(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind))


def _is_text(kind: pa.DataType) -> bool:
    return str(kind) in ("string", "large_string", "string_view") or bool(pa.types.is_string(kind))


def _refuse(broken: Any, cause: str) -> None:
    """Raises where any of these booleans is true."""
    if pc.any(broken).as_py():
        raise _ValueLostError(cause)


def _as_float(values: pa.Array, name: str) -> pa.Array:
    found = values.cast(name)
    back = found.cast(values.type)
    same = pc.equal(back, values)
    if name.startswith("float") and str(values.type) in ("float", "double"):
        same = pc.or_(same, pc.and_(pc.is_nan(back), pc.is_nan(values)))
    _refuse(pc.invert(same), f"{name} holds fewer digits")
    return found


def _rescaled(values: pa.Array, precision: int, scale: int) -> pa.Array:
    if pa.types.is_integer(values.type):
        values = values.cast(pa.decimal128(20, 0))
    wide = precision > 38 or (pa.types.is_decimal256(values.type))
    made = pa.decimal256 if wide else pa.decimal128
    return values.cast(made(precision, scale))


def _decimals(values: pa.Array, precision: int | None, scale: int | None) -> pa.Array:
    """Floats as the decimals that their shortest text names, as every warehouse reads them."""
    _refuse(pc.invert(pc.is_finite(values)), "numeric holds finite numbers")
    texts = [None if value is None else repr(value) for value in values.to_pylist()]
    if precision is None:
        return pa.array(texts, pa.string())
    decimals = [None if text is None else Decimal(text) for text in texts]
    made = pa.decimal256 if precision > 38 else pa.decimal128
    return pa.array(decimals, made(precision, scale or 0))


def _digits(values: pa.Array, digits: int | None) -> pa.Array:
    """Raises where a time has more digits after the second than its column."""
    if digits is not None and digits < 6:
        unit = 10 ** (6 - digits)
        micros = values.cast(pa.int64())
        whole = pc.multiply(pc.divide(micros, unit), unit)
        _refuse(pc.not_equal(whole, micros), f"the column has {digits} digits after the second")
    return values


def _in_calendar(values: pa.Array) -> pa.Array:
    """Raises for years that are not 1 to 9999: clients cannot read them, and CSV writes them oddly."""
    if pa.types.is_date(values.type):
        low, high = pa.scalar(date.min, values.type), pa.scalar(date.max, values.type)
    else:
        zone = UTC if values.type.tz else None
        low = pa.scalar(datetime(1, 1, 1, tzinfo=zone), values.type)
        high = pa.scalar(datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=zone), values.type)
    _refuse(pc.or_(pc.less(values, low), pc.greater(values, high)), "years are 1 to 9999")
    return values


def _text(values: pa.Array, base: str, length: int | None, *, in_bytes: bool) -> pa.Array:
    _refuse(pc.match_substring(values, "\x00"), "a warehouse's text holds no U+0000")
    if length is not None:
        found = pc.binary_length(values) if in_bytes else pc.utf8_length(values)
        unit = "bytes" if in_bytes else "characters"
        _refuse(pc.greater(found, length), f"it is longer than {length} {unit}")
        if base == "character":
            if in_bytes:
                _refuse(pc.invert(pc.string_is_ascii(values)), "CHAR holds characters of one byte")
            _refuse(pc.less(found, length), f"it would be padded to {length} {unit}")
    return values
