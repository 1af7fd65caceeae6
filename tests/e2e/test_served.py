"""The text of each line of an answer, as the check takes it out without the platform's code."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from served import line_texts


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        ('{"lines":[],"total":0}', []),
        (' { "total" : 1 , "lines" : [ {"a":1 , "a":2} ] , "next_cursor" : null } ',
         ['{"a":1 , "a":2}']),
        ('{"lines":[{"a":"],}\\""},"oops",null,5,[1]]}',
         ['{"a":"],}\\""}', '"oops"', "null", "5", "[1]"]),
        ('{"lines":[{\r\n"a":\n1.50}],"x":[{"lines":1}]}', ['{  "a": 1.50}']),
    ],
)  # fmt: skip
def test_each_lines_text_is_as_it_was_served(answer: str, texts: list[str]) -> None:
    assert [text.decode() for text in line_texts(answer)] == texts


@given(
    st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=3) | st.floats(), max_size=3)),
    st.sampled_from([None, 2]),
)
def test_the_texts_hold_what_the_answer_holds(lines: list[dict], indent: int | None) -> None:
    answer = json.dumps({"total": 1, "lines": lines, "next_cursor": "x"}, indent=indent)
    found = [json.dumps(json.loads(text)) for text in line_texts(answer)]
    assert found == [json.dumps(line) for line in lines]
