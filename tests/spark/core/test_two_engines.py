"""The rules of a landing, and the language that they are written in, in Spark and in DuckDB."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from feira.core.contracts import Column, ContractError, RowRule, contract
from feira.core.contracts.model import Lookup, RuleInput
from feira.core.contracts.registry import contract_files
from feira.core.contracts.rule_sql import translate
from feira.core.landing.manifest import FileManifest, ListedFile
from feira_provider.contracts.check import check
from feira_provider.contracts.rules import RuleSet, landing_rules, read_rules
from landing_cases import BESIDE, CASES, Documents, Line, validate
from sales_lines import DAY, line

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LANDING = contract("sales.landing")
RULES = read_rules(contract_files()["sales.landing"].read_text(), "sales.landing.odcs.yaml")


def as_text(served: Line) -> str:
    return served if isinstance(served, str) else orjson.dumps(served).decode()


def in_duckdb(
    lines: Iterable[Line], rules: RuleSet = RULES, beside: Documents = BESIDE
) -> list[list[str]]:
    """The rules that each line breaks, sorted, as the contract operator finds them."""
    texts = [as_text(each) for each in lines]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        page = folder / "page-00001.ndjson"
        page.write_bytes("".join(f"{each}\n" for each in texts).encode("utf-8", "surrogatepass"))
        for name, rows in beside.items():
            (folder / name).write_bytes(b"".join(orjson.dumps(each) + b"\n" for each in rows))
        listed = {name: ListedFile(str(folder / name)) for name in beside}
        facts = {"extract_day": str(DAY), "fields": LANDING.column_names}
        manifest = FileManifest("", (), listed, facts)
        (folder / "scratch").mkdir()
        kept = folder / "quarantine.parquet"
        check(
            rules,
            [str(page)],
            "ndjson",
            LocalFileSystem(),
            kept,
            scratch=folder / "scratch",
            manifest=manifest,
        )
        rows: list[dict[str, Any]] = pq.read_table(kept).to_pylist() if kept.exists() else []
    found: list[list[str]] = [[] for _ in texts]
    for row in rows:
        found[row["row_number"] - 1] = sorted(row["broken"])
    return found


@pytest.fixture(scope="module")
def judged() -> list[list[str]]:
    return in_duckdb(served for served, _ in CASES)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_a_line_breaks_the_same_rules_in_duckdb(judged: list[list[str]], number: int) -> None:
    served, expected = CASES[number]
    assert judged[number] == expected, served


@pytest.mark.parametrize("type_", ["decimal(18,4)", "double", "date", "timestamp", "array<string>"])
def test_neither_engine_reads_a_field_of_a_type_that_json_has_not(
    spark: SparkSession, type_: str
) -> None:
    """Of a contract that was made by code, and so not refused where it was read."""
    declared = replace(LANDING, columns=(*LANDING.columns, Column("discount", type_, False)))
    with pytest.raises(ContractError, match="discount is of type"):
        validate(spark, [line(discount="12,50")], declared=declared)
    with pytest.raises(ContractError, match="discount is of type"):
        landing_rules(declared)


# To shrink an example by way of Spark takes minutes; the message names line or row.
FEW = settings(
    deadline=None,
    suppress_health_check=[*HealthCheck],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)

# Lines with what goes wrong in fields, drawn at random.

TEXTS = st.text(st.characters(codec="utf-8"), max_size=5) | st.sampled_from(
    [
        *("", " ", "\t\n\x0b\f\r ", "\x1c", "\x85", "\u00a0", "\u2028", "a\0", "x" * 64, "x" * 65),
        *("\U0001f600" * 64, "e\u0301" * 33, "completed", "cancelled", "GBP", "EUR", "USD", "gbp"),
    ]
)
INTEGERS = st.integers(-3, 3) | st.sampled_from(
    [edge + step for edge in (2**31, -(2**31), 2**63, -(2**63), 2**64) for step in (-1, 0, 1)]
)
PRICES = (
    st.from_regex(r"\A-?[0-9]{1,15}(\.[0-9]{1,5})?\Z")
    | st.decimals(-(10**14), 10**14, places=4).map(str)
    | st.sampled_from(["99999999999999.9999", "64320000000000.0000", "-0", "1e3", "+1", "1_0"])
)
TIMES = (
    st.from_regex(
        r"\A(0000|0001|1582|1899|1900|2010|9999)-(02|11|12)-[0-3][0-9][T ](0|2)[0-9]:[0-6][0-9]:"
        r"[0-6][0-9](\.[0-9]{1,7})?(Z|z|[+-](00|17|18|19):(00|01|59|60))\Z"
    )
    | st.datetimes(datetime(2010, 11, 20), datetime(2010, 12, 2)).map(lambda t: f"{t.isoformat()}Z")
    | st.datetimes().map(lambda t: f"{t.isoformat(' ')}-01:00")
)
ODD = (
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | INTEGERS
    | TEXTS
    | st.lists(TEXTS, max_size=2)
    | st.dictionaries(TEXTS, TEXTS, max_size=2)
)
OF = {"unit_price": PRICES, "created_at": TIMES, "updated_at": TIMES}
OF |= dict.fromkeys(("line_number", "quantity", "customer_id"), INTEGERS)
FIELDS = {name: OF.get(name, TEXTS) | OF.get(name, TEXTS) | ODD for name in LANDING.column_names}
PIECES = st.fixed_dictionaries({}, optional=FIELDS | {"x": ODD})


@st.composite
def lines(draw: st.DrawFn) -> str:
    """A line with a few odd fields, some gone, some there again, cut short now and then."""
    odd = draw(PIECES)
    fields = [*({**line(), **odd} if draw(st.booleans()) else odd).items()]
    if draw(st.integers(0, 7)) == 0:
        fields += draw(st.lists(st.sampled_from(fields or [("x", 1)]), max_size=1))
    ascii_only = draw(st.booleans())
    written = ",".join(
        f"{json.dumps(k)}:{json.dumps(v, ensure_ascii=ascii_only)}" for k, v in fields
    )
    return f"{{{written}"[: draw(st.sampled_from([None, None, None, None, -2]))] + "}"


@settings(FEW, max_examples=6)
@given(st.lists(lines(), min_size=40, max_size=40))
def test_both_engines_find_the_same_rules_in_any_line(
    spark: SparkSession, drawn: list[str]
) -> None:
    rows = validate(spark, drawn).select("row_id", "broken_rules").collect()
    by_spark = {row["row_id"]: list(row["broken_rules"]) for row in rows}
    for number, (served, by_duckdb) in enumerate(zip(drawn, in_duckdb(drawn), strict=True)):
        assert by_duckdb == by_spark[number], served


# What is looked up in a document: of two columns, of the three days that end with the order's.

TARIFF = {"currency": "code", "country": "land"}
OF_ORDER: dict[str, Any] = {"newest": "since", "until": "order_date", "days": 2}
PRICED = replace(
    LANDING,
    rule_inputs=(
        *(each for each in LANDING.rule_inputs if each.name in ("created_time", "order_date")),
        RuleInput("price", "decimal(9,2)", None, Lookup("tariffs", TARIFF, "price", **OF_ORDER)),
        RuleInput("priced_on", "date", None, Lookup("tariffs", TARIFF, "since", **OF_ORDER)),
        RuleInput("known", "boolean", None, Lookup("tariffs", TARIFF)),
        RuleInput("member", "boolean", None, Lookup("members", {"customer_id": "id"})),
    ),
    row_rules=(
        *(RowRule(f"price_{n}", f"price = {n}", "") for n in (1, 2)),
        *(RowRule(f"day_{n}", f"priced_on = date'2010-11-{n}'", "") for n in range(20, 26)),
        RowRule("is_known", "known", ""),
        RowRule("is_member", "member", ""),
    ),
)
CODES, LANDS = st.sampled_from(["GBP", "EUR"]), st.sampled_from(["Spain", "France"])
TARIFFS = st.fixed_dictionaries(
    {
        "code": CODES,
        "land": LANDS | st.none(),
        "since": st.integers(20, 25).map(lambda day: f"2010-11-{day}"),
        "price": st.sampled_from(["1", "2.00", None]),
    }
)
ORDERS = st.builds(
    lambda day, currency, country, customer: line(
        created_at=f"2010-11-{day}T23:59:59Z",
        currency=currency,
        country=country,
        customer_id=customer,
    ),
    st.integers(19, 28),
    *(CODES | st.just("XXX"), LANDS | st.none(), st.sampled_from([1, 2, None])),
)


@settings(FEW, max_examples=3)
@given(
    st.lists(
        TARIFFS, min_size=1, max_size=12, unique_by=lambda t: (t["code"], t["land"], t["since"])
    ),
    st.lists(ORDERS, min_size=60, max_size=60),
)
def test_both_engines_look_up_the_same_values(
    spark: SparkSession, tariffs: list[dict[str, str | None]], drawn: list[dict[str, Any]]
) -> None:
    beside: Documents = {"tariffs": tariffs, "members": [{"id": "2"}, {"id": None}]}
    rows = validate(spark, drawn, declared=PRICED, beside=beside).select("row_id", "broken_rules")
    by_spark = {row["row_id"]: list(row["broken_rules"]) for row in rows.collect()}
    by_duckdb = in_duckdb(drawn, landing_rules(PRICED), beside)
    for number, (served, broken) in enumerate(zip(drawn, by_duckdb, strict=True)):
        assert broken == by_spark[number], (served, tariffs)


# The language itself: values, and not only rules.

COLUMNS = {
    "s": "string",
    "t": "string",
    "i": "int",
    "b": "bigint",
    "d": "decimal(18,4)",
    "r": "decimal(18,8)",
    "at": "timestamp",
    "day": "date",
    "yes": "boolean",
}
EXPRESSIONS = [
    "bround(d * r, 4)",
    "bround(d, 0)",
    "bround(d, 2)",
    "try_cast(bround(d * r, 4) as decimal(18,4))",
    "try_cast(d as decimal(6,4))",
    "try_cast(cast(b as decimal(19,0)) * cast(i as decimal(10,0)) as decimal(18,2))",
    "cast(i as decimal(12,2))",
    "decimal_text(s, 18, 4)",
    "decimal_text(s, 38, 37)",
    "decimal_text(s, 5, 0)",
    "zoned_time(t)",
    "cast(at as date)",
    "cast(at as date) <> day",
    "at < timestamp'1900-01-01T00:00:00+01:30'",
    "day >= date'2010-12-01'",
    "length(s)",
    "length(trim(s)) = 0",
    "trim(s)",
    "contains(s, 'x')",
    "startswith(s, t)",
    "endswith(s, '')",
    "s like '_%x%'",
    "s < t",
    "s in ('', 'x', ' ')",
    "s not in ('x', null)",
    "i between -1 and 2",
    "not (i > 0 and b <= 0 or d = 0.5)",
    "i <=> b",
    "b = d",
    "d > -1.25",
    "yes is not true",
    "yes is null or yes",
    "coalesce(s, t, 'none')",
    "case when i < 0 then 'less' when i > 0 then 'more' end",
    "if(yes, d, null)",
    r"s rlike r'^\s*\z'",
    r"s rlike r'^.x?\z'",
    r"s rlike r'[^\w\s]{2,}|\A[a-x0-9_.-]+\z'",
    r"s rlike r'^(\d+|\D*?)x\S'",
    "s = r'\\d'",
    """s <> "it's" """,
]
DECIMALS = {
    "d": st.decimals(-(10**14) + 1, 10**14 - 1, places=4)
    | st.sampled_from(["0.5", "1.5", "-2.5", "0.0050", "-99999999999999.9999"]).map(Decimal),
    "r": st.decimals(0, 10**3, places=8) | st.sampled_from(["0.5", "0.05", "1"]).map(Decimal),
}
VALUES = st.fixed_dictionaries(
    {
        "s": st.none() | TEXTS | PRICES | st.sampled_from(["x\n", "x\r\n", " x", "\\d", "it's"]),
        "t": st.none() | TIMES | TEXTS,
        "i": st.none() | st.integers(-3, 3) | st.sampled_from([-(2**31), 2**31 - 1]),
        "b": st.none() | st.integers(-3, 3) | st.sampled_from([-(2**63), 2**63 - 1]),
        **{name: st.none() | each for name, each in DECIMALS.items()},
        "at": st.none() | st.datetimes(datetime(1900, 1, 1), datetime(9999, 12, 30)),
        "day": st.none() | st.dates(date(1900, 1, 1), date(9999, 12, 30)),
        "yes": st.none() | st.booleans(),
    }
)
ARROW = {"string": pa.string(), "int": pa.int32(), "bigint": pa.int64(), "date": pa.date32()}
ARROW |= {"boolean": pa.bool_(), "timestamp": pa.timestamp("us")}
ARROW |= {f"decimal(18,{n})": pa.decimal128(18, n) for n in (4, 8)}


def evaluated(
    spark: SparkSession, rows: list[dict[str, Any]], sql: list[str]
) -> Iterator[tuple[Any, Any, str]]:
    """Each expression's value for each row, of Spark and of DuckDB; a time in microseconds."""
    table = pa.table(
        {
            name: pa.array([row[name] for row in rows], ARROW[type_])
            for name, type_ in COLUMNS.items()
        }
    )
    texts: dict[str, list[str]] = {"spark": [], "duckdb": []}
    for engine, micros in (("spark", "unix_micros"), ("duckdb", "epoch_us")):
        for number, each in enumerate(sql):
            term = translate(each, COLUMNS, engine)  # type: ignore[arg-type]
            text = f"{micros}({term.text})" if term.type == "timestamp" else term.text
            texts[engine].append(f"{text} AS e{number}")
    # As the Parquet file that a table is read from, with times in UTC.
    with tempfile.TemporaryDirectory() as folder:
        zoned = table.set_column(6, "at", table["at"].cast(pa.timestamp("us", "UTC")))
        pq.write_table(zoned, f"{folder}/rows.parquet")
        frame = spark.read.parquet(f"file://{folder}/rows.parquet")
        by_spark = frame.selectExpr(*texts["spark"]).collect()
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("rows", table)
        found = connection.execute(f"SELECT {', '.join(texts['duckdb'])} FROM rows").fetchall()
    for row, left, right in zip(rows, by_spark, found, strict=True):
        for number, each in enumerate(sql):
            yield left[number], right[number], f"{each} of {row}"


@settings(FEW, max_examples=4)
@given(st.lists(VALUES, min_size=50, max_size=50))
def test_an_expression_has_one_value_in_both_engines(
    spark: SparkSession, rows: list[dict[str, Any]]
) -> None:
    for by_spark, by_duckdb, what in evaluated(spark, rows, EXPRESSIONS):
        assert by_spark == by_duckdb, what


def test_a_text_is_blank_where_it_is_of_ascii_white_space_alone(spark: SparkSession) -> None:
    one = [*map(chr, range(0x100)), *"\u1680\u2003\u2028\u202f\u3000\ufeff\U0001f600"]
    texts = [
        "",
        "\t\n\x0b\f\r ",
        *(f"{a}{each}{z}" for each in one for a in ("", " ") for z in ("", " ")),
    ]
    rows = [dict.fromkeys(COLUMNS) | {"s": each} for each in [None, *texts]]
    found = list(evaluated(spark, rows, [r"s rlike r'^\s*\z'"]))
    assert [by_spark for by_spark, _, _ in found] == [
        None,
        *(not each.strip("\t\n\x0b\f\r ") for each in texts),
    ]
    assert [left for left, _, _ in found] == [right for _, right, _ in found]


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """A regular expression of what both engines know."""
    atoms = st.sampled_from(
        [
            *(*"ax.", r"\s", r"\S", r"\d", r"\D", r"\w", r"\W", r"\.", r"\n", "é", "[a-x]"),
            *("[^x\\s]", "[.\\d-]", "(?:a|x)", "(x|)", "[^\\w]", "\u2028"),
        ]
    )
    parts = st.tuples(atoms, st.sampled_from(["", "", "*", "+", "?", "{2}", "{0,1}", "{1,}", "*?"]))
    sides = st.lists(parts, min_size=1, max_size=4).map(lambda of: "".join(a + b for a, b in of))
    inner = "|".join(draw(st.lists(sides, min_size=1, max_size=2)))
    return (
        draw(st.sampled_from(["", "^", r"\A"])) + f"({inner})" + draw(st.sampled_from(["", r"\z"]))
    )


SUBJECTS = st.text("ax1_. \t\n\x0b\r\x85\u2028\u2029\u00a0é\u0661\U0001f600", max_size=5)


@settings(FEW, max_examples=3)
@given(st.lists(patterns(), min_size=25, max_size=25), st.lists(SUBJECTS, min_size=25, max_size=25))
def test_a_pattern_finds_the_same_in_java_and_re2(
    spark: SparkSession, drawn: list[str], subjects: list[str]
) -> None:
    rows = [dict.fromkeys(COLUMNS) | {"s": subject} for subject in subjects]
    for by_spark, by_duckdb, what in evaluated(spark, rows, [f"s rlike r'{p}'" for p in drawn]):
        assert by_spark == by_duckdb, what
