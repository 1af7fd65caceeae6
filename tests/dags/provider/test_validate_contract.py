"""A dataset on S3 against its contract: every format, every kind of rule, and nothing lost."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from airflow.sdk.exceptions import AirflowFailException
from fsspec.implementations.local import LocalFileSystem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from s3_bucket import Bucket
from s3fs import S3FileSystem

from feira.core.contracts import ContractError
from feira.core.contracts.registry import contract_files, contracts, whole_contract
from feira_provider.contracts.check import CheckResult, check
from feira_provider.contracts.rules import read_rules
from feira_provider.operators.validate_contract import ValidateContractOperator

Row = dict[str, Any]
ORDERS: list[Row] = [
    {"name": "order_id", "logicalType": "string", "primaryKey": True},
    {
        "name": "quantity",
        "logicalType": "integer",
        "required": True,
        "logicalTypeOptions": {"minimum": 1},
    },
    {"name": "price", "logicalType": "number", "logicalTypeOptions": {"minimum": 0}},
    {"name": "status", "logicalType": "string", "logicalTypeOptions": {"pattern": "^(open|done)$"}},
    {"name": "day", "logicalType": "date", "logicalTypeOptions": {"minimum": "2010-12-01"}},
]
TYPES = {
    "order_id": pa.string(),
    "quantity": pa.int64(),
    "price": pa.float64(),
    "status": pa.string(),
    "day": pa.date32(),
}
GOOD: Row = {"order_id": "1", "quantity": 2, "price": 2.5, "status": "open", "day": "2010-12-01"}


def contract(
    bucket: Bucket, properties: list[Row] | None = None, quality: list[Row] | None = None
) -> str:
    """Writes a contract of one schema to S3; returns its URI."""
    document = {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": "orders",
        "version": "1.0.0",
        "status": "active",
        "schema": [
            {"name": "orders", "properties": properties or ORDERS, "quality": quality or []}
        ],
    }
    return bucket.put("orders.odcs.yaml", yaml.safe_dump(document).encode())


def csv_lines(rows: list[Row]) -> bytes:
    def field(value: Any) -> str:
        return "" if value is None else f'"{value}"'

    lines = [",".join(TYPES)]
    lines += [",".join(field(row.get(name)) for name in TYPES) for row in rows]
    return "\n".join(lines).encode() + b"\n"


def ndjson(rows: list[Row]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def parquet(rows: list[Row]) -> bytes:
    def typed(row: Row) -> Row:
        return row | {"day": date.fromisoformat(row["day"]) if row.get("day") else None}

    sink = BytesIO()
    pq.write_table(
        pa.Table.from_pylist([typed(row) for row in rows], pa.schema(list(TYPES.items()))), sink
    )
    return sink.getvalue()


FORMATS: list[tuple[str, Callable[[list[Row]], bytes]]] = [
    ("data.csv", csv_lines),
    ("data.csv.gz", lambda rows: gzip.compress(csv_lines(rows))),
    ("data.ndjson", ndjson),
    ("data.ndjson.gz", lambda rows: gzip.compress(ndjson(rows))),
    ("data.parquet", parquet),
]


@pytest.mark.parametrize(
    "prefix", ["lake/report", "s3a://lake/report", "/tmp/report", "None", "s3://"]
)
def test_a_report_that_nobody_would_find_is_refused_before_anything_is_read(
    bucket: Bucket, prefix: str
) -> None:
    with pytest.raises(AirflowFailException) as failure:
        validate(bucket, f"{bucket.url}/none.csv", "/no/contract", report_prefix=prefix)
    assert str(failure.value) == (
        f"validate: report_prefix is {prefix!r}; it must be s3://bucket/folder."
    )


def test_a_bucket_whose_name_is_none_is_not_tried_again(bucket: Bucket) -> None:
    dataset, uri = bucket.put("data.csv", csv_lines([GOOD])), contract(bucket)
    for options in (
        {"dataset": "s3://La ke/data.csv", "uri": uri},
        {"dataset": "s3://La ke/*.csv", "uri": uri},
        {"dataset": "s3://La ke/data/", "uri": uri},
        {"dataset": dataset, "uri": "s3://La ke/orders.odcs.yaml"},
        {"dataset": dataset, "uri": uri, "report_prefix": "s3://La ke"},
    ):
        with pytest.raises(AirflowFailException) as failure:
            validate(bucket, **options)
        assert re.match('validate: S3 cannot be asked .*bucket name "La ke"', str(failure.value))


def test_a_profile_that_is_not_there_is_not_tried_again(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {"profile_name": "nobody", "region_name": "us-east-1"}
    monkeypatch.setenv("AIRFLOW_CONN_S3", json.dumps({"conn_type": "aws", "extra": extra}))
    with pytest.raises(AirflowFailException, match=r"nobody.* connection s3\.$"):
        validate(bucket, f"{bucket.url}/data.csv", contract(bucket), aws_conn_id="s3")


def validate(bucket: Bucket, dataset: str, uri: str, **options: Any) -> dict[str, Any]:
    operator = ValidateContractOperator(
        task_id="validate",
        contract=uri,
        dataset=dataset,
        **{"report_prefix": f"{bucket.url}/report"} | options,
    )
    return operator.execute({})


def report(bucket: Bucket) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bucket.get(f"{bucket.url}/report/report.json"))
    return found


def quarantine(bucket: Bucket) -> list[Row]:
    body = bucket.get(f"{bucket.url}/report/quarantine.parquet")
    return list(pq.read_table(BytesIO(body)).to_pylist())


def counts(bucket: Bucket) -> dict[str, int]:
    return {each["rule"]: each["count"] for each in report(bucket)["rules"] if not each["kept"]}


def document(properties: list[Row], quality: list[Row] | None = None) -> str:
    """A contract of one schema, as YAML."""
    schema = {"name": "orders", "properties": properties, "quality": quality or []}
    return yaml.safe_dump({"apiVersion": "v3.1.0", "id": "orders", "schema": [schema]})


def checked(folder: Path, rows: list[Row], properties: list[Row]) -> tuple[CheckResult, list[Row]]:
    """What the check finds in rows of NDJSON on disk, and the quarantine that it writes."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        data, kept = Path(scratch) / "data.ndjson", Path(scratch) / "quarantine.parquet"
        data.write_bytes(ndjson(rows))
        rules = read_rules(document(properties), "orders.odcs.yaml")
        found = check(rules, [str(data)], "ndjson", LocalFileSystem(), kept, scratch=Path(scratch))
        return found, pq.read_table(kept).to_pylist() if kept.exists() else []


def broken_rules(found: CheckResult) -> dict[str, int]:
    return {each.rule: int(each.count) for each in found.rules if not each.kept}


@pytest.mark.parametrize(("name", "written"), FORMATS)
def test_a_dataset_that_keeps_its_contract_passes(
    bucket: Bucket, name: str, written: Callable[[list[Row]], bytes]
) -> None:
    dataset = bucket.put(name, written([GOOD, GOOD | {"order_id": "2", "price": None}]))
    assert validate(bucket, dataset, contract(bucket)) == {
        "report": f"{bucket.url}/report/report.json",
        "quarantine": None,
        "rows": 2,
        "valid": 2,
        "invalid": 0,
    }
    assert report(bucket)["passed"] is True
    assert "report/quarantine.parquet" not in bucket.names()


@pytest.mark.parametrize(("name", "written"), FORMATS)
def test_too_many_invalid_rows_fail_with_each_rule_and_its_count_and_are_kept(
    bucket: Bucket, name: str, written: Callable[[list[Row]], bytes]
) -> None:
    rows = [
        GOOD,
        GOOD | {"order_id": "2", "quantity": 0, "price": -1.0},
        GOOD | {"order_id": "3", "quantity": None},
        GOOD | {"order_id": "4", "quantity": 0, "status": "lost"},
    ]
    with pytest.raises(AirflowFailException) as failure:
        validate(bucket, bucket.put(name, written(rows)), contract(bucket), max_invalid_percent=50)
    message = str(failure.value)
    assert "75.00 % of 4 rows invalid (limit 50 %): quantity.minimum 2, " in message
    for rule in ("price.minimum 1", "quantity.required 1", "status.pattern 1"):
        assert rule in message
    assert f"The rows are in {bucket.url}/report/quarantine.parquet" in message
    kept = quarantine(bucket)
    assert [row["row_number"] for row in kept] == [2, 3, 4]
    assert sorted(kept[0]["broken"]) == ["price.minimum", "quantity.minimum"]
    original = json.loads(kept[0]["line"]) if kept[0]["line"] else kept[0]["row"]
    assert original["order_id"] == "2"
    assert report(bucket)["passed"] is False and report(bucket)["invalid"] == 3


def test_up_to_the_limit_invalid_rows_are_put_up_with_and_still_kept(bucket: Bucket) -> None:
    rows = [GOOD | {"order_id": str(number), "quantity": number} for number in range(4)]
    dataset = bucket.put("data.ndjson", ndjson(rows))
    found = validate(bucket, dataset, contract(bucket), max_invalid_percent=25)
    assert (found["rows"], found["invalid"]) == (4, 1)
    assert found["quarantine"] == f"{bucket.url}/report/quarantine.parquet"
    assert [json.loads(row["line"]) for row in quarantine(bucket)] == rows[:1]


def test_a_later_try_that_finds_nothing_takes_the_old_quarantine_away(bucket: Bucket) -> None:
    uri = contract(bucket)
    with pytest.raises(AirflowFailException):
        validate(bucket, bucket.put("data.ndjson", ndjson([GOOD | {"quantity": 0}])), uri)
    validate(bucket, bucket.put("data.ndjson", ndjson([GOOD])), uri)
    assert "report/quarantine.parquet" not in bucket.names()


BAD = st.one_of(
    st.none(),
    st.integers(-2, 2),
    st.sampled_from(["x", "open", "2010-12-01", "1.5", ""]),
    st.booleans(),
    st.floats(-2, 2, allow_nan=False),
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "order_id": st.sampled_from(["a", "b", None]) | BAD,
            "quantity": st.integers(-1, 3) | BAD,
            "price": st.floats(-1, 3, allow_nan=False) | BAD,
            "status": st.sampled_from(["open", "done", "lost"]) | BAD,
            "day": st.sampled_from(["2010-11-30", "2010-12-01", "2010-02-30"]) | BAD,
        },
    ),
    min_size=1,
    max_size=16,
)


def expected(rows: list[Row]) -> list[list[str]]:
    """The rules that each row breaks, by plain Python."""

    def is_day(value: Any) -> bool:
        try:
            return isinstance(value, str) and len(value) == 10 and bool(date.fromisoformat(value))
        except ValueError:
            return False

    kinds: dict[str, Callable[[Any], bool]] = {
        "order_id": lambda v: isinstance(v, str),
        "quantity": lambda v: isinstance(v, int) and not isinstance(v, bool),
        "price": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
        "status": lambda v: isinstance(v, str),
        "day": is_day,
    }
    ids = Counter(row["order_id"] for row in rows if isinstance(row.get("order_id"), str))
    found = []
    for row in rows:
        broken = []
        good = {}
        for name, fits in kinds.items():
            value = row.get(name)
            if value is None:
                broken += [f"{name}.required"] if name in ("order_id", "quantity") else []
            elif not fits(value):
                broken.append(f"{name}.type")
            else:
                good[name] = value
        if "quantity" in good and good["quantity"] < 1:
            broken.append("quantity.minimum")
        if "price" in good and good["price"] < 0:
            broken.append("price.minimum")
        if "status" in good and good["status"] not in ("open", "done"):
            broken.append("status.pattern")
        if "day" in good and good["day"] < "2010-12-01":
            broken.append("day.minimum")
        if "order_id" in good and ids[good["order_id"]] > 1:
            broken.append("order_id.primaryKey")
        found.append(sorted(broken))
    return found


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(ROWS)
def test_json_rows_break_the_rules_that_plain_python_says(tmp_path: Path, rows: list[Row]) -> None:
    # Every field is in some row: one that is in none is another failure.
    rows = [*rows, GOOD | {"order_id": "whole"}]
    found, kept = checked(tmp_path, rows, ORDERS)
    wanted = expected(rows)
    broken = {row["row_number"]: sorted(row["broken"]) for row in kept}
    assert broken == {number: rules for number, rules in enumerate(wanted, 1) if rules}
    assert [json.loads(row["line"]) for row in kept] == [rows[n - 1] for n in sorted(broken)]
    assert found.invalid == len(broken)
    assert broken_rules(found) == dict(Counter(rule for rules in wanted for rule in rules))


def test_a_csv_value_of_the_wrong_type_is_that_rows_fault_alone(bucket: Bucket) -> None:
    rows = [
        GOOD,
        *(
            {"order_id": str(n)} | GOOD | {"order_id": str(n), "quantity": bad}
            for n, bad in enumerate(["x", "1.5", "1e3", " 2"], 2)
        ),
    ]
    rows.append(GOOD | {"order_id": "9", "day": "2010-12-01T08:00:00"})
    dataset = bucket.put("data.csv", csv_lines(rows))
    validate(bucket, dataset, contract(bucket), max_invalid_percent=100)
    assert counts(bucket) == {"quantity.type": 4, "day.type": 1}
    assert quarantine(bucket)[1]["row"]["quantity"] == "1.5"


def test_lines_that_are_no_rows_are_invalid_and_kept_word_for_word(bucket: Bucket) -> None:
    uri = contract(bucket)
    body = (
        ndjson([GOOD])
        + b'{"order_id": "2", "quan\n[1]\n"text"\n'
        + ndjson([GOOD | {"order_id": "3"}])
    )
    validate(bucket, bucket.put("data.ndjson", body), uri, max_invalid_percent=100)
    assert [row["line"] for row in quarantine(bucket)] == [
        '{"order_id": "2", "quan',
        "[1]",
        '"text"',
    ]
    assert report(bucket)["rows"] == 5 and counts(bucket) == {"line": 3}

    body = csv_lines([GOOD]) + b"2,2,2.5,open\n3,2,2.5,open,2010-12-01,more\n"
    validate(bucket, bucket.put("data.csv", body), uri, max_invalid_percent=100)
    assert {row["line"] for row in quarantine(bucket)} == {
        "2,2,2.5,open",
        "3,2,2.5,open,2010-12-01,more",
    }
    assert report(bucket)["rows"] == 3 and counts(bucket) == {"line": 2}


def test_columns_of_several_files_are_matched_by_name(bucket: Bucket) -> None:
    bucket.put("part/1.csv", csv_lines([GOOD]))
    turned = ["day,status,price,quantity,order_id", "2010-12-02,done,1.0,3,2"]
    bucket.put("part/2.csv", "\n".join(turned).encode() + b"\n")
    # What a writer marks, and what one has left that was killed, or keeps beside its data.
    for hidden in (
        "_SUCCESS",
        "_temporary/0/attempt_1/3.csv",
        "_delta_log/0.json",
        "a/.hive/4.csv",
    ):
        bucket.put(f"part/{hidden}", csv_lines([GOOD]) * hidden.endswith("csv"))
    found = validate(bucket, f"{bucket.url}/part/", contract(bucket))
    assert (found["rows"], found["invalid"]) == (2, 0)
    assert validate(bucket, f"{bucket.url}/part/*.csv", contract(bucket))["rows"] == 2
    assert validate(bucket, f"{bucket.url}/part/**/*.csv", contract(bucket))["rows"] == 2
    # A folder that is named is meant, whatever its name.
    assert validate(bucket, f"{bucket.url}/part/_temporary/0/", contract(bucket))["rows"] == 1


@pytest.mark.parametrize("file_format", ["csv", None])
def test_the_empty_objects_by_which_folders_are_marked_are_no_files(
    bucket: Bucket, file_format: str | None
) -> None:
    for marker in ("k/", "k/sub/", "k/sub_$folder$"):
        bucket.put(marker, b"")
    bucket.put("k/1.csv", csv_lines([GOOD]))
    bucket.put("k/sub/2.csv", csv_lines([GOOD | {"order_id": "2"}]))
    for dataset, rows in (("k/", 2), ("k/*.csv", 1), ("k/**", 2), ("k/sub/", 1)):
        found = validate(
            bucket, f"{bucket.url}/{dataset}", contract(bucket), file_format=file_format
        )
        assert (found["rows"], found["invalid"]) == (rows, 0), dataset
    bucket.put("e/", b"")
    with pytest.raises(AirflowFailException, match=r"There is no file at .*/e/"):
        validate(bucket, f"{bucket.url}/e/", contract(bucket))
    for marker in ("f/sub/", "f/sub_$folder$", "f/_temporary/1.csv"):
        bucket.put(marker, b"")
    bucket.put("f/1.csv", csv_lines([GOOD]))
    found = validate(bucket, f"{bucket.url}/f/*", contract(bucket), file_format=file_format)
    assert found["rows"] == 1


@pytest.mark.parametrize(
    ("pattern", "inside"),
    [
        ("orders/*.csv", "b.csv/part-0.csv"),
        ("orders/*.csv", "b.csv/deep/part-0.csv"),
        ("orders/*", "day=2010-12-01/part-0.csv"),
        ("orders/*", "sub/deeper/2.csv"),
        ("*/*", "sub/2.csv"),
    ],
)
def test_a_folder_that_a_pattern_names_is_not_passed_over(
    bucket: Bucket, pattern: str, inside: str
) -> None:
    bucket.put("orders/a.csv", csv_lines([GOOD]))
    bucket.put(f"orders/{inside}", csv_lines([GOOD | {"quantity": "0"}] * 9))
    folder = f"{bucket.url}/orders/{inside.partition('/')[0]}"
    with pytest.raises(
        AirflowFailException,
        match=rf"names the folder {re.escape(folder)}, .*{re.escape(inside)}\. End the dataset with /",
    ):
        validate(bucket, f"{bucket.url}/{pattern}", contract(bucket))


@pytest.fixture
def listings(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The listings that S3 is asked for. After each a file comes into the folder d.csv."""
    asked: list[str] = []
    listing = S3FileSystem._iterdir

    async def then_one_more(self: S3FileSystem, *args: Any, **options: Any) -> AsyncIterator[Any]:
        asked.append(options["prefix"])
        async for each in listing(self, *args, **options):
            yield each
        late = GOOD | {"order_id": f"late {len(asked)}"}
        bucket.put(f"t/d.csv/late-{len(asked)}.csv", csv_lines([late]))

    monkeypatch.setattr(S3FileSystem, "_iterdir", then_one_more)
    return asked


@pytest.mark.parametrize(
    ("pattern", "calls", "rows"),
    [("t/**", 1, 42), ("t/**/*.csv", 1, 41), ("t/d*/**/*.csv", 1, 41)],
)
def test_what_folders_hold_is_not_asked_of_each_and_a_file_may_come_meanwhile(
    bucket: Bucket, listings: list[str], pattern: str, calls: int, rows: int
) -> None:
    for day in range(40):
        row = GOOD | {"order_id": f"{day}"}
        bucket.put(f"t/day={day:02}/part.csv", csv_lines([row]))
    bucket.put("t/d.csv/first.csv", csv_lines([GOOD | {"order_id": "first"}]))
    bucket.put("t/note.ndjson", csv_lines([GOOD | {"order_id": "note"}]))
    found = validate(bucket, f"{bucket.url}/{pattern}", contract(bucket), file_format="csv")
    assert (found["rows"], len(listings)) == (rows, calls)


def test_of_many_folders_that_a_pattern_names_one_listing_says_what_they_hold(
    bucket: Bucket, listings: list[str]
) -> None:
    bucket.put("m/a.csv", csv_lines([GOOD]))
    for day in range(40):
        bucket.put(f"m/day={day:02}/_SUCCESS", b"")
    assert validate(bucket, f"{bucket.url}/m/*", contract(bucket))["rows"] == 1
    assert len(listings) == 2


def test_what_is_no_pattern_is_named(bucket: Bucket) -> None:
    with pytest.raises(
        AirflowFailException, match=r"t/a\*\*\.csv is no pattern: .*entire path component"
    ):
        validate(bucket, f"{bucket.url}/t/a**.csv", contract(bucket))


def test_a_folder_is_named_by_a_pattern_of_any_depth(bucket: Bucket) -> None:
    bucket.put("t/a.csv", csv_lines([GOOD]))
    bucket.put("t/x/b.csv/part-0", csv_lines([GOOD]))
    folder = f"{bucket.url}/t/x/b.csv"
    with pytest.raises(
        AirflowFailException, match=rf"names the folder {folder}, .*b\.csv/part-0\."
    ):
        validate(bucket, f"{bucket.url}/t/**/*.csv", contract(bucket))


def test_a_file_without_a_byte_is_one_and_so_is_one_that_is_named_like_a_marker(
    bucket: Bucket,
) -> None:
    bucket.put("k/1.csv", b"")
    with pytest.raises(AirflowFailException, match=r"k/1\.csv"):
        validate(bucket, f"{bucket.url}/k/", contract(bucket))
    bucket.put("m/1_$folder$", csv_lines([GOOD]))
    found = validate(bucket, f"{bucket.url}/m/", contract(bucket), file_format="csv")
    assert found["rows"] == 1


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
@pytest.mark.parametrize("on_s3", [False, True])
def test_a_contract_in_another_encoding_is_refused_by_its_path(
    bucket: Bucket, tmp_path: Path, encoding: str, on_s3: bool
) -> None:
    body = f"# preço\n{document(ORDERS)}".encode(encoding)
    path = tmp_path / "orders.odcs.yaml"
    path.write_bytes(body)
    uri = bucket.put("other.odcs.yaml", body) if on_s3 else str(path)
    with pytest.raises(AirflowFailException, match=f"^{uri} is no UTF-8 at byte "):
        validate(bucket, bucket.put("data.csv", csv_lines([GOOD])), uri)


def test_a_contract_that_is_a_folder_is_refused_by_its_path(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(AirflowFailException, match=f"no contract at {tmp_path}"):
        validate(bucket, bucket.put("data.csv", csv_lines([GOOD])), str(tmp_path))


@pytest.mark.parametrize("limit", ["lots", "", "1 parsec"])
def test_a_limit_of_memory_that_is_none_is_refused_by_its_value(bucket: Bucket, limit: str) -> None:
    dataset = bucket.put("data.csv", csv_lines([GOOD]))
    with pytest.raises(AirflowFailException, match=f"memory_limit is '{limit}'"):
        validate(bucket, dataset, contract(bucket), memory_limit=limit)


def test_a_report_is_put_where_its_prefix_says_letter_for_letter(bucket: Bucket) -> None:
    dataset = bucket.put("data.csv", csv_lines([GOOD | {"quantity": 0}]))
    prefix = f"{bucket.url}/r?day=1#a"
    with pytest.raises(AirflowFailException, match=r"100\.00 %"):
        validate(bucket, dataset, contract(bucket), report_prefix=prefix)
    assert json.loads(bucket.get(f"{prefix}/report.json"))["invalid"] == 1
    assert bucket.get(f"{prefix}/quarantine.parquet")


def test_a_text_is_one_field_that_lists_files_and_no_field_is_refused(bucket: Bucket) -> None:
    dataset = bucket.put("data.csv", csv_lines([GOOD]))
    listed = bucket.put("m.json", json.dumps({"files": [{"url": dataset}]}).encode())
    options = {"contract": contract(bucket), "report_prefix": f"{bucket.url}/report"}
    operator = ValidateContractOperator(
        task_id="validate", manifest=listed, files_at="files", **options
    )
    assert operator.execute({})["rows"] == 1
    with pytest.raises(ValueError, match="files_at is ''"):
        ValidateContractOperator(task_id="validate", manifest=listed, files_at="", **options)


@pytest.mark.parametrize(("name", "written"), FORMATS[:4])
def test_a_column_that_no_row_has_fails_whatever_the_limit(
    bucket: Bucket, name: str, written: Callable[[list[Row]], bytes]
) -> None:
    properties = [*ORDERS, {"name": "channel", "logicalType": "string"}]
    with pytest.raises(AirflowFailException, match=r"channel\.present is 0"):
        validate(
            bucket,
            bucket.put(name, written([GOOD])),
            contract(bucket, properties),
            max_invalid_percent=100,
        )


def test_a_parquet_column_of_another_type_fails_whatever_the_limit(bucket: Bucket) -> None:
    properties = [*ORDERS[:4], {"name": "day", "logicalType": "timestamp"}]
    dataset = bucket.put("data.parquet", parquet([GOOD]))
    with pytest.raises(AirflowFailException, match=r"day\.physical .*timestamp, .*DATE"):
        validate(bucket, dataset, contract(bucket, properties), max_invalid_percent=100)


def test_fields_that_the_contract_does_not_know_are_in_the_report(bucket: Bucket) -> None:
    dataset = bucket.put("data.ndjson", ndjson([GOOD | {"channel": "web", "a/b": 1}]))
    validate(bucket, dataset, contract(bucket))
    assert report(bucket)["unknown_columns"] == ["a/b", "channel"]


def test_no_files_of_a_manifest_are_a_dataset_without_rows(bucket: Bucket) -> None:
    operator = ValidateContractOperator(
        task_id="validate",
        contract=contract(bucket),
        manifest=bucket.put("manifest.json", b'{"entries": []}'),
        report_prefix=bucket.url,
    )
    assert operator.execute({})["rows"] == 0


# Quality rules.

ONE_COLUMN: list[Row] = [{"name": "a", "logicalType": "integer"}]


@pytest.mark.parametrize(
    ("column_quality", "values", "failure"),
    [
        ({"metric": "nullValues", "mustBeLessThan": 2}, [1, None], None),
        (
            {"metric": "nullValues", "mustBeLessThan": 2},
            [None, None, 1],
            "a.nullValues is 2, must be < 2",
        ),
        ({"metric": "nullValues", "mustBeLessOrEqualTo": 50, "unit": "percent"}, [None, 1], None),
        (
            {"metric": "nullValues", "mustBeLessThan": 50, "unit": "percent"},
            [None, 1],
            "a.nullValues is 1, must be < 50 %",
        ),
        ({"metric": "duplicateValues", "mustBe": 1}, [1, 1, 2], None),
        ({"metric": "duplicateValues"}, [1, 1, 1], "a.duplicateValues is 2, must be = 0"),
        ({"metric": "invalidValues", "arguments": {"validValues": [1, 2]}}, [1, 2, None], None),
        (
            {"metric": "invalidValues", "arguments": {"validValues": [1, 2]}},
            [3],
            "a.invalidValues is 1, must be = 0",
        ),
        (
            {"metric": "missingValues", "arguments": {"missingValues": [None, -1]}},
            [-1, None],
            "a.missingValues is 2, must be = 0",
        ),
        (
            {
                "type": "sql",
                "query": "SELECT max({property}) FROM {object}",
                "mustBeBetween": [1, 9],
                "name": "top",
            },
            [3, 9],
            None,
        ),
        (
            {
                "type": "sql",
                "query": "SELECT max(${property}) FROM ${object}",
                "mustBeBetween": [1, 8],
                "name": "top",
            },
            [9],
            "a.top is 9, must be between 1 and 8",
        ),
        (
            {"type": "custom", "engine": "duckdb", "implementation": "a % 2 = 1", "name": "odd"},
            [1, 2],
            "1 invalid: a.odd 1",
        ),
        (
            {"type": "custom", "engine": "spark", "implementation": "a <= 1", "name": "low"},
            [1, 2, None],
            "1 invalid: a.low 1",
        ),
        ({"metric": "nullValues", "severity": "warning"}, [None], None),
        ({"type": "text", "description": "looks right"}, [1], None),
    ],
)
def test_a_quality_rule_is_held_to_its_own_limit(
    tmp_path: Path, column_quality: Row, values: list[Any], failure: str | None
) -> None:
    properties = [ONE_COLUMN[0] | {"quality": [column_quality]}]
    found, _ = checked(tmp_path, [{"a": value} for value in values], properties)
    failures = [f"{each.rule} is {each.count:g}, must be {each.limit}" for each in found.failures]
    if found.invalid:
        failures.append(f"{found.invalid} invalid: {found.broken()}")
    assert failures == ([failure] if failure else [])


def test_rows_that_break_a_metric_beyond_its_limit_are_kept_too(bucket: Bucket) -> None:
    uri = contract(bucket, [ONE_COLUMN[0] | {"quality": [{"metric": "nullValues"}]}])
    dataset = bucket.put("data.ndjson", ndjson([{"a": None}, {"a": 1}]))
    with pytest.raises(AirflowFailException, match=r"a.nullValues is 1, must be = 0"):
        validate(bucket, dataset, uri)
    assert [(row["row_number"], row["broken"]) for row in quarantine(bucket)] == [
        (1, ["a.nullValues"])
    ]


def test_rules_of_the_whole_schema_are_checked(bucket: Bucket) -> None:
    quality = [{"metric": "rowCount", "mustBeGreaterThan": 2}]
    dataset = bucket.put("data.ndjson", ndjson([{"a": 1}]))
    with pytest.raises(AirflowFailException, match=r"rowCount .*1, .*> 2"):
        validate(bucket, dataset, contract(bucket, ONE_COLUMN, quality))


@pytest.mark.parametrize(
    ("type_", "options", "value", "broken"),
    [
        ("string", {"minLength": 2}, "é", "a.minLength"),
        ("string", {"maxLength": 2}, "abc", "a.maxLength"),
        ("string", {"format": "uuid"}, "12", "a.format"),
        ("integer", {"format": "u8"}, 256, "a.format"),
        ("integer", {"format": "i64"}, 2**63, "a.format"),
        ("integer", {"format": "i64"}, -(2**63) - 1, "a.format"),
        ("integer", {"format": "u64"}, 2**64, "a.format"),
        ("integer", {"format": "u128"}, -(2**64), "a.format"),
        ("integer", {}, 2**127, "a.type"),
        ("integer", {}, 1e20, "a.type"),
        ("integer", {}, 5.0, "a.type"),
        ("integer", {"multipleOf": 10**20}, 10**20 + 1, "a.multipleOf"),
        ("integer", {"multipleOf": 5}, 7, "a.multipleOf"),
        ("number", {"multipleOf": 0.1}, 0.25, "a.multipleOf"),
        ("number", {"exclusiveMaximum": 2}, 2, "a.exclusiveMaximum"),
        ("number", {"exclusiveMinimum": 2}, 2, "a.exclusiveMinimum"),
        ("timestamp", {"timezone": True}, "2010-12-01T08:26:00", "a.type"),
        ("timestamp", {"maximum": "2010-12-01T00:00:00"}, "2010-12-01T08:26:00Z", "a.maximum"),
        ("time", {}, "25:00", "a.type"),
        ("boolean", {}, "true", "a.type"),
        ("object", {}, [1], "a.type"),
        ("array", {}, {"b": 1}, "a.type"),
    ],
)
def test_each_option_of_a_logical_type_is_a_rule(
    tmp_path: Path, type_: str, options: Row, value: Any, broken: str
) -> None:
    properties = [{"name": "a", "logicalType": type_, "logicalTypeOptions": options}]
    found, _ = checked(tmp_path, [{"a": value}], properties)
    assert broken_rules(found) == {broken: 1}


@pytest.mark.parametrize(
    ("type_", "options", "value"),
    [
        ("number", {"multipleOf": 0.1}, 0.3),
        ("integer", {"format": "i64"}, 2**63 - 1),
        ("integer", {"format": "u64"}, 2**64 - 1),
        ("integer", {"format": "i128"}, -(2**127)),
        ("integer", {"format": "u128"}, 2**127 - 1),
        ("integer", {"minimum": 10**20}, 10**20),
        ("timestamp", {"timezone": True}, "2010-12-01T08:26:00+01:00"),
        ("string", {"minLength": 1}, "'; DROP TABLE"),
        ("object", {}, {"b": 1}),
        ("array", {}, []),
    ],
)
def test_what_keeps_an_option_is_valid(
    tmp_path: Path, type_: str, options: Row, value: Any
) -> None:
    properties = [{"name": "a", "logicalType": type_, "logicalTypeOptions": options}]
    found, kept = checked(tmp_path, [{"a": value}], properties)
    assert (found.invalid, found.failures, kept) == (0, [], [])


def test_a_timestamp_of_a_parquet_file_is_compared_as_it_is(bucket: Bucket) -> None:
    sink = BytesIO()
    times = [datetime(2010, 12, 1, 8), datetime(2010, 12, 2, 8)]
    pq.write_table(pa.table({"a": pa.array(times, pa.timestamp("us", "UTC"))}), sink)
    options = {"maximum": "2010-12-02T00:00:00Z", "timezone": True}
    uri = contract(
        bucket, [{"name": "a", "logicalType": "timestamp", "logicalTypeOptions": options}]
    )
    validate(bucket, bucket.put("data.parquet", sink.getvalue()), uri, max_invalid_percent=100)
    assert counts(bucket) == {"a.maximum": 1}


def test_an_integer_that_no_decimal_holds_is_that_rows_fault_alone(bucket: Bucket) -> None:
    quality = [{"type": "custom", "engine": "spark", "name": "less", "implementation": "a >= 0.5"}]
    uri = contract(bucket, ONE_COLUMN, quality)
    dataset = bucket.put("data.csv", f"a\n0\n{'9' * 38}\n1\n".encode())
    validate(bucket, dataset, uri, max_invalid_percent=100)
    assert counts(bucket) == {"less": 2}


def test_what_is_not_checked_is_never_taken_for_checked(bucket: Bucket) -> None:
    quality = [{"type": "custom", "engine": "soda", "name": "gate", "implementation": "a > 1"}]
    uri = contract(bucket, ONE_COLUMN, quality)
    dataset = bucket.put("data.ndjson", ndjson([{"a": 1}]))
    with pytest.raises(AirflowFailException, match=r"rule gate .* soda.*allow_not_evaluated"):
        validate(bucket, dataset, uri)
    validate(bucket, dataset, uri, allow_not_evaluated=True)
    assert report(bucket)["not_evaluated"] == ["quality rule gate of type custom with engine soda"]


OF_TOPICS = {name for name, each in contracts().items() if "topic" in each.servers}


@pytest.mark.parametrize("table", sorted(contract_files().keys() - OF_TOPICS))
def test_the_platforms_own_contracts_are_understood(table: str) -> None:
    rules = read_rules(whole_contract(table), table)
    assert rules.columns and rules.rules


@pytest.mark.parametrize("table", sorted(OF_TOPICS))
def test_rules_of_messages_are_refused_where_a_file_is_judged(table: str) -> None:
    """What they name beside the fields comes with a message's day, which no file has."""
    with pytest.raises(ContractError, match=r"line \d+: feira\.inputs .*landing alone"):
        read_rules(whole_contract(table), table)


@pytest.mark.parametrize("table", ["sales.order_lines", "sales.fact"])
def test_a_contract_whose_fields_stand_in_another_is_refused(table: str) -> None:
    with pytest.raises(ContractError, match=r"line \d+: feira\.upstream: .*'sales\.\w+'"):
        read_rules(contract_files()[table].read_text(), table)


def test_inputs_of_rules_are_refused_where_there_is_no_landing() -> None:
    inputs = [{"property": "feira.inputs", "value": [{"name": "day", "type": "date"}]}]
    text = yaml.safe_dump(yaml.safe_load(document(ONE_COLUMN)) | {"customProperties": inputs})
    with pytest.raises(ContractError, match=r"feira\.inputs .*landing alone"):
        read_rules(text, "orders.odcs.yaml")


def test_a_contracts_sql_cannot_read_other_files(bucket: Bucket, tmp_path: Any) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("word")
    query = f"SELECT count(*) FROM '{secret}'"
    uri = contract(bucket, ONE_COLUMN, [{"type": "sql", "name": "peek", "query": query}])
    with pytest.raises(AirflowFailException, match=r"Rule peek .*Permission"):
        validate(bucket, bucket.put("data.ndjson", ndjson([{"a": 1}])), uri)


ROW = ndjson([{"a": 1}])


@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 666) TO '{data}'; SELECT 0",
        "COPY (SELECT 666) TO '{data}'",
        "SELECT 0; SELECT 0",
        "PRAGMA version",
        "-- nothing",
        "",
        "  ",
    ],
)
def test_a_query_of_a_contract_is_one_select(bucket: Bucket, query: str) -> None:
    data = bucket.put("data.ndjson", ROW)
    quality = {"type": "sql", "name": "mine", "query": query.replace("{data}", data)}
    with pytest.raises(AirflowFailException, match=r"Rule mine .*one SELECT"):
        validate(bucket, data, contract(bucket, ONE_COLUMN, [quality]))
    assert bucket.get(data) == ROW


def test_a_row_rule_of_a_contract_is_one_expression(bucket: Bucket) -> None:
    data = bucket.put("data.ndjson", ROW)
    broken_when = f"a) FROM __typed; COPY (SELECT 666) TO '{data}'; SELECT (1"
    rule = {"type": "custom", "engine": "duckdb", "name": "mine", "implementation": broken_when}
    uri = contract(bucket, [ONE_COLUMN[0] | {"quality": [rule]}])
    with pytest.raises(AirflowFailException, match=r"Rule a\.mine .*one expression"):
        validate(bucket, data, uri)
    assert bucket.get(data) == ROW


def test_a_row_rule_cannot_comment_out_what_follows_it(tmp_path: Path) -> None:
    """Each of the two is an expression; together they would end the statement and begin another."""
    opens = "a > 1) --"
    closes = (
        "'\n THEN NULL END], lambda flag: true) AS flags FROM __typed s; "
        "DROP TABLE __flagged; --' = 'b'"
    )
    rules = [
        {"type": "custom", "engine": "duckdb", "name": name, "implementation": broken_when}
        for name, broken_when in (("opens", opens), ("closes", closes))
    ]
    found, _ = checked(tmp_path, [{"a": 1}], [ONE_COLUMN[0] | {"quality": rules}])
    assert found.invalid == 0


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "SELECT count(*) FROM enable_profiling(save_location = '{data}')",
            r"selects from enable_profiling\(\); of table functions it may use generate_series",
        ),
        (
            "SELECT (SELECT count(*) FROM system.main.\"Enable_Logging\"(storage = 'file')) + 1",
            r"selects from enable_logging\(\)",
        ),
        ("SELECT count(*) FROM query('FROM checkpoint()')", r"selects from query\(\)"),
        ("SELECT count(*) FROM read_text('{data}')", r"selects from read_text\(\)"),
        ("SELECT count(*) FROM '{data}'", r"cannot be evaluated: .*Permission"),
    ],
)
def test_a_select_of_a_contract_opens_no_file(bucket: Bucket, query: str, message: str) -> None:
    data = bucket.put("data.ndjson", ROW)
    quality = {"type": "sql", "name": "mine", "query": query.replace("{data}", data)}
    uri = contract(bucket, ONE_COLUMN, [quality])
    with pytest.raises(AirflowFailException, match=rf"Rule mine {message}"):
        validate(bucket, data, uri)
    assert bucket.get(data) == ROW


@pytest.mark.parametrize(
    "query",
    [
        "WITH big AS (SELECT a FROM {object} WHERE a > 1) SELECT count(*) FROM big",
        "SELECT count(*) FROM {object} WHERE a > 1;",
        "FROM {object} SELECT count(*) WHERE a > 1 -- the large ones",
        "SELECT count(*) FROM range(5) WHERE range IN (SELECT a FROM {object} WHERE a > 1)",
    ],
)
def test_a_select_may_be_written_in_any_way(tmp_path: Path, query: str) -> None:
    quality = {"type": "sql", "name": "mine", "query": query, "mustBe": 2}
    properties = [ONE_COLUMN[0] | {"quality": [quality]}]
    found, _ = checked(tmp_path, [{"a": 1}, {"a": 2}, {"a": 3}], properties)
    assert [each.count for each in found.rules if each.rule == "a.mine"] == [2]
    assert found.failures == []


@pytest.mark.parametrize("broken_when", ["b > 1", "a >", "count(*) > 1"])
def test_a_rule_that_is_no_sql_is_named(bucket: Bucket, broken_when: str) -> None:
    rule = {"type": "custom", "engine": "duckdb", "name": "mine", "implementation": broken_when}
    uri = contract(bucket, [ONE_COLUMN[0] | {"quality": [rule]}])
    with pytest.raises(AirflowFailException, match=r"Rule a\.mine .*evaluated"):
        validate(bucket, bucket.put("data.ndjson", ndjson([{"a": 1}])), uri)


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("data.csv", b"", r"data.csv has the header \[\]"),
        ("data.csv", b"a,a\n1,2\n", r"has the header \['a', 'a'\].*each name once"),
        ("data.csv.gz", b"a,b\n1,2\n", r"data.csv.gz cannot be read as csv"),
        ("data.ndjson.gz", b"{}", r"data.ndjson.gz cannot be read as ndjson"),
        ("data.parquet", b"no parquet", r"data.parquet cannot be read as parquet"),
        ("data.bin", b"", r"do not say one format .*data.bin.*state file_format"),
    ],
)
def test_a_dataset_that_cannot_be_read_is_named(
    bucket: Bucket, name: str, body: bytes, message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message):
        validate(bucket, bucket.put(name, body), contract(bucket))


def test_no_files_are_an_error_that_names_where_they_should_be(bucket: Bucket) -> None:
    with pytest.raises(AirflowFailException, match=rf"no file .*{bucket.url}/none/"):
        validate(bucket, f"{bucket.url}/none/", contract(bucket))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not one YAML document"),
        ("apiVersion: v2.2.2\nkind: DataContract", "apiVersion is 'v2.2.2'"),
        ("apiVersion: v3.1.0\nkind: DataContract", "has the schemas none"),
        ("apiVersion: v3.1.0\nschema: [{name: a}]", "schema a declares no properties"),
        ("apiVersion: v3.1.0\nschema: [{name: a, properties: [{name: __n}]}]", "__ is reserved"),
        (
            "apiVersion: v3.1.0\nschema: [{name: a, properties: [{name: b, logicalType: money}]}]",
            "unknown to ODCS",
        ),
    ],
)
def test_a_contract_that_cannot_be_used_is_named(text: str, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        read_rules(text, "orders.odcs.yaml")


HEAD = "apiVersion: v3.1.0\nschema:\n- name: s\n  properties:\n  - name: a\n"
NUMBER = HEAD + "    logicalType: number\n"
RULE = NUMBER + "    quality:\n    - "


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (
            NUMBER + "    logicalTypeOptions:\n      minimun: 1",
            8,
            "'minimun'.*did you mean 'minimum'",
        ),
        (HEAD + "    logicalTypeOptions: {multipleOf: 2}", 6, "'multipleOf'"),
        (NUMBER + "    requird: true", 7, "'requird'.*did you mean 'required'"),
        (NUMBER + "    required: 'true'", 7, '"true" is not of type "boolean"'),
        (NUMBER + "    required: true\n    required: false", 8, "'required' is on line 7 already"),
        (NUMBER + "    unique: 1", 7, "unique: 1 is not"),
        (NUMBER + "    logicalTypeOptions: {minimum: '0'}", 7, 'minimum: "0" is not'),
        (NUMBER + "    logicalTypeOptions: {maximum: .nan}", 7, ".nan is no number"),
        (NUMBER + "    logicalTypeOptions: {multipleOf: 0}", 7, "multipleOf: 0"),
        (NUMBER + "    enum: [{value: '19'}]", 7, "'19', which is no number"),
        (NUMBER + "    enum: [{value: true}]", 7, "True, which is no number"),
        (NUMBER + "    enum: [{value: 1, lable: x}]", 7, "'lable'"),
        (HEAD + "    logicalTypeOptions: {pattern: '[a'}", 6, "'\\[a' is no regular expression"),
        (HEAD + "    logicalTypeOptions: {pattern: '(?=a)'}", 6, "no look-around"),
        (HEAD + "    logicalTypeOptions: {minLength: -1}", 6, "-1"),
        (HEAD + "    logicalType: date\n    logicalTypeOptions: {minimum: 2010-02-30}", 7, "02-30"),
        (HEAD + "  - name: A", 6, "'a' and 'A' are one name to SQL"),
        (HEAD + "  - name: b\n    physicalName: A", 6, "'a' and 'A' are one name to SQL"),
        (NUMBER + "    primaryKeyPosition: 1", 7, "a has a primaryKeyPosition and is no"),
        (NUMBER + "    enum: [{value: .inf}]", 7, ".inf is no number"),
        (NUMBER + f"    enum: [{{value: {'9' * 5000}}}]", 7, "a number of 5000 characters"),
        (
            RULE + "{metric: invalidValues, arguments: {validValues: [.NaN]}}",
            8,
            ".NaN is no number",
        ),
        (HEAD + "    enum: [{value: NO}, {value: SE}]", 6, "NO is of another type in YAML 1.1"),
        (HEAD + "    enum: [{value: 12:30}]", 6, "12:30 is of another type"),
        *(
            (HEAD + f"    logicalType: {type_}\n    enum: [{{value: '{text}'}}]", 7, f"no {type_}")
            for type_, text in (
                ("time", "T08:30"),
                ("time", "0830"),
                ("time", "08:30+01:00"),
                ("timestamp", "2010-12-01x08:00"),
                ("timestamp", "2010-12-01T08"),
                ("timestamp", "0001-01-01T00:00:00+14:00"),
                ("date", "20101201"),
                ("date", "٢٠١٠-12-01"),
            )
        ),
        ("apiVersion: v3.1.0\nstatus: retired\nschema: [{name: s}]", 2, "status is 'retired'"),
        (
            "apiVersion: v3.1.0\ncustomProperties: [{property: feira.upstrem, value: x}]\n"
            "schema: [{name: s, properties: [{name: a}]}]",
            2,
            "'feira.upstrem'",
        ),
        (RULE + "{metric: nulValues}", 8, "'nulValues'"),
        (RULE + "{rule: nullCheck}", 8, "nullCheck"),
        (RULE + "{metric: rowCount, mustBe: 1}", 8, "rowCount"),
        (RULE + "{metric: invalidValues}", 8, "invalidValues"),
        (RULE + "{metric: nullValues, mustBeAtMost: 3}", 8, "'mustBeAtMost'"),
        (RULE + "{metric: nullValues, mustBe: '3'}", 8, "mustBe is '3'"),
        (RULE + "{metric: nullValues, mustBe: false}", 8, "mustBe is False"),
        (RULE + "{metric: nullValues, mustBeBetween: [1]}", 8, "mustBeBetween"),
        (RULE + "{metric: nullValues, mustBeBetween: [3, 1]}", 8, "smaller is first"),
        (RULE + "{metric: nullValues, unit: '%'}", 8, "unit '%'; it may be rows or percent"),
        (RULE + "{metric: nullValues, severity: WARNING}", 8, "severity 'WARNING'"),
        (RULE + "{metric: nullValues, arguments: {validValues: [1]}}", 8, "'validValues'"),
        (RULE + "{metric: invalidValues, arguments: {validValues: []}}", 8, "not empty"),
        (
            RULE + "{metric: invalidValues, arguments: {validValues: [x]}}",
            8,
            "'x', which is no number",
        ),
        (RULE + "{metric: invalidValues, arguments: {pattern: '*'}}", 8, "no regular expression"),
        (RULE + "{metric: duplicateValues, arguments: {properties: [b]}}", 8, "of the schema"),
        (RULE + "{type: sql, query: SELECT 1, unit: percent}", 8, "percent"),
        (RULE + "{type: custom, engine: spark, implementation: upper(a) = 1}", 8, "upper"),
        (RULE + "{type: custom, engine: spark, implementation: b > 1}", 8, "names b; there are a"),
        (RULE + "{type: custom, engine: spark, implementation: a}", 8, "not boolean"),
        (RULE + "{type: sql, mustBe: 1}", 8, '"query" is a required property'),
        (RULE + "{type: SQL, query: SELECT 1}", 8, "'SQL'"),
        (RULE + "{type: text, description: x, mustBe: 1}", 8, "'mustBe'"),
        (
            NUMBER + "  quality:\n  - {metric: duplicateValues, arguments: {properties: [b]}}",
            8,
            "no property 'b'",
        ),
        ("apiVersion: v3.9.0\nschema: [{name: s}]", 1, "'v3.9.0'; the reader knows"),
        ("apiVersion: v3.1.0\nschemas: []", 2, "'schemas'.*did you mean 'schema'"),
        ("apiVersion: v3.1.0\nschema:\n- &s {name: s, properties: [*s]}", 3, "recursive"),
        ("apiVersion: v3.1.0\n1: 2", 2, "1 is no text"),
        ("apiVersion: v3.1.0\n---\na: 1", 2, "another document"),
    ],
)
def test_what_a_contract_has_and_the_reader_does_not_know_is_refused_with_its_line(
    text: str, line: int, words: str
) -> None:
    with pytest.raises(ContractError, match=rf"^orders.odcs.yaml, line {line}\b.*{words}"):
        read_rules(text + "\n", "orders.odcs.yaml")


def test_aliases_that_make_a_document_without_end_are_refused() -> None:
    text = "apiVersion: v3.1.0\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for n in range(1, 9):
        text += f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n"
    with pytest.raises(ContractError, match=r"line 1: .*1,234,567,9\d\d values .*200,000"):
        read_rules(text, "c.yaml")


def test_of_several_schemas_one_is_to_be_named() -> None:
    schema = {"properties": [{"name": "a"}]}
    schemas = [{"name": name, **schema} for name in ("s", "t", "t")]
    text = yaml.safe_dump({"apiVersion": "v3.1.0", "schema": schemas})
    assert read_rules(text, "c.yaml", "s").schema == "s"
    for name in (None, "T", "t"):
        with pytest.raises(ContractError, match=f"s, t, t; schema_name .*{name!r}"):
            read_rules(text, "c.yaml", name)


@pytest.mark.parametrize(
    "engine", ["Spark", "feira-gate", "DuckDB", "soda", "feira_gate", "great-expectations", ""]
)
def test_a_rule_of_another_engine_is_never_dropped(bucket: Bucket, engine: str) -> None:
    quality = [{"type": "custom", "engine": engine, "implementation": "a > 1"}]
    data = bucket.put("data.ndjson", ROW)
    with pytest.raises(AirflowFailException, match=r"quality rule .*allow_not_evaluated"):
        validate(bucket, data, contract(bucket, ONE_COLUMN, quality))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT max(a) FROM {object} WHERE a > 9",
        "SELECT 1, 2",
        "SELECT unnest([1, 2])",
        "SELECT 'x'",
        "SELECT 1 WHERE false",
        "SELECT 'NaN'::DOUBLE",
        "SELECT 1e308 * 10",
    ],
)
def test_a_query_that_gives_no_one_number_keeps_no_limit(tmp_path: Path, query: str) -> None:
    quality = {"type": "sql", "name": "mine", "query": query, "mustBeLessThan": 99}
    with pytest.raises(ContractError, match=r"Rule a\.mine (gave|.*evaluated)"):
        checked(tmp_path, [{"a": 1}], [ONE_COLUMN[0] | {"quality": [quality]}])


def test_a_manifest_that_is_not_met_fails_the_task(bucket: Bucket) -> None:
    body = gzip.compress(ndjson([GOOD]))
    data = bucket.put("data.ndjson.gz", body)
    bucket.put("unlisted.ndjson.gz", b"not read")

    def run(**meta: Any) -> dict[str, Any]:
        document = json.dumps({"entries": [{"url": data, "meta": meta}]}).encode()
        return ValidateContractOperator(
            task_id="validate",
            contract=contract(bucket),
            manifest=bucket.put("manifest.json", document),
            report_prefix=bucket.url,
        ).execute({})

    digest = hashlib.sha256(body).hexdigest()
    assert run(content_length=len(body), record_count=1, sha256=digest)["rows"] == 1
    for meta, words in (
        ({"content_length": 2 * len(body)}, f"size of {2 * len(body)} bytes, found {len(body)}"),
        ({"record_count": 2}, "row count of 2 rows, found 1 rows"),
        ({"sha256": "ab" * 32}, f"SHA-256 of {'ab' * 32}, found {digest}"),
    ):
        with pytest.raises(AirflowFailException, match=f"data.ndjson.gz: .* states a {words}"):
            run(**meta)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dataset": "s3://a/b", "manifest": "s3://a/m"},
        {"dataset": "s3://a/b", "max_invalid_percent": 101},
        {"dataset": "s3://a/b", "file_format": "xml"},
        {"dataset": "s3://a/b", "delimiter": "||"},
    ],
)
def test_arguments_that_contradict_fail_when_the_dag_is_parsed(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"validate: "):
        ValidateContractOperator(
            task_id="validate", contract="c", report_prefix="s3://a/r", **options
        )


def test_contract_dataset_and_prefix_are_templates() -> None:
    operator = ValidateContractOperator(
        task_id="validate",
        contract="{{ where }}/orders.odcs.yaml",
        dataset="s3://lake/{{ day }}/",
        report_prefix="s3://lake/reports/{{ day }}",
    )
    operator.render_template_fields({"where": "contracts", "day": "2010-12-01"})
    assert operator.dataset == "s3://lake/2010-12-01/"
    assert operator.report_prefix == "s3://lake/reports/2010-12-01"
