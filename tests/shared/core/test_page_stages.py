"""Three pages of a landing at a time: one is read, one checked, one written, as if one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from feira.core.landing.land import Page, PageLander, SchemaDriftError, land_day
from feira.core.landing.store import LandingStore
from feira.sales.landing import LANDED
from sales_lines import DAY, FakeFeed, line

PATIENCE = 60


class WatchedFiles(LocalFileSystem):  # type: ignore[misc]
    """Calls ``before`` with the page's number before each page is put, and notes those that were."""

    cachable = False

    def __init__(self, before: Callable[[int], None]) -> None:
        super().__init__(auto_mkdir=True)
        self.before = before
        self.put: list[int] = []

    def pipe_file(self, path: str, value: bytes, **options: Any) -> None:
        name = path.rsplit("/", 1)[-1]
        if name.startswith("page-"):
            self.before(int(name[5:10]))
        super().pipe_file(path, value, **options)
        if name.startswith("page-"):
            self.put.append(int(name[5:10]))


class WatchedFeed(FakeFeed):
    """Sets an event for each page that it is asked for."""

    def __init__(self, pages: list[list[Any]]) -> None:
        super().__init__(pages)
        self.asked = [threading.Event() for _ in pages]

    def pages(self, day: Any) -> Iterator[Page]:
        for event, page in zip(self.asked, super().pages(day), strict=True):
            event.set()
            yield page


def one_line_pages(count: int) -> list[list[Any]]:
    return [[line(order_id=str(number))] for number in range(1, count + 1)]


def store_of(files: LocalFileSystem, like: LandingStore) -> LandingStore:
    return LandingStore(files, like.lake, like.dataset)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[threading.Event]:
    """An event for each page, set once it was checked, well or not."""
    events = [threading.Event() for _ in range(8)]
    check = PageLander._check_lines

    def watched(self: PageLander, page: Page) -> None:
        try:
            check(self, page)
        finally:
            events[page.number - 1].set()

    monkeypatch.setattr(PageLander, "_check_lines", watched)
    return events


def threads_ended() -> None:
    for thread in threading.enumerate():
        if thread.name == "ahead":
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_while_a_page_is_written_the_next_is_checked_and_the_one_after_it_read_and_no_more(
    folder_store: LandingStore, checked: list[threading.Event]
) -> None:
    feed = WatchedFeed(one_line_pages(5))

    def before(page: int) -> None:
        if page == 1:
            assert checked[1].wait(PATIENCE) and feed.asked[2].wait(PATIENCE)
            assert not feed.asked[3].wait(0.05), "a fourth page is held"
            assert not checked[2].is_set()

    files = WatchedFiles(before)
    manifest, _ = land_day(LANDED, feed, store_of(files, folder_store), DAY, requested_by="run-1")
    assert files.put == [1, 2, 3, 4, 5]
    assert [file.name for file in manifest.files] == [f"page-{n:05d}.ndjson.gz" for n in files.put]


def test_a_page_that_is_refused_waits_for_the_write_before_it_and_then_nothing_is_left(
    folder_store: LandingStore, checked: list[threading.Event]
) -> None:
    pages = one_line_pages(5)
    pages[2] = [line(order_id="3", tomorrow=1)]

    def before(page: int) -> None:
        if page == 2:
            assert checked[2].wait(PATIENCE)

    files = WatchedFiles(before)
    store = store_of(files, folder_store)
    with pytest.raises(SchemaDriftError, match=r"tomorrow .*page 3, line 1"):
        land_day(LANDED, FakeFeed(pages), store, DAY, requested_by="run-1")
    threads_ended()
    assert files.put == [1, 2]
    assert store.versions(DAY) == []


@pytest.mark.parametrize("refused", [3, 4])
def test_the_error_of_the_earlier_page_is_raised_though_a_later_page_was_refused_before_it(
    folder_store: LandingStore, checked: list[threading.Event], refused: int
) -> None:
    pages = one_line_pages(5)
    pages[refused - 1] = [line(order_id="x", tomorrow=1)]

    def before(page: int) -> None:
        if page == 2:
            assert checked[2].wait(PATIENCE)
            raise OSError("the store is full")

    files = WatchedFiles(before)
    store = store_of(files, folder_store)
    with pytest.raises(OSError, match="the store is full"):
        land_day(LANDED, FakeFeed(pages), store, DAY, requested_by="run-1")
    threads_ended()
    # What was under way then has come to nothing.
    assert files.put == [1]
    assert store.versions(DAY) == []


def test_a_page_that_cannot_be_read_fails_after_those_before_it_are_written(
    folder_store: LandingStore,
) -> None:
    class Cut(FakeFeed):
        def pages(self, day: Any) -> Iterator[Page]:
            served = super().pages(day)
            yield next(served)
            yield next(served)
            raise ConnectionError("page 3")

    files = WatchedFiles(lambda page: None)
    store = store_of(files, folder_store)
    with pytest.raises(ConnectionError, match="page 3"):
        land_day(LANDED, Cut(one_line_pages(4)), store, DAY, requested_by="run-1")
    assert files.put == [1, 2]
    assert store.versions(DAY) == []
