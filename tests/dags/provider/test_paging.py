"""Where a body says that its next page is: keys that hold dots, and what has no next page."""

from __future__ import annotations

from typing import Any

import pytest

from feira_provider.hooks.paging import Answer, CursorPaging, LinkPaging, NextPage, at

URL = "http://shop.test/orders"


def following(paging: CursorPaging | LinkPaging, body: Any) -> NextPage | None:
    return paging.following(Answer(1, URL, body, {}), [])


@pytest.mark.parametrize(
    ("body", "path", "found"),
    [
        ({"@odata.count": 4}, "@odata.count", 4),
        ({"d": {"@odata.nextLink": "x"}}, "d.@odata.nextLink", "x"),
        ({"page.info": {"next.cursor": "b"}}, "page.info.next.cursor", "b"),
        ({"a.b": 1, "a": {"b": 2}}, "a.b", 1),
        ({"a.b": {"x": 1}, "a": {"b": {"c": 2}}}, "a.b.c", 2),
        ({"a": [{"b.c": 3}]}, "a.0.b.c", 3),
        ({"0.5": 1}, "0.5", 1),
        ([[7]], "0.0", 7),
    ],
)
def test_of_keys_that_hold_dots_the_longest_that_leads_there_is_taken(
    body: Any, path: str, found: Any
) -> None:
    assert at(body, path) == found


@pytest.mark.parametrize("body", [{"a": "x"}, {"a": 5}, {"a": [1]}, {"a": True}, {"a.b": 1}])
def test_what_is_in_the_way_of_a_place_is_no_missing_place(body: Any) -> None:
    with pytest.raises(TypeError, match="has no "):
        at(body, "a.b.c")


PARENTS = [{}, {"links": None}, {"links": []}, {"links": {}}, {"links": {"next": None}},
           {"links": {"next": ""}}]  # fmt: skip


@pytest.mark.parametrize("body", PARENTS)
def test_a_last_page_may_have_null_or_an_empty_list_instead_of_what_would_hold_the_field(
    body: Any,
) -> None:
    assert following(CursorPaging(cursor_at="links.next"), body) is None
    assert following(LinkPaging(link_at="links.next"), body) is None


@pytest.mark.parametrize("body", PARENTS[:4])
def test_a_field_that_is_required_must_be_there_on_the_last_page_too(body: Any) -> None:
    for paging in (
        CursorPaging(cursor_at="links.next", cursor_required=True),
        LinkPaging(link_at="links.next", link_required=True),
    ):
        with pytest.raises(LookupError, match=r"links\.next"):
            following(paging, body)


@pytest.mark.parametrize("body", PARENTS[4:])
def test_a_required_field_that_is_null_or_empty_is_the_end(body: Any) -> None:
    assert following(CursorPaging(cursor_at="links.next", cursor_required=True), body) is None
    assert following(LinkPaging(link_at="links.next", link_required=True), body) is None


@pytest.mark.parametrize("links", ["x", 5, False, [1]])
def test_something_else_in_the_place_of_what_would_hold_the_field_is_not_the_end(
    links: Any,
) -> None:
    for paging in (CursorPaging(cursor_at="links.next"), LinkPaging(link_at="links.next")):
        with pytest.raises(TypeError, match="links"):
            following(paging, {"links": links})


def test_a_link_of_the_header_cannot_be_required() -> None:
    with pytest.raises(ValueError, match="link_required needs link_at"):
        LinkPaging(link_required=True)
