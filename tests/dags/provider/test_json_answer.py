"""A page's records as they came, and what a body that is no JSON is reported as."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feira_provider.hooks.json_answer import NotJsonError, read_json, read_page

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
PATHS = st.lists(st.text("abc", min_size=1, max_size=2), max_size=3)


@given(
    texts=st.lists(JSON.map(json.dumps)), path=PATHS, beside=JSON, space=st.sampled_from(" \n\t\r")
)
def test_every_record_keeps_its_text_wherever_the_list_is(
    texts: list[str], path: list[str], beside: Any, space: str
) -> None:
    body = f"[{space}" + f"{space},".join(texts) + "]"
    for part in reversed(path):
        body = f'{{"z": {json.dumps(beside)}, "{part}"{space}:{space}{body}{space}}}'
    found, records = read_page(body.encode(), ".".join(path))
    assert [raw.decode() for raw in records.raw] == texts
    assert list(records) == [json.loads(text) for text in texts]
    if path:
        assert found["z"] == beside


@pytest.mark.parametrize(
    "text",
    ["1.10", "1e400", "123456789012345678901234567890", '{"q": 5, "q": 7}', '"oops"', "null", "[1]",
     '"\\u00e9\\/"', "-0", "[" * 300 + "]" * 300],
)  # fmt: skip
def test_a_record_of_any_kind_is_kept_letter_for_letter(text: str) -> None:
    body, records = read_page(f'{{"rows": [{{"a":1}}, {text} ], "total": 2}}'.encode(), "rows")
    assert records.raw == [b'{"a":1}', text.encode()]
    assert (body["total"], len(body["rows"]), body["rows"][0]) == (2, 2, {"a": 1})


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ('{"page.rows": [1, 2], "z": 5}', "page.rows"),
        ('{"d": {"odata.rows": [1, 2]}}', "d.odata.rows"),
        ('{"d.e": {"x.y": [1, 2], "x": []}}', "d.e.x.y"),
        ('{"d": [0, {"a.b": [1, 2]}]}', "d.1.a.b"),
        ('{"a.b": 5, "a": {"b": {"c": [1, 2]}}}', "a.b.c"),
    ],
)
def test_a_key_on_the_way_to_the_records_may_hold_dots(body: str, path: str) -> None:
    found, records = read_page(body.encode(), path)
    assert records.raw == [b"1", b"2"]
    assert json.dumps(found, default=list) == body


@pytest.mark.parametrize("other", ["[{0}]", '{{"x": [{0}, 5]}}', "[[{0}, 4], [{0}, 5, 6]]"])
def test_a_list_that_begins_as_the_records_do_is_not_taken_for_them(other: str) -> None:
    same = ", ".join(["1234567890"] * 10)
    beside = other.format(same)
    _, records = read_page(f'{{"z": {beside}, "rows": [{same}, 5]}}'.encode(), "rows")
    assert len(records) == 11
    with pytest.raises(TypeError, match="'z': a duplicate key"):
        read_page(f'{{"z": {beside}, "z": 1, "rows": [{same}, 5]}}'.encode(), "rows")
    with pytest.raises(TypeError, match="'y': a duplicate key"):
        read_page(f'{{"z": {beside}, "rows": [{same}, 5], "y": 1, "y": 2}}'.encode(), "rows")


def test_a_number_that_no_double_holds_fails_where_it_is_parsed_and_names_its_record() -> None:
    _, records = read_page(b'[{"a": 1}, {"a": 1e400}]', "")
    with pytest.raises(ValueError, match=r"^record 2: .*range"):
        list(records)


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b'\xef\xbb\xbf{"rows": []}', "BOM"),
        (b'{"rows": ["\\ud800"]}', "surrogate in string: line 1 column 12"),
        (b'{"rows": ["\xed\xa0\x80"]}', "byte 0xed in position 11"),
        (b'{"rows": ["caf\xe9"]}', "byte 0xe9 in position 14"),
        (b'{"rows": [], "note": "caf\xe9"}', "byte 0xe9 in position 25"),
        (b'{"rows": [NaN]}', "column 11"),
        (b'{"rows": [{"p":1,}]}', "trailing comma"),
        (b'{"rows": [1_000]}', "column 12"),
        (b'{"rows": ["a\nb"]}', "control character"),
        (b"<html><h1>Sign in</h1>", "line 1 column 1"),
        (b'{"rows": []} {}', "unexpected content after document"),
    ],
)
def test_what_is_no_json_has_the_parsers_cause_and_position(body: bytes, cause: str) -> None:
    for read in (read_json, lambda content: read_page(content, "rows")):
        with pytest.raises(NotJsonError) as refused:
            read(body)
        assert cause in str(refused.value)
        assert not refused.value.cut_off


def test_a_record_nested_too_deep_is_named_by_its_number() -> None:
    deep = b"[" * 5000 + b"]" * 5000
    body = b'{"z": [[1, 2], 3], "data": {"rows": [{"a": ",[{"}, [1, 2], ' + deep + b", 4]}}"
    with pytest.raises(NotJsonError, match=r"^record 3 .*too deep") as refused:
        read_page(body, "data.rows")
    assert not refused.value.cut_off


@pytest.mark.parametrize("beside", ["", '"x": {"a": 1}, '])
def test_a_record_may_have_999_levels_and_so_may_what_stands_beside(beside: str) -> None:
    def page(levels: int, other: int) -> bytes:
        record, note = ("[" * each + "]" * each for each in (levels, other))
        return f'{{{beside}"rows": [1, {record}, 2], "note": {note}}}'.encode()

    _, records = read_page(page(999, 998), "rows")
    assert len(records) == 3 and records[1] != []
    for levels in (1000, 1001, 1030, 5000, 200_000):
        with pytest.raises(NotJsonError, match=r"^record 2 is nested too deep.* 999 levels"):
            read_page(page(levels, 1), "rows")
    for levels in (999, 1030, 200_000):
        with pytest.raises(
            NotJsonError, match=r"^what stands beside the records is nested too deep"
        ):
            read_page(page(1, levels), "rows")
        with pytest.raises(NotJsonError, match=r"^nested too deep, in more than 999 levels"):
            read_json(page(1, levels))
    assert read_json(page(1, 998))


def test_a_deep_body_that_is_cut_off_or_has_no_list_is_told_as_that() -> None:
    deep = b"[" * 5000 + b"]" * 5000
    with pytest.raises(NotJsonError) as refused:
        read_page(b'{"rows": [1, ' + deep + b", 2", "rows")
    assert refused.value.cut_off
    with pytest.raises(KeyError):
        read_page(b'{"other": [1, ' + deep + b", 2]}", "rows")


def test_every_cut_of_a_body_is_known_as_one() -> None:
    body = '{"rows": [{"a": "h\\u00e9\\n é", "b": -1.5e+10, "c": [true, null, "\\ud83d\\ude00"]}]}'
    whole = body.encode()
    for end in range(len(whole)):
        for read in (read_json, lambda content: read_page(content, "rows")):
            with pytest.raises(NotJsonError) as refused:
                read(whole[:end])
            assert refused.value.cut_off, whole[:end]


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        ("[1]", "rows", "array has no 'rows'"),
        ('"rows"', "rows", "string has no 'rows'"),
        ("null", "rows", "null has no 'rows'"),
        ('{"rows": {"a": 1}}', "rows", "rows: object is no list"),
        ('{"data": {"rows": 5}}', "data.rows", "data.rows: number is no list"),
        ('{"success": false}', "rows", "'rows'"),
        ('{"data": []}', "data.3", "index out of range"),
    ],
)
def test_json_of_another_shape_is_named_with_its_place(body: str, path: str, words: str) -> None:
    with pytest.raises((LookupError, TypeError)) as refused:
        read_page(body.encode(), path)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ('{"data": {"rows": [1], "rows": [2]}}', "rows"),
        ('{"data": {"rows": [1]}, "data": {"rows": []}}', "data"),
        ('{"total": 1, "data": {"rows": [[]]}, "total": 2}', "total"),
        ('{"data": {"rows": []}, "z": [{"a": 1, "a": 1}]}', "a"),
    ],
)
def test_a_duplicate_key_beside_the_records_is_refused(body: str, key: str) -> None:
    for read in (read_json, lambda content: read_page(content, "data.rows")):
        with pytest.raises(TypeError, match=f"^'{key}': a duplicate key"):
            read(body.encode())


def test_the_duplicate_key_of_a_large_body_is_found_in_one_pass() -> None:
    # As many passes as there are keys would take an hour.
    keys = ", ".join(f'"k{number}": 0' for number in range(400_000))
    with pytest.raises(TypeError, match=r"^'last': a duplicate key"):
        read_json(f'{{{keys}, "last": 0, "last": 0}}'.encode())


def test_a_duplicate_key_of_a_record_is_left_to_whoever_reads_the_record() -> None:
    _, records = read_page(b'{"rows": [{"q": 5, "q": 7}], "note": "[{"}', "rows")
    assert records.raw == [b'{"q": 5, "q": 7}']


# Records that no parser reads, each where it ends by its quotes and brackets.
UNREADABLE = [
    rb'{"a": "cut \ud83d"}',
    rb'{"a": "cut \uD83D", "b": "]},{[\""}',
    rb'{"a": "\\\ude00\ud83d"}',
    rb'{"\udc00": 1}',
    rb'"\ud83d"',
    b'{"a": "\xed\xa0\x80"}',
    b'{"a": "caf\xe9", "\xff": 1}',
    b'{"a": "\xe2\x82"}',
    b'{"a": NaN, "b": [-Infinity]}',
    b'{"a": 01}',
    b'{"a": 1_000}',
    b'{"a": "x\ty\0"}',
    rb'{"a": "\x41 \u12"}',
    b"undefined",
    b"[" * 5_000 + rb'"\ud83d"' + b"]" * 5_000,
    b'[{"a":' * 100_000 + b"{}" + b"}]" * 100_000,
]


@pytest.mark.parametrize("number", range(len(UNREADABLE)))
@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        (b'{"note": [[], {"x": "\\ud83d\\ude00"}], "total": 3, "rows": [', b'], "z": 5}', "rows"),
        (b' {"@d.rows" :\n[ ', b" ]} ", "@d.rows"),
        (b'[[], {"of": {"x": [', b"]}}]", "1.of.x"),
        (b" [", b"]\r\n", ""),
    ],
)
def test_a_record_that_cannot_be_read_costs_the_page_unless_it_is_asked_for(
    number: int, before: bytes, after: bytes, path: str
) -> None:
    record = UNREADABLE[number]
    body = before + b'{"a": "\\\\ud83d"} ,\n' + record + b' , {"a" : 1e400}' + after
    with pytest.raises(NotJsonError):
        read_page(body, path)
    found, records = read_page(body, path, unreadable=True)
    assert records.raw == [rb'{"a": "\\ud83d"}', record, b'{"a" : 1e400}']
    assert records[0] == {"a": "\\ud83d"}
    with pytest.raises(ValueError, match=r"^record 2: "):
        records[1]
    if path == "rows":
        assert (found["note"], found["total"], found["z"]) == ([[], {"x": "😀"}], 3, 5)
        assert found["rows"] is records


@given(
    st.lists(JSON.map(lambda value: json.dumps(value).encode()) | st.sampled_from(UNREADABLE[:14])),
    JSON,
)
def test_among_any_others_an_unreadable_record_keeps_its_text(
    texts: list[bytes], beside: Any
) -> None:
    body = b'{"z": %b, "d": {"rows": [ %b]}}' % (json.dumps(beside).encode(), b" ,".join(texts))
    found, records = read_page(body, "d.rows", unreadable=True)
    assert (found["z"], records.raw) == (beside, texts)


BAD = rb'{"a": "\ud83d"}'


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (rb'{"next": "\ud83d", "rows": [%b]}' % BAD, "line 1 column 11"),
        (rb'{"rows": [1], "next": "\ud83d"}', "line 1 column 24"),
        (rb'{"rows": [%b], "\ud83d": 1}' % BAD, "line 1 column 18"),
        (b'{"rows": [%b], "note": "caf\xe9"}' % BAD, "byte 0xe9 in position 40"),
        (b'{"rows": [%b], "note": NaN}' % BAD, "line 1 column 18"),
        (b'{"rows": [%b], "z": %b}' % (BAD, b"[" * 999 + b"]" * 999), "line 1 column 18"),
        (b'{"rows": [%b], "z": %b}' % (b"1", b"[" * 999 + b"]" * 999), "stands beside"),
        # Where it ends is unknown.
        (b'{"rows": [{"a": "6" RULER"}, %b]}' % BAD, "line 1 column 21"),
        (b'{"rows": [{"a": 1,}, %b]}' % BAD, "trailing comma"),
        (b'{"rows": [%b %b]}' % (BAD, BAD), "line 1 column 18"),
        (b'{"rows": [%b,, 1]}' % BAD, "line 1 column 18"),
        (b'{"rows": [%b], }' % BAD, "line 1 column 18"),
        (b'{"rows": [%b]} x' % BAD, "line 1 column 18"),
        # Landed as a line it would be another text, and one that can be read.
        (b'{"rows": ["a\nb"]}', "control character"),
        (b'{"rows": ["\\ud83d \r"]}', "line 1 column"),
        (b'{"error": "\\ud83d"}', "line 1 column 12"),
        (b'{"rows": {"a": "\\ud83d"}}', "line 1 column 17"),
        (b"Bad Gateway", "line 1 column 1"),
        (b"Error", "line 1 column 1"),
        # Of two lists that may be one another's only the parser knows which is which.
        (rb'{"z": ["\ud83d"], "rows": ["      "]}', "line 1 column 9"),
    ],
)
def test_what_no_records_can_be_told_from_is_an_error_all_the_same(body: bytes, cause: str) -> None:
    with pytest.raises(NotJsonError) as refused:
        read_page(body, "rows", unreadable=True)
    assert cause in str(refused.value)
    assert not refused.value.cut_off


def test_a_duplicate_key_beside_unreadable_records_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^'z': a duplicate key"):
        read_page(b'{"rows": [%b], "z": 1, "z": 2}' % BAD, "rows", unreadable=True)


def test_every_cut_of_a_body_with_an_unreadable_record_is_known_as_one() -> None:
    body = (
        b'{"rows": [{"a": 1}, {"a": "caf\xe9 \\"\xed\xa0\x80"}, %b, [NaN, "\\u00e9"]], "z": 1}'
        % BAD
    )
    assert len(read_page(body, "rows", unreadable=True)[1]) == 4
    for end in range(len(body)):
        with pytest.raises(NotJsonError) as refused:
            read_page(body[:end], "rows", unreadable=True)
        assert refused.value.cut_off, body[:end]
