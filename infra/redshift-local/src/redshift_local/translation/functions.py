"""Which functions Redshift has, and what each is on PostgreSQL. One that is in no list here is refused."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from redshift_local.translation.errors import (
    INVALID_PARAMETER,
    NotImitated,
    RedshiftError,
    no_function,
    syntax_error,
)
from redshift_local.translation.grammar import words_of

SCHEMA = "redshift"

_ANY = 1_000
# The least and the most arguments that Redshift has for a name: of those that have the same meaning in both,
# since PostgreSQL has forms of some that Redshift has not, and of some of this package's own.
_FORMS = {
    (0, 0): """
    pi random cume_dist dense_rank percent_rank rank row_number current_database current_schema pg_backend_pid
    """,
    (1, 1): """
    abs acos asin atan cbrt ceil ceiling cos cot degrees exp floor ln radians sign sin sqrt tan dexp dlog1 dlog10
    ascii chr initcap lower md5 octet_length quote_ident quote_literal reverse to_hex upper any_value bit_and
    bit_or bool_and bool_or count max min percentile_cont percentile_disc stddev stddev_pop stddev_samp sum
    var_pop var_samp variance first_value last_value ntile grouping current_schemas pg_get_userbyid
    pg_table_is_visible
    """,
    (1, 2): "btrim ltrim rtrim log lag lead pg_get_viewdef",
    (1, _ANY): "coalesce greatest least nvl",
    (2, 2): """
    atan2 left mod pow power repeat replicate right strpos to_char to_number timezone nullif nth_value
    format_type
    """,
    (2, 3): """
    lpad rpad substr to_date to_timestamp has_database_privilege has_schema_privilege has_table_privilege
    """,
    (3, 3): "replace split_part translate",
}
_ARGUMENTS = {name: form for form, names in _FORMS.items() for name in names.split()}

# Functions of the schema ``redshift``, in functions.sql: not in PostgreSQL, or another thing there.
OWN = words_of(
    """
    add_months avg can_json_parse concat date_part date_part_year date_trunc fnv_hash getdate is_valid_json
    is_valid_json_array json_array_length json_extract_array_element_text json_parse json_serialize last_day
    left len median months_between next_day regexp_count regexp_instr regexp_replace regexp_substr right round
    sha2 split_part strtol sysdate to_date to_timestamp trunc version
    """
)

_RENAMED = {
    "char_length": (SCHEMA, "len"),
    "character_length": (SCHEMA, "len"),
    "length": (SCHEMA, "len"),
    "textlen": (SCHEMA, "len"),
    "dexp": ("", "exp"),
    "dlog1": ("", "ln"),
    "dlog10": ("", "log"),
    "nvl": ("", "coalesce"),
    "pow": ("", "power"),
    "replicate": ("", "repeat"),
}

# Date parts as people write them, and as PostgreSQL does.
_PARTS = {
    "millennium": "millennium millennia mil mils",
    "century": "century centuries c cent cents",
    "decade": "decade decades dec decs",
    "year": "year years y yr yrs",
    "quarter": "quarter quarters qtr qtrs",
    "month": "month months mon mons",
    "week": "week weeks w",
    "day": "day days d",
    "hour": "hour hours h hr hrs",
    "minute": "minute minutes m min mins",
    "second": "second seconds s sec secs",
    "milliseconds": "millisecond milliseconds ms msec msecs msecond mseconds millisec millisecs millisecon",
    "microseconds": "microsecond microseconds microsec microsecs usecond useconds us usec usecs",
    "dow": "dow dayofweek dw weekday",
    "doy": "doy dayofyear dy yearday",
    "epoch": "epoch",
    "timezone": "timezone",
    "timezone_hour": "timezone_hour",
    "timezone_minute": "timezone_minute",
}
_PART_NAMES = {word: part for part, words in _PARTS.items() for word in words.split()}
_ONLY_READ = {"dow", "doy", "epoch", "timezone", "timezone_hour", "timezone_minute"}

# These run on the leader node, where no table's rows are.
_LEADER_ONLY = {
    "generate_series": "write a recursive CTE, or read a table of numbers",
    "now": "write GETDATE() or SYSDATE",
    "age": "write DATEDIFF",
    "isfinite": "",
    "current_time": "write GETDATE()::time",
    "current_timestamp": "write GETDATE() or SYSDATE",
    "localtime": "write GETDATE()::time",
    "localtimestamp": "write GETDATE() or SYSDATE",
}

_INSTEAD = {
    "string_agg": "write LISTAGG(…) WITHIN GROUP (ORDER BY …)",
    "array_agg": "write LISTAGG(…) WITHIN GROUP (ORDER BY …)",
    "unnest": "read the elements of a SUPER value in FROM",
    "gen_random_uuid": "Redshift makes no UUIDs: MD5(RANDOM()::varchar) is as long",
    "to_json": "write JSON_SERIALIZE of a SUPER value",
    "jsonb_build_object": "write JSON text, and JSON_PARSE it to SUPER",
    "concat_ws": "write a || ',' || b",
    "format": "write a || b",
    "date_add": "write DATEADD",
    "date_diff": "write DATEDIFF",
}

# Redshift's, and not here.
_NOT_IMITATED = words_of(
    """
    array array_concat array_contains array_distinct array_flatten array_position bpcharcmp checksum crc32
    date_cmp date_cmp_timestamp date_cmp_timestamptz difference explode_json factorial from_hex from_varbyte
    func_sha1 get_array_length get_array_element getbit grouping_id hll interval_cmp is_array is_bigint
    is_boolean is_char is_decimal is_float is_integer is_object is_scalar is_smallint is_varchar json_size
    json_typeof last_user_query_id lower_attribute_names object object_transform octetindex
    pg_cancel_backend pg_last_copy_count pg_last_copy_id pg_last_query_id pg_last_unload_count
    pg_terminate_backend sha sha1 slice_num soundex split_to_array subarray text_to_int_alt
    text_to_numeric_alt timeofday timestamp_cmp timestamp_cmp_date timestamp_cmp_timestamptz timestamptz_cmp
    timestamptz_cmp_date timestamptz_cmp_timestamp to_varbyte try_cast upper_attribute_names
    """
)

_FAMILIES = ("h3_", "hll_", "st_")

# With ORDER BY these ask for a frame; PostgreSQL takes one by itself.
_FRAMED = words_of(
    """
    any_value avg bool_and bool_or count first_value last_value max min nth_value stddev stddev_pop
    stddev_samp sum var_pop var_samp variance
    """
)


def name_of(call: exp.Anonymous) -> str:
    this = call.this
    return (this.name if isinstance(this, exp.Expression) else str(this)).lower()


def own(name: str, *arguments: exp.Expr) -> exp.Expr:
    """A call of a function of the schema ``redshift``."""
    return exp.Dot(
        this=exp.to_identifier(SCHEMA),
        expression=exp.Anonymous(this=name, expressions=list(arguments)),
    )


def _plain(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))


def date_part(argument: exp.Expr, function: str, *, read: bool = False) -> exp.Literal:
    """PostgreSQL's name of the date part that ``argument`` is: a bare word or a text."""
    word = argument.name.lower()
    part = _PART_NAMES.get(word)
    constant = (isinstance(argument, exp.Literal) and argument.is_string) or (
        isinstance(argument, (exp.Column, exp.Var)) and "." not in argument.sql()
    )
    if not constant or part is None or (part in _ONLY_READ and not read):
        raise RedshiftError(
            f'"{argument.name}" is not a date part that {function} takes',
            sqlstate=INVALID_PARAMETER,
            hint="parts are " + ", ".join(sorted(set(_PARTS) - (set() if read else _ONLY_READ))),
        )
    return exp.Literal.string(part)


def _arguments(call: exp.Anonymous, least: int, most: int) -> list[exp.Expr]:
    found: list[exp.Expr] = list(call.expressions)
    if not least <= len(found) <= most:
        raise no_function(f"{name_of(call)} with {len(found)} arguments")
    return found


def _dateadd(call: exp.Anonymous) -> exp.Expr:
    part, number, value = _arguments(call, 3, 3)
    return own("dateadd", date_part(part, "DATEADD"), number, value)


def _datediff(call: exp.Anonymous) -> exp.Expr:
    part, first, last = _arguments(call, 3, 3)
    return own(
        "datediff",
        date_part(part, "DATEDIFF"),
        own("as_timestamp", first),
        own("as_timestamp", last),
    )


def _date_part(call: exp.Anonymous) -> exp.Expr:
    part, value = _arguments(call, 2, 2)
    return own("date_part", date_part(part, "DATE_PART", read=True), value)


def _date_trunc(call: exp.Anonymous) -> exp.Expr:
    part, value = _arguments(call, 2, 2)
    return own("date_trunc", date_part(part, "DATE_TRUNC"), value)


def _convert_timezone(call: exp.Anonymous) -> exp.Expr:
    *zones, value = _arguments(call, 2, 3)
    source = zones[0] if len(zones) == 2 else exp.Literal.string("UTC")
    return own("convert_timezone", source, zones[-1], value)


def _nvl2(call: exp.Anonymous) -> exp.Expr:
    value, known, unknown = _arguments(call, 3, 3)
    condition = exp.Not(this=exp.Is(this=exp.Paren(this=value), expression=exp.Null()))
    return exp.Case(ifs=[exp.If(this=condition, true=known)], default=unknown)


def _decode(call: exp.Anonymous) -> exp.Expr:
    """Unlike ``=``, DECODE finds NULL equal to NULL."""
    value, *rest = _arguments(call, 3, 1_000)
    pairs = list(zip(rest[::2], rest[1::2], strict=False))
    ifs = [
        exp.If(
            this=exp.NullSafeEQ(
                this=exp.Paren(this=value.copy()), expression=exp.Paren(this=search)
            ),
            true=result,
        )
        for search, result in pairs
    ]
    return exp.Case(ifs=ifs, default=rest[-1] if len(rest) % 2 else None)


def _charindex(call: exp.Anonymous) -> exp.Expr:
    part, text = _arguments(call, 2, 2)
    return _plain("strpos", text, part)


def _json_path(call: exp.Anonymous) -> exp.Expr:
    value, *path = _arguments(call, 2, 6)
    quiet = isinstance(path[-1], exp.Boolean) and path.pop().this
    return own(
        "json_extract_path_text_or_null" if quiet else "json_extract_path_text", value, *path
    )


_REWRITTEN: dict[str, Callable[[exp.Anonymous], exp.Expr]] = {
    "charindex": _charindex,
    "convert_timezone": _convert_timezone,
    "date_part": _date_part,
    "date_trunc": _date_trunc,
    "dateadd": _dateadd,
    "datediff": _datediff,
    "decode": _decode,
    "json_extract_path_text": _json_path,
    "nvl2": _nvl2,
}


def refuse_unknown(call: exp.Anonymous) -> None:
    """Raises for a function that Redshift does not have, and for one of Redshift's that is not here."""
    name = name_of(call)
    if name == "values":
        raise syntax_error(
            "VALUES",
            "VALUES stands in INSERT and MERGE alone; elsewhere SELECT … UNION ALL SELECT …",
        )
    if name == "row":
        raise RedshiftError("row constructors are not supported")
    if name in _LEADER_ONLY:
        raise leader_only(name)
    if name in _NOT_IMITATED or name.startswith(_FAMILIES):
        raise NotImitated(f"the function {name.upper()}")
    if name in ("lag", "lead") and len(call.expressions) == 3:
        raise RedshiftError(
            f"Default parameter not be supported for window function {name}",
            hint="write COALESCE around the window function",
        )
    if name in _ARGUMENTS:
        _arguments(call, *_ARGUMENTS[name])
        return
    known = name in OWN or name in _RENAMED or name in _REWRITTEN
    if not known and name not in ("listagg", "ratio_to_report"):
        raise no_function(f"{name}(…)", _INSTEAD.get(name, ""))


def leader_only(name: str) -> RedshiftError:
    """The refusal of a function that runs where no table's rows are."""
    instead = f"; {_LEADER_ONLY[name]}" if _LEADER_ONLY[name] else ""
    return RedshiftError(
        "Specified types or functions (one per INFO message) not supported on Redshift tables.",
        hint=f"{name.upper()} runs on the leader node alone{instead}",
    )


def refuse_window(window: exp.Window) -> None:
    """Raises for a window that Redshift does not take."""
    function = window.this
    while isinstance(function, (exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls)):
        function = function.this
    name = name_of(function) if isinstance(function, exp.Anonymous) else ""
    spec = window.args.get("spec")
    if name in ("lag", "lead"):
        if not window.args.get("order"):
            raise RedshiftError(
                f"window function {name} requires an ORDER BY clause", sqlstate="42P20"
            )
        if spec:
            raise RedshiftError(f"window function {name} has no frame clause", sqlstate="42P20")
    if name in _FRAMED and window.args.get("order") and not spec:
        raise RedshiftError(
            "Aggregate window functions with an ORDER BY clause require a frame clause",
            hint="add ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW, or the frame that is meant",
        )
    if spec and str(spec.args.get("kind")).upper() != "ROWS":
        raise RedshiftError(
            f"window frame {str(spec.args.get('kind')).upper()} is not supported", hint="write ROWS"
        )
    if spec and spec.args.get("exclude"):
        raise syntax_error("EXCLUDE")


def translated(call: exp.Anonymous) -> exp.Expr:
    """The call on PostgreSQL. LISTAGG and RATIO_TO_REPORT, which take more than their call, stay."""
    name = name_of(call)
    rewrite = _REWRITTEN.get(name)
    if rewrite:
        return rewrite(call)
    if name in _RENAMED:
        schema, other = _RENAMED[name]
        return own(other, *call.expressions) if schema else _plain(other, *call.expressions)
    if name in OWN:
        return own(name, *call.expressions)
    return _plain(name, *call.expressions)


def listagg(call: exp.Anonymous, order: exp.Order | None, *, windowed: bool) -> exp.Expr:
    """LISTAGG as an aggregate of this package: ``order`` goes into the call, or stays out of a window's."""
    arguments = list(call.expressions)
    distinct = len(arguments) == 1 and isinstance(arguments[0], exp.Distinct)
    if distinct:
        arguments = list(arguments[0].expressions)
    if not 1 <= len(arguments) <= 2:
        raise no_function(f"listagg with {len(arguments)} arguments")
    value, *rest = arguments
    separator = rest[0] if rest else exp.Literal.string("")
    if windowed:
        if distinct:
            raise NotImitated("LISTAGG(DISTINCT …) as a window function")
        return own("listagg", value, separator)
    last: exp.Expr = (
        exp.Order(this=separator, expressions=order.expressions) if order else separator
    )
    if distinct:
        return own("listagg", exp.Distinct(expressions=[value]), last)
    return own("listagg", value, last)
