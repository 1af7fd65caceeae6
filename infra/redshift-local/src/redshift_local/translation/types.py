"""Redshift's types: which words name one, what a bare one means, and how each is stored in PostgreSQL."""

from __future__ import annotations

from sqlglot import exp

from redshift_local.translation.dialect import WORD, written
from redshift_local.translation.errors import INVALID_PARAMETER, NotImitated, RedshiftError, no_type
from redshift_local.translation.grammar import words_of

MAX_VARCHAR = 65_535
MAX_CHAR = 4_096
MAX_PRECISION = 38

_WORDS = words_of(
    """
    smallint int2 integer int int4 bigint int8 decimal numeric dec real float4 double float8 float boolean
    bool char character nchar bpchar varchar nvarchar text date time timetz timestamp timestamptz interval
    super varbyte varbinary binary
    """
)
_ELSEWHERE = {
    "json": "SUPER, or VARCHAR and the JSON functions",
    "jsonb": "SUPER, or VARCHAR and the JSON functions",
    "uuid": "CHAR(36)",
    "serial": "INT IDENTITY(1,1)",
    "smallserial": "INT IDENTITY(1,1)",
    "bigserial": "BIGINT IDENTITY(1,1)",
    "serial4": "INT IDENTITY(1,1)",
    "serial8": "BIGINT IDENTITY(1,1)",
    "bytea": "VARBYTE",
    "money": "DECIMAL(19,2)",
    "xml": "VARCHAR",
    "inet": "VARCHAR(39)",
    "hstore": "SUPER",
    "bit": "BOOLEAN",
}
_LATER = frozenset({"geometry", "geography", "hllsketch"})


def word(type_: exp.DataType) -> str:
    """The word that the type was written with; the first where there are several."""
    written = str(type_.meta.get(WORD, "")).strip('"').split()
    return written[0] if written else ""


def _sized(name: str, *sizes: int) -> exp.DataType:
    return exp.DataType(
        this=exp.DType[name],
        expressions=[exp.DataTypeParam(this=exp.Literal.number(size)) for size in sizes],
    )


def _sizes(type_: exp.DataType, most: int) -> list[int]:
    found = []
    for parameter in type_.expressions:
        text = parameter.name if isinstance(parameter, exp.DataTypeParam) else ""
        if text.lower() == "max" and type_.is_type("varchar"):
            found.append(MAX_VARCHAR)
        elif text.isdigit():
            found.append(int(text))
        else:
            raise no_type(written(type_).lower())
    if len(found) > most:
        raise no_type(written(type_).lower())
    return found


def refuse_unknown(type_: exp.DataType, column: str = "") -> None:
    """Raises for a type that Redshift does not have; ``column`` is named where the type is a column's."""
    if type_.this == exp.DType.ARRAY or type_.args.get("nested"):
        array = written(type_).lower()
        raise (
            RedshiftError(f'Column "{column}" has unsupported type "{array}".', hint="write SUPER")
            if column
            else RedshiftError(f"array type {array} is not supported", hint="write SUPER")
        )
    name = word(type_)
    if name in _LATER:
        raise NotImitated(f"the type {name.upper()}")
    if name not in _WORDS:
        instead = f"write {_ELSEWHERE[name]}" if name in _ELSEWHERE else ""
        if column and name in _ELSEWHERE:
            raise RedshiftError(f'Column "{column}" has unsupported type "{name}".', hint=instead)
        raise no_type(name or written(type_).lower(), instead)


def stored(type_: exp.DataType, *, column: bool) -> exp.DataType:
    """The type in PostgreSQL. Without a size a ``column`` gets Redshift's, as a cast to a number does."""
    kind = type_.this
    if kind in (exp.DType.VARCHAR, exp.DType.NVARCHAR, exp.DType.TEXT):
        sizes = _sizes(type_, 1)
        size = sizes[0] if sizes else 256
        if not 1 <= size <= MAX_VARCHAR:
            raise RedshiftError(
                f"length for type varchar cannot exceed {MAX_VARCHAR}", sqlstate=INVALID_PARAMETER
            )
        return _sized("VARCHAR", size) if sizes or column else _sized("VARCHAR")
    if kind in (exp.DType.CHAR, exp.DType.NCHAR, exp.DType.BPCHAR):
        sizes = _sizes(type_, 1)
        size = sizes[0] if sizes else 256 if word(type_) == "bpchar" else 1
        if not 1 <= size <= MAX_CHAR:
            raise RedshiftError(
                f"length for type char cannot exceed {MAX_CHAR}", sqlstate=INVALID_PARAMETER
            )
        return _sized("CHAR", size)
    if kind == exp.DType.DECIMAL:
        precision, scale = (
            [*_sizes(type_, 2), 18, 0][:2]
            if not type_.expressions
            else ([*_sizes(type_, 2), 0][:2])
        )
        if not 1 <= precision <= MAX_PRECISION:
            raise RedshiftError(
                f"DECIMAL precision {precision} must be between 1 and {MAX_PRECISION}",
                sqlstate=INVALID_PARAMETER,
            )
        if scale > precision or scale > 37:
            raise RedshiftError(
                f"DECIMAL scale {scale} must be between 0 and precision {precision}",
                sqlstate=INVALID_PARAMETER,
            )
        return _sized("DECIMAL", precision, scale)
    if kind == exp.DType.SUPER:
        return exp.DataType(this=exp.DType.JSONB)
    if kind in (exp.DType.VARBINARY, exp.DType.BINARY):
        return exp.DataType(this=exp.DType.VARBINARY)
    if kind in (exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ, exp.DType.TIME, exp.DType.TIMETZ) and (
        type_.expressions
    ):
        raise no_type(written(type_).lower(), "Redshift's times have six digits and no precision")
    plain = type_.copy()
    plain.meta.pop(WORD, None)
    return plain
