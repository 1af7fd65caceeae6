"""Draws one block of orders, and the versions of their lines that later days show.

A day is cut into blocks of about BLOCK_LINES lines. A block follows from (seed, day, number)
alone, so any page can be made without the others. How many of its lines move on which later day is
a fixed share of its size, so the totals of a day follow from arithmetic, without drawing anything.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feira_local.shop.catalogue import (
    FULL_PRICE,
    NO_PRICE,
    REDUCED_PRICE,
    Numbers,
    make_catalogue,
)
from feira_local.shop.taste import FIRST_CUSTOMER, Draws, Taste, chosen, passing, returning

Flags = npt.NDArray[np.bool_]

BLOCK_LINES = 2000
STATUSES = ("pending", "completed", "shipped", "failed", "cancelled")
PENDING, COMPLETED, SHIPPED, FAILED, CANCELLED = range(5)


@dataclass(frozen=True)
class Cohort:
    """Orders that move on the same days after their creation: ``per_mille`` of a block's lines."""

    per_mille: int
    moves: tuple[int, ...]


COHORTS = (
    Cohort(60, (1,)),
    Cohort(30, (2,)),
    Cohort(20, (3,)),
    Cohort(10, (4,)),
    Cohort(10, (5,)),
    Cohort(20, (1, 3)),  # paid, then shipped or cancelled
)
LONGEST_MOVE = max(move for cohort in COHORTS for move in cohort.moves)
DUPLICATED_PER_MILLE = 3
UPDATED_IN_DAY_PER_MILLE = 4

# Share of a day's orders placed before each full hour (UTC): quiet nights, busy noons.
HOURS = np.array([0, 6, 8, 10, 12, 14, 16, 18, 21, 24]) * 3600.0
ORDERS_BY_HOUR = np.array([0, 0.03, 0.10, 0.27, 0.47, 0.66, 0.81, 0.90, 0.97, 1.0])
LAST_ORDER_SECOND = 86_340  # leaves room for an update on the same day


@dataclass(frozen=True)
class Rows:
    """Versions of lines, column by column; seconds count from midnight of their day."""

    order: Numbers  # the order's number within its day
    line_number: Numbers
    item: Numbers
    price_level: Numbers
    quantity: Numbers
    status: Numbers
    customer: Numbers  # 0 is a guest
    country: Numbers
    located: Flags
    described: Flags
    created_second: Numbers
    updated_second: Numbers


@dataclass(frozen=True)
class Block:
    """A block's lines as they were created, and the draws that decide how they move.

    ``size`` is how many lines it has; ``rows`` may be of the first of them, which are those that move.
    """

    size: int
    rows: Rows
    move_draw: Draws
    move_second: Numbers
    negative: Flags  # a cancellation turns the quantity negative
    change_draw: Draws


def moved_count(lines: Numbers, days_later: int) -> Numbers:
    """How many lines of blocks of ``lines`` lines show a new version ``days_later`` days on."""
    moved = [lines * c.per_mille // 1000 for c in COHORTS if days_later in c.moves]
    total: Numbers = np.sum(moved, axis=0)
    return total


def first_day_count(lines: Numbers) -> Numbers:
    """How many rows blocks of ``lines`` lines show on their own day, repeated lines included."""
    return lines + _repeats(lines, DUPLICATED_PER_MILLE) + _repeats(lines, UPDATED_IN_DAY_PER_MILLE)


def draw_block(
    taste: Taste,
    day: dt.date,
    number: int,
    blocks: int,
    first: int,
    lines: int,
    customers: int,
    moving: bool,
) -> Block:
    """The block of that number of a day of ``blocks`` blocks.

    It holds ``lines`` lines, from the day's line ``first`` on, of ``customers`` known customers. Of these only
    the first are drawn where ``moving`` says that no others are asked for: those that a later day shows again.
    """
    catalogue, key = make_catalogue(taste.seed), [taste.seed, day.toordinal(), number, 1]
    drawn = _moving(lines) if moving else lines
    # A row of draws a line, so that the first lines are the same without the others.
    draws = np.random.Generator(np.random.PCG64(key)).random((drawn, 18)).T.copy()
    start, line_number = _orders(draws[0], lines)
    who = returning(customers, draws[2, start])
    customer = FIRST_CUSTOMER + who
    guest = draws[3, start] < 0.25
    # A customer lives in one country; a guest may live anywhere.
    home = np.where(guest, draws[4, start], (customer * 2_654_435_761 % 2**32) / 2**32)
    order = np.flatnonzero(line_number == 1)
    product = chosen(
        taste,
        day,
        customers=np.where(guest, passing(day, first + start), who)[order],
        liked=draws[16, order],
        visit=np.cumsum(line_number == 1) - 1,
        draws=draws[[9, 17]],
    )
    no_product = draws[12] < 0.025
    kinds = len(catalogue.skus) - catalogue.product_count
    other = catalogue.product_count + (draws[12] / 0.025 * kinds).astype(np.int64)
    quantity = 1 + (24 * draws[10] ** 3).astype(np.int64) * np.where(draws[10] > 0.97, 10, 1)
    status, quantity = _first_status(draws[5, start], lines, np.where(no_product, 1, quantity))
    created = _second((number + draws[1, start]) / blocks)
    rows = Rows(
        order=first + start,
        line_number=line_number,
        item=np.where(no_product, other, product),
        price_level=np.where((draws[11] < 0.004) & ~no_product, NO_PRICE, FULL_PRICE),
        quantity=quantity,
        status=status,
        customer=np.where(guest, 0, customer),
        country=np.searchsorted(catalogue.country_shares, home, side="right"),
        located=~guest | (draws[15, start] >= 0.03),
        described=draws[13] >= 0.01,
        created_second=created,
        updated_second=created,
    )
    return Block(
        size=lines,
        rows=rows,
        move_draw=draws[6, start],
        move_second=_second((number + draws[7, start]) / blocks),
        negative=draws[8, start] < 0.5,
        change_draw=draws[14],
    )


def first_day_rows(block: Block) -> list[Rows]:
    """The block's lines on their own day: as created, some twice, some changed within the day."""
    rows = block.rows
    lines = block.size
    repeated = _spread(lines, DUPLICATED_PER_MILLE, 0)
    # Only lines that never move later, so that a key's versions stay in order.
    changed = _spread(lines, UPDATED_IN_DAY_PER_MILLE, _moving(lines))
    seconds = rows.created_second[changed]
    later = seconds + 1 + ((86_398 - seconds) * block.change_draw[changed]).astype(np.int64)
    quantity = rows.quantity[changed]
    return [
        rows,
        _take(rows, repeated),
        _take(rows, changed, quantity=quantity + np.sign(quantity), updated_second=later),
    ]


def moved_rows(block: Block, days_later: int) -> list[Rows]:
    """The versions that the block's lines get ``days_later`` days after their creation."""
    moved, start = [], 0
    for cohort in COHORTS:
        size = block.size * cohort.per_mille // 1000
        if days_later in cohort.moves:
            at = np.arange(start, start + size)
            moved.append(_move(block, at, cohort.moves.index(days_later), len(cohort.moves)))
        start += size
    return moved


def _move(block: Block, at: Numbers, step: int, steps: int) -> Rows:
    draw, change = block.move_draw[at], block.change_draw[at]
    was = block.rows.status[at]
    from_pending = _pick(
        draw, [(0.55, COMPLETED), (0.75, SHIPPED), (0.87, CANCELLED), (1.0, FAILED)]
    )
    from_completed = _pick(draw, [(0.75, SHIPPED), (1.0, CANCELLED)])
    if steps > 1:
        status = np.full(len(at), COMPLETED) if step == 0 else from_completed
    else:
        status = np.where(was == PENDING, from_pending, from_completed)
    # What was packed differs from what was ordered, or the price was corrected.
    quantity = block.rows.quantity[at] + (change < 0.08)
    level = block.rows.price_level[at]
    reduced = (change >= 0.08) & (change < 0.14) & (level == FULL_PRICE)
    returned = (status == CANCELLED) & block.negative[at]
    return _take(
        block.rows,
        at,
        status=status,
        quantity=np.where(returned, -quantity, quantity),
        price_level=np.where(reduced, REDUCED_PRICE, level),
        updated_second=block.move_second[at],
    )


def _moving(lines: int) -> int:
    """How many lines of a block of ``lines`` lines move on later days: its first ones."""
    return sum(lines * cohort.per_mille // 1000 for cohort in COHORTS)


def _orders(draws: Draws, lines: int) -> tuple[Numbers, Numbers]:
    """For each line where its order starts, and its number there; orders end with their cohort."""
    sizes = 1 + (15 * draws**1.8).astype(np.int64)
    starts = np.zeros(len(draws), dtype=bool)
    ends = np.cumsum(sizes)
    starts[ends[ends < len(draws)]] = True
    edge = 0
    for cohort in COHORTS:
        edge += lines * cohort.per_mille // 1000
        if edge < len(draws):
            starts[edge] = True
    starts[:1] = True
    line = np.arange(len(draws))
    start = np.flatnonzero(starts)[np.cumsum(starts) - 1]
    return start, line - start + 1


def _first_status(draw: Draws, lines: int, quantity: Numbers) -> tuple[Numbers, Numbers]:
    """At creation: what moves starts pending or completed, what stays has any of the five."""
    status = _pick(
        draw,
        [(0.88, COMPLETED), (0.94, SHIPPED), (0.96, FAILED), (0.98, CANCELLED), (1.0, PENDING)],
    )
    start = 0
    for cohort in COHORTS:
        end = start + lines * cohort.per_mille // 1000
        pending = 1.0 if len(cohort.moves) > 1 else 0.7
        status[start:end] = np.where(draw[start:end] < pending, PENDING, COMPLETED)
        start = end
    # Half of the lines that are born cancelled are returns.
    returned = (status == CANCELLED) & (draw > 0.97)
    return status, np.where(returned, -quantity, quantity)


def _pick(draw: Draws, upto: list[tuple[float, int]]) -> Numbers:
    values = np.array([value for _, value in upto])
    return values[np.searchsorted([edge for edge, _ in upto[:-1]], draw, side="right")]


def _second(share_of_day: Draws) -> Numbers:
    seconds = np.interp(share_of_day, ORDERS_BY_HOUR, HOURS).astype(np.int64)
    return np.minimum(seconds, LAST_ORDER_SECOND)


def _repeats(lines: Numbers, per_mille: int) -> Numbers:
    return np.where(lines >= 50, -(-lines * per_mille // 1000), 0)


def _spread(lines: int, per_mille: int, start: int) -> Numbers:
    """The positions of the lines to repeat: distinct, from ``start`` on, evenly apart."""
    count = int(_repeats(np.array(lines), per_mille))
    return start + np.arange(count) * (lines - start) // max(count, 1)


def _take(rows: Rows, at: Numbers, **changed: Numbers) -> Rows:
    taken = {name: column[at] for name, column in vars(rows).items() if name not in changed}
    return Rows(**taken, **changed)  # type: ignore[arg-type]
