"""Reading ahead: the same items and the same error, with the next one read meanwhile."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator

import pytest

from feira.core.ahead import ahead

PATIENCE = 60


@pytest.mark.parametrize("items", [[], [1], [1, 2], [None, 0, None], list(range(50))])
def test_the_items_are_the_same(items: list[object]) -> None:
    assert list(ahead(items)) == items


@pytest.mark.parametrize("good", [0, 1, 2, 5])
def test_an_error_comes_after_what_came_before_it(good: int) -> None:
    def source() -> Iterator[int]:
        yield from range(good)
        raise ValueError(f"after {good}")

    items = ahead(source())
    assert [next(items) for _ in range(good)] == list(range(good))
    with pytest.raises(ValueError, match=f"^after {good}$"):
        next(items)


@pytest.mark.parametrize("held", [1, 3])
def test_so_many_items_are_read_while_the_one_before_is_worked_on_and_no_more(held: int) -> None:
    asked = [threading.Event() for _ in range(8)]

    def source() -> Iterator[int]:
        for number, event in enumerate(asked):
            event.set()
            yield number

    items = ahead(source(), held)
    for number in range(3):
        assert next(items) == number
        assert asked[number + held].wait(PATIENCE)
        assert not asked[number + held + 1].wait(0.05)


def test_the_first_is_read_in_the_callers_thread_and_all_in_its_context() -> None:
    where: list[tuple[int, str]] = []
    run = contextvars.ContextVar("run", default="none")
    run.set("a run's")

    def source() -> Iterator[int]:
        for number in range(3):
            where.append((threading.get_ident(), run.get()))
            yield number

    assert list(ahead(source())) == [0, 1, 2]
    here = threading.get_ident()
    assert [thread == here for thread, _ in where] == [True, False, False]
    assert {of for _, of in where} == {"a run's"}


def test_who_ends_early_waits_for_nothing() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def source() -> Iterator[int]:
        yield 1
        begun.set()
        go_on.wait(PATIENCE)
        yield 2

    items = ahead(source())
    assert next(items) == 1
    assert begun.wait(PATIENCE)
    reader = next(thread for thread in threading.enumerate() if thread.name == "ahead")
    items.close()  # type: ignore[attr-defined]
    assert reader.is_alive() and reader.daemon
    go_on.set()
    reader.join(PATIENCE)
    assert not reader.is_alive()
