"""A dataset is read whole or refused: cut and damaged files, manifests not met, lines that are no rows."""

from __future__ import annotations

import gzip
import hashlib
import json
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from feira.core.landing.manifest import ListedFile
from feira_provider.contracts.check import CheckResult, check
from feira_provider.contracts.rules import read_rules
from feira_provider.datasets.files import DatasetError

Row = dict[str, Any]


def rules_of(*properties: Row) -> Any:
    schema = [{"name": "s", "properties": list(properties)}]
    return read_rules(yaml.safe_dump({"apiVersion": "v3.1.0", "schema": schema}), "c.yaml")


NUMBERS = rules_of({"name": "a", "logicalType": "number"})
ROWS = 5000
CSV = b"a\n" + b"".join(b"%d\n" % n for n in range(ROWS))
NDJSON = b"".join(b'{"a": %d}\n' % n for n in range(ROWS))


def parquet(**columns: Any) -> bytes:
    sink = BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def checked(
    bodies: dict[str, bytes],
    file_format: str,
    rules: Any = NUMBERS,
    stated: dict[str, Row] | None = None,
) -> tuple[CheckResult, list[Row]]:
    """What the check finds in these files, and its quarantine."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "scratch").mkdir()
        listed = []
        for name, body in bodies.items():
            path = Path(folder) / name
            path.write_bytes(body)
            listed.append(ListedFile(str(path), **(stated or {}).get(name, {})))
        kept = Path(folder) / "quarantine.parquet"
        scratch = Path(folder) / "scratch"
        found = check(rules, listed, file_format, LocalFileSystem(), kept, scratch=scratch)
        return found, pq.read_table(kept).to_pylist() if kept.exists() else []


def broken(found: CheckResult) -> dict[str, int]:
    return {each.rule: int(each.count) for each in found.rules if not each.kept}


def refused(bodies: dict[str, bytes], file_format: str, **options: Any) -> str:
    with pytest.raises(DatasetError) as error:
        checked(bodies, file_format, **options)
    return str(error.value)


PACKED = gzip.compress(CSV, mtime=0)
DAMAGE = {
    "cut in half": (PACKED[: len(PACKED) // 2], "cut short"),
    "cut by a byte": (PACKED[:-1], "cut short"),
    "cut in its header": (PACKED[:5], "cut short"),
    "wrong CRC": (PACKED[:-8] + bytes([PACKED[-8] ^ 1]) + PACKED[-7:], "data check"),
    "wrong length": (PACKED[:-1] + bytes([PACKED[-1] ^ 1]), "length check"),
    "one bit of its data": (
        PACKED[:2000] + bytes([PACKED[2000] ^ 4]) + PACKED[2001:],
        "damaged",
    ),
    "text after it": (PACKED + b"1\n2\n", "bytes follow"),
    "text after its padding": (PACKED + b"\0" * 9 + PACKED, "bytes follow"),
    "its second member cut": (PACKED + PACKED[:-3], "cut short"),
    "not packed": (CSV, "not packed"),
    "no byte": (b"", "empty"),
    "another packing": (b"\x28\xb5\x2f\xfd" + CSV, "zstd"),
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_damaged_gzip_file_is_refused_wherever_it_stands(kind: str, place: str) -> None:
    body, cause = DAMAGE[kind]
    names = ["a.csv.gz", "b.csv.gz"] if place == "first" else ["b.csv.gz", "a.csv.gz"]
    message = refused(dict(zip(names, [body, PACKED], strict=True)), "csv")
    assert f"{names[0]} cannot be read" in message and cause in message


@pytest.mark.parametrize("cut", [1, 9, 30, 1000])
def test_ndjson_and_parquet_that_are_cut_short_are_refused(cut: int) -> None:
    message = refused({"a.ndjson.gz": gzip.compress(NDJSON)[:-cut]}, "ndjson")
    assert "a.ndjson.gz cannot be read" in message and "cut short" in message
    whole = parquet(a=list(range(ROWS)))
    message = refused({"b.parquet": whole, "a.parquet": whole[:-cut]}, "parquet")
    assert "/a.parquet cannot be read" in message


@pytest.mark.parametrize("packing", ["gzip", "bzip2", "zstd", "zip", "xz"])
def test_a_file_that_is_packed_without_saying_so_is_refused(packing: str) -> None:
    magic = {
        "gzip": PACKED,
        "bzip2": b"BZh91AY&SY",
        "zstd": b"\x28\xb5\x2f\xfd",
        "zip": b"PK\x03\x04",
        "xz": b"\xfd7zXZ\x00",
    }
    assert f"packed with {packing}" in refused({"a.csv": magic[packing]}, "csv")


@settings(max_examples=30, deadline=None)
@given(
    parts=st.lists(st.integers(0, 400), min_size=1, max_size=4),
    level=st.integers(0, 9),
    padding=st.integers(0, 600),
)
def test_members_of_any_size_are_read_as_one_file(
    parts: list[int], level: int, padding: int
) -> None:
    body = b"".join(gzip.compress(b'{"a": 1}\n' * rows, level) for rows in parts) + b"\0" * padding
    found, _ = checked({"a.ndjson.gz": body}, "ndjson")
    assert (found.rows, found.invalid) == (sum(parts), 0)


@pytest.mark.parametrize(
    ("name", "body", "file_format"),
    [
        ("a.csv", CSV, "csv"),
        ("a.csv.gz", PACKED, "csv"),
        ("a.ndjson", NDJSON, "ndjson"),
        ("a.parquet", parquet(a=list(range(ROWS))), "parquet"),
    ],
)
def test_a_manifest_is_met_in_size_digest_and_rows_or_the_file_is_refused(
    name: str, body: bytes, file_format: str
) -> None:
    right = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest(), "rows": ROWS}
    found, _ = checked({name: body}, file_format, stated={name: right})
    assert found.rows == ROWS
    for what, value, words in (
        ("size", len(body) + 1, f"size of {len(body) + 1} bytes, found {len(body)} bytes"),
        ("sha256", "0" * 64, f"SHA-256 of {'0' * 64}, found {right['sha256']}"),
        ("rows", ROWS + 1, f"row count of {ROWS + 1} rows, found {ROWS} rows"),
        ("rows", ROWS - 1, f"row count of {ROWS - 1} rows, found {ROWS} rows"),
        ("rows", 0, f"row count of 0 rows, found {ROWS} rows"),
    ):
        other = {"z" + name: body, name: body}
        message = refused(other, file_format, stated={name: {what: value}})
        assert f"/{name}: " in message and words in message


def test_a_listed_file_that_is_not_there_is_named() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for file_format in ("csv", "ndjson", "parquet"):
            url = f"{folder}/none.{file_format}"
            with pytest.raises(DatasetError, match=f"{url} does not exist"):
                check(
                    NUMBERS,
                    [url],
                    file_format,
                    LocalFileSystem(),
                    Path(folder) / "q",
                    scratch=Path(tempfile.mkdtemp(dir=folder)),
                )


# Lines that are no rows.


@pytest.mark.parametrize(
    "line",
    [
        '{"a":1,}',
        '{"a":NaN}',
        '{"a":Infinity}',
        '{"a":-Infinity}',
        '{"a":1} // one',
        '{"a":/* one */1}',
        "{'a':1}",
        "{a:1}",
        '{"a":1_000}',
        '{"a":01}',
        '{"a":+1}',
        '{"a":0x10}',
        '{"a":.5}',
        '{"a":5.}',
        '{"a":"\\ud800"}',
        '{"a":"tab\there"}',
        '{"a":1}{"a":2}',
        '{"a":1',
        "[1]",
        "null",
        "1",
        '"a"',
        "",
        "   ",
        '{"a":' + "[" * 3000 + "]" * 3000 + "}",
    ],
)
def test_a_line_that_is_not_one_strict_json_object_is_that_lines_fault(line: str) -> None:
    body = f'{{"a":1}}\n{line}\n{{"a":2}}\n'.encode()
    found, kept = checked({"a.ndjson": body}, "ndjson")
    assert (found.rows, found.invalid, broken(found)) == (3, 1, {"line": 1})
    assert [(row["row_number"], row["line"], row["broken"]) for row in kept] == [
        (2, line, ["line"])
    ]


@pytest.mark.parametrize(
    "raw", [b'{"a":"\xff"}', "{'a':'é'}".encode("latin-1"), b'{"\xed\xa0\x80":1}']
)
def test_bytes_that_are_no_utf_8_are_that_lines_fault(raw: bytes) -> None:
    found, kept = checked({"a.ndjson": b'{"a":1}\n' + raw + b'\n{"a":2}'}, "ndjson")
    assert (found.rows, broken(found)) == (3, {"line": 1}) and kept[0]["row_number"] == 2
    found, kept = checked({"a.csv": b"a\n1\n\xff\xfe\n2\n"}, "csv")
    assert (found.rows, broken(found)) == (3, {"line": 1}) and kept[0]["row_number"] == 2


@pytest.mark.parametrize(
    "line",
    [
        '{"a":1,"a":1}',
        '{"a" :1,"a"\t: 2}',
        '{"a":1,"b":{"c":1,"c":2}}',
        '{"a":1,"b":[{"c":1},{"c":1,"c":2}]}',
        '{"a":1,"\\u0061":2}',
        '{"a":1,"a":2,"t":":"}',
        '{"a":1,"a":2,"t":"\\u003a"}',
        '{"a":1,"x":"\\":","a":2}',
    ],
)
def test_a_key_that_an_object_has_twice_is_one_rule(line: str) -> None:
    found, kept = checked({"a.ndjson": f'{line}\n{{"a":1}}'.encode()}, "ndjson")
    assert broken(found) == {"duplicate_key": 1} and found.invalid == 1
    assert [row["line"] for row in kept] == [line]


KEYS = st.sampled_from(["a", "b", "a:", '":', "é", "\\u003a"])


PAIRS = st.recursive(
    st.lists(st.tuples(KEYS, st.integers() | st.text(max_size=4)), max_size=3),
    lambda inner: st.lists(st.tuples(KEYS, inner), max_size=3),
    max_leaves=5,
)


@settings(max_examples=20, deadline=None)
@given(st.lists(PAIRS, min_size=1, max_size=15))
def test_duplicate_keys_are_found_at_any_depth_whatever_the_texts_hold(drawn: list[Any]) -> None:
    def written(value: Any) -> tuple[str, bool]:
        if not isinstance(value, list):
            return json.dumps(value, ensure_ascii=value != "é"), False
        parts = [(key, *written(inner)) for key, inner in value]
        text = ", ".join(f"{json.dumps(key)} : {inner}" for key, inner, _ in parts)
        keys = [key for key, _ in value]
        return f"{{{text}}}", len(set(keys)) < len(keys) or any(twice for *_, twice in parts)

    lines = [written(pairs) for pairs in drawn]
    body = "".join(f"{line}\n" for line, _ in lines) + '{"a":1}'
    found, kept = checked({"a.ndjson": body.encode()}, "ndjson")
    assert not any(each.rule == "line" and each.count for each in found.rules)
    broken = [row["line"] for row in kept if "duplicate_key" in row["broken"]]
    assert broken == [line for line, twice in lines if twice]


@pytest.mark.parametrize(
    ("text", "right"),
    [
        *[(text, False) for text in ("1_000", "1e400", "-1e400", " 5 ", "nan", "NaN", "inf")],
        *[(text, False) for text in ("-Infinity", "--5", "0x10", "1e", "1,5", "1 2", "٣", "5\t")],
        *[(text, True) for text in ("1000", "-5", "+1", "007", "1e5", "1.50", ".5", "5.", "1E-3")],
    ],
)
def test_a_number_of_csv_is_decimal_digits_and_finite(text: str, right: bool) -> None:
    found, _ = checked({"a.csv": f'a,b\n1,\n"{text}",\n'.encode()}, "csv")
    assert broken(found) == ({} if right else {"a.type": 1})


@pytest.mark.parametrize(
    ("type_", "text", "right"),
    [
        *[("date", text, False) for text in ("0000-01-01", "10000-01-01", "2010-02-29", "today")],
        ("date", "0001-01-01", True),
        *[("time", text, False) for text in ("24:00", "23:59:60", "12:60", "12:00Z")],
        ("time", "23:59:59.999999999", True),
        *[
            ("timestamp", f"2010-12-01T{text}", False)
            for text in (
                "24:00:00Z",
                "23:59:60Z",
                "00:00:00+99:99",
                "00:00:00+24:00",
                "00:00:00+01:60",
            )
        ],
        *[
            ("timestamp", f"2010-12-01T00:00:00{text}", True)
            for text in ("+14:00", "-18:00", " UTC")
        ],
        ("zoned", "2010-12-01", False),
        ("zoned", "2010-12-01 08:26", False),
        ("zoned", "2010-12-01T08:26:00 UTC", True),
    ],
)
def test_a_moment_is_one_of_the_calendar_with_a_zone_that_there_is(
    type_: str, text: str, right: bool
) -> None:
    column = {"name": "a", "logicalType": type_}
    if type_ == "zoned":
        column |= {"logicalType": "timestamp", "logicalTypeOptions": {"timezone": True}}  # type: ignore[dict-item]
    found, _ = checked({"a.csv": f'a,b\n"{text}",\n'.encode()}, "csv", rules_of(column))
    assert broken(found) == ({} if right else {"a.type": 1})


@pytest.mark.parametrize(
    "body",
    [b"<Error><Code>SlowDown</Code></Error>", b"A\n", b"b,c\n", b"\xef\xbb\xbf\xef\xbb\xbfa\n"],
)
def test_a_header_without_the_column_fails_though_no_row_follows(body: bytes) -> None:
    found, _ = checked({"a.csv": body}, "csv", rules_of({"name": "a"}))
    assert (found.rows, [each.rule for each in found.failures]) == (0, ["a.present"])
    assert not checked({"a.csv": b"a\n"}, "csv", rules_of({"name": "a"}))[0].failures


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_csv_of_another_encoding_is_refused_by_its_header(encoding: str) -> None:
    assert "as UTF-8" in refused({"a.csv": "a,b\n1,2\n".encode(encoding)}, "csv")


def test_a_json_number_beyond_a_double_is_its_columns_fault() -> None:
    body = b'{"a":1e400}\n{"a":-1e400}\n{"a":1e-400}\n{"a":12345678901234567890123}\n'
    found, _ = checked({"a.ndjson": body}, "ndjson")
    assert broken(found) == {"a.type": 2}


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=15))
def test_any_text_in_quotes_comes_out_of_csv_as_it_went_in(rows: list[tuple[str, str]]) -> None:
    def field(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    body = "\n".join(["a,b", *(f"{field(a)},{field(b)}" for a, b in rows)]).encode()
    rules = rules_of({"name": "a"}, {"name": "b", "enum": [{"value": "in no text of these"}]})
    found, kept = checked({"a.csv": body}, "csv", rules)
    assert found.rows == len(rows) and set(broken(found)) <= {"b.enum"}
    wanted = [(a or None, b) for a, b in rows if b]
    assert [(row["row"]["a"], row["row"]["b"]) for row in kept] == wanted


def test_a_quote_that_is_not_closed_costs_its_own_line_alone() -> None:
    rules = rules_of({"name": "a"}, {"name": "b"})
    body = b'a,b\n1,x\n2,"y\n3,z\n4,"w"\n5,v\n6,"open to the end\n7,u\n'
    found, kept = checked({"a.csv": body}, "csv", rules)
    assert (found.rows, found.invalid) == (7, 2)
    assert [(row["row_number"], row["line"]) for row in kept] == [
        (2, '2,"y'),
        (6, '6,"open to the end'),
    ]


def test_blank_lines_and_byte_order_marks_are_no_rows() -> None:
    body = b"\xef\xbb\xbfa,b\r\n1,x\r\n\r\n2,y\r\n"
    assert checked({"a.csv": body}, "csv")[0].rows == 2
    assert checked({"a.ndjson": b'\xef\xbb\xbf{"a":1}\r\n{"a":2}\r\n'}, "ndjson")[0].invalid == 0


# Columns whose names differ in case.


@pytest.mark.parametrize(
    ("first", "second"), [(["id", "ID"], None), (["id"], ["Id"]), (["x", "straße"], ["STRASSE"])]
)
@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_columns_that_differ_in_case_alone_are_refused(
    first: list[str], second: list[str] | None, file_format: str
) -> None:
    def body(names: list[str]) -> bytes:
        if file_format == "csv":
            return (",".join(names) + "\n" + ",".join("1" for _ in names) + "\n").encode()
        return parquet(**{name: ["1"] for name in names})

    bodies = {f"1.{file_format}": body(first)}
    if second:
        bodies[f"2.{file_format}"] = body(second)
    message = refused(bodies, file_format, rules=rules_of({"name": first[-1]}))
    assert f"/{'2' if second else '1'}.{file_format} has" in message
    assert repr(first[-1]) in message and repr((second or ["id"])[-1]) in message


@pytest.mark.parametrize("file_format", ["csv", "parquet", "ndjson"])
def test_a_column_is_never_taken_for_one_of_other_case(file_format: str) -> None:
    body = {"csv": b"ID\n1\n", "parquet": parquet(ID=["1"]), "ndjson": b'{"ID":"1"}\n'}
    found, _ = checked({"a": body[file_format]}, file_format, rules_of({"name": "id"}))
    assert [each.rule for each in found.failures] == ["id.present"]
    assert found.unknown_columns == ("ID",)


def test_json_fields_that_differ_in_case_are_judged_apart() -> None:
    rules = rules_of({"name": "id", "required": True})
    found, kept = checked({"a": b'{"ID":"1"}\n{"id":"1"}\n{"ID":2,"id":"1"}\n'}, "ndjson", rules)
    assert broken(found) == {"id.required": 1} and kept[0]["row_number"] == 1


# Values.


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32()])
def test_nan_and_the_infinities_are_no_numbers(kind: pa.DataType) -> None:
    column = pa.array([1.0, float("nan"), float("inf"), float("-inf"), None], kind)
    for setting in (
        {"required": True, "logicalTypeOptions": {"minimum": 0}},
        {"logicalTypeOptions": {"maximum": 10}},
        {"logicalTypeOptions": {"multipleOf": 0.5}},
        {"enum": [{"value": 1}]},
        {},
    ):
        rules = rules_of({"name": "a", "logicalType": "number", **setting})
        found, _ = checked({"a": parquet(a=column)}, "parquet", rules)
        assert broken(found) == {"a.type": 3} | ({"a.required": 1} if "required" in setting else {})


@pytest.mark.parametrize(
    ("type_", "enum", "right", "wrong"),
    [
        ("number", [19, 7, 5.5], [19, 19.0, 7, 5.50, 5.5, None], [19.5, "19", 5, True]),
        ("number", [0.1, -0.0, 1e300], [0.1, 0, 1e300], [0.10000001, 1]),
        ("integer", [19, 7.0], [19, 7], [19.0, "19", 8]),
        ("string", ["19", "true", ""], ["19", "true", ""], [19, True, "19.0", " 19"]),
        ("boolean", [True], [True, None], [False, "true", 1]),
        ("date", ["2010-12-01", None], ["2010-12-01", None], ["2010-12-02", "2010-12-1"]),
        (
            "timestamp",
            ["2010-12-01T10:00:00+02:00"],
            ["2010-12-01T08:00:00Z", "2010-12-01T09:00:00+01:00", "2010-12-01 08:00:00"],
            ["2010-12-01T08:00:01Z"],
        ),
        ("string", [None], [None], ["null", ""]),
    ],
)
@pytest.mark.parametrize("as_metric", [False, True])
def test_an_enum_holds_values_of_the_columns_type(
    type_: str, enum: list[Any], right: list[Any], wrong: list[Any], as_metric: bool
) -> None:
    setting: Row = {"enum": [{"value": each} for each in enum]}
    if as_metric:
        arguments = {"metric": "invalidValues", "arguments": {"validValues": enum}}
        setting = {"quality": [arguments | {"mustBeGreaterOrEqualTo": 0}]}
    rules = rules_of({"name": "a", "logicalType": type_, **setting})
    body = b"".join(json.dumps({"a": value}).encode() + b"\n" for value in [*right, *wrong])
    found, kept = checked({"a": body}, "ndjson", rules)
    if as_metric:
        counted = {each.rule: each.count for each in found.rules}
        assert counted["a.invalidValues"] + counted["a.type"] == len(wrong)
    else:
        numbers = [row["row_number"] for row in kept]
        assert numbers == list(range(len(right) + 1, len(right) + len(wrong) + 1))


def test_an_enum_of_numbers_is_compared_as_the_parquet_column_holds_them() -> None:
    rules = rules_of(
        {"name": "a", "logicalType": "number", "enum": [{"value": 5.5}, {"value": 0.1}]}
    )
    for column in (
        pa.array([5.5, 0.1, 0.2], pa.float64()),
        pa.array([5.5, 0.1, 0.2], pa.float32()),
        pa.array(["5.50", "0.10", "0.20"]).cast(pa.decimal128(12, 2)),
    ):
        _, kept = checked({"a": parquet(a=column)}, "parquet", rules)
        assert [row["row_number"] for row in kept] == [3], column.type


@pytest.mark.parametrize(
    ("multiple", "right", "wrong"),
    [
        (0.1, [0.3, -1.1, 0, 1e6], [0.25, 0.1000000001, 0.30000000000000004]),
        (5, [0, -5, 10, 5.0], [7, 5.000001]),
        (0.01, [19.99, 1e15], [19.999, 1e-15, 1e300]),
        (1e-7, [0.0000003], [0.00000035]),
    ],
)
def test_a_multiple_is_exact_in_decimals(
    multiple: float, right: list[float], wrong: list[float]
) -> None:
    options = {"multipleOf": multiple}
    rules = rules_of({"name": "a", "logicalType": "number", "logicalTypeOptions": options})
    body = b"".join(json.dumps({"a": value}).encode() + b"\n" for value in [*right, *wrong])
    _, kept = checked({"a": body}, "ndjson", rules)
    assert [json.loads(row["line"])["a"] for row in kept] == wrong
