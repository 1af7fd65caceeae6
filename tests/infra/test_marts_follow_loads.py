"""The marts that follow what loads have changed are those of the whole fact, whatever was loaded and killed.

A few builds are dbt's. In the others the queries that dbt has then compiled are run, with loads between any two
statements and ends before any model: hundreds of builds in the time of some.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest

import oracle_marts
from fact_rows import FACT, Row, difference, fact_row, whole
from feira.core.contracts import contract
from feira.core.contracts.dbt import write_declared
from feira.core.warehouse import load as loads
from feira.core.warehouse.load import Extract, load
from feira.core.warehouse.schema import connect, require_load_tables
from feira.sales.published import PUBLISHED
from feira_airflow.summary import built, marts

MARTS = ("customer_lifetime_value", "daily_revenue", "month_summary", "product_performance")
DAY = dt.date(2011, 3, 1)
# As many as lets what is in no note be overlooked by what is.
DATES = [dt.date(2010, 12, 20) + dt.timedelta(days=4 * each) for each in range(24)]
STATUSES = ("completed", "completed", "shipped", "pending", "failed", "cancelled")
Key = tuple[str, int]


@dataclass
class Shop:
    """A fact that changes at random, and the warehouse that its changes are loaded into."""

    connection: psycopg.Connection
    random: random.Random
    fact: dict[Key, Row] = field(default_factory=dict)
    snapshot: int = 0

    def load(self, changes: int, *, all_of_it: bool = False) -> None:
        """Loads that many changes, or the whole fact after them."""
        after = dict(self.fact)
        for _ in range(changes):
            self._change(after)
        changed = [key for key in {*self.fact, *after} if self.fact.get(key) != after.get(key)]
        gone = (("DELETE", self.fact[key]) for key in changed if key in self.fact)
        come = (("INSERT", after[key]) for key in changed if key in after)
        self.snapshot += 1
        found = (
            whole(self.snapshot, *after.values())
            if all_of_it
            else difference(self.snapshot, *gone, *come)
        )
        extract = Extract(DAY, self.snapshot, f"s3://lake/{self.snapshot}", 1, 1)
        load(self.connection, PUBLISHED, extract, lambda held: found)
        self.fact = after

    def _change(self, after: dict[Key, Row]) -> None:
        draw = self.random
        order = draw.choice("ABCDabcd") + draw.choice("12345")
        key = order, draw.randint(1, 3)
        kind = draw.random()
        if kind < 0.1:
            for each in [each for each in after if each[0] == order]:
                del after[each]
        elif kind < 0.25:
            after.pop(key, None)
        elif kind < 0.5 and key in after:
            column, value = draw.choice([*self._row(*key).items()])
            if column not in FACT.primary_key:
                after[key] = after[key] | {column: value}
        else:
            after[key] = self._row(*key)

    def _row(self, order: str, number: int) -> Row:
        draw = self.random
        status = draw.choice(STATUSES)
        sold = -1 if status == "cancelled" else 1
        return fact_row(
            order,
            number,
            status=status,
            sku=draw.choice(("10002", "10080", "22423", "85123A")),
            line_kind=draw.choice(("product", "product", "product", "postage")),
            description=draw.choice((None, "white", "WHITE", "red", "blue")),
            quantity=sold * draw.randint(1, 2_000_000_000),
            amount_usd=sold * Decimal(draw.randint(1, 99_999)) / 10_000,
            order_date=draw.choice(DATES),
            updated_at=dt.datetime(2011, 2, 1, draw.randrange(4), tzinfo=dt.UTC),
            customer_id=draw.choice((None, 1, 2, 3)),
            extract_day=DAY,
        )


def expected(fact: dict[Key, Row]) -> dict[str, list[tuple[Any, ...]]]:
    """The marts of a fact, by a plain program that knows nothing of the platform."""
    if not fact:
        return {mart: [] for mart in MARTS}
    frame = pd.DataFrame([*fact.values()], columns=[*FACT.column_names], dtype=object)
    columns = {mart: [*contract(f"marts.{mart}").column_names] for mart in MARTS}
    return {mart: plain(getattr(oracle_marts, mart)(frame)[columns[mart]]) for mart in MARTS}


def plain(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    rows = frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None)
    return sorted((tuple(map(shown, row)) for row in rows), key=repr)


def shown(value: Any) -> Any:
    """Amounts by their digits."""
    return f"{value:.4f}" if isinstance(value, Decimal) else value


def held(warehouse: Any) -> dict[str, list[tuple[Any, ...]]]:
    """The marts as they are."""
    rows = {mart: warehouse.rows(f"SELECT * FROM marts.{mart}") for mart in MARTS}
    return {
        mart: sorted((tuple(map(shown, row.values())) for row in found), key=repr)
        for mart, found in rows.items()
    }


class Replay:
    """Builds by the queries that dbt has compiled for a build that was not whole."""

    def __init__(self, warehouse: Any, project: Path) -> None:
        self.warehouse, self.project = warehouse, project
        (compiled,) = warehouse.scratch.glob("compiled/*/models")
        queries = {f"{it.parent.name}.{it.stem}": it.read_text() for it in compiled.glob("*/*.sql")}
        days = {name: "order_day" for name in queries if name.startswith("intermediate.")}
        days["marts.daily_revenue"] = "order_date"
        self.models = [
            (
                f"DELETE FROM {name} WHERE {day} IN (SELECT order_day FROM intermediate.touched)",
                f"INSERT INTO {name} {queries[name]}",
            )
            for name, day in days.items()
        ]
        self.models.append(("REFRESH MATERIALIZED VIEW marts.month_summary",))
        for name in ("marts.customer_lifetime_value", "marts.product_performance"):
            self.models.append((f"DELETE FROM {name}", f"INSERT INTO {name} {queries[name]}"))

    def build(self, ends_at: int | None, meanwhile: Callable[[], None]) -> bool:
        """Whether all of it succeeded: it is killed before the model ``ends_at``. ``meanwhile`` happens before
        each statement."""
        with connect(self.warehouse.dsns.dbt) as dbt:
            execute = dbt.execute

            def late(*statement: Any) -> Any:
                meanwhile()
                return execute(*statement)

            dbt.execute = late  # type: ignore[method-assign]
            done = False
            while not done:
                build = built.begin(dbt, self.project)
                if build.whole:
                    dbt.close()
                    self._by_dbt(meanwhile)
                    return True
                for number, statements in enumerate(self.models):
                    if number == ends_at:
                        return False
                    with dbt.transaction():
                        for statement in statements:
                            dbt.execute(statement.encode())
                done = built.finish(dbt, build)
            return True

    def _by_dbt(self, meanwhile: Callable[[], None]) -> None:
        def begin(*args: Any, **of: Any) -> built.Build:
            build = built.begin(*args, **of)
            for _ in range(10):
                meanwhile()
            return build

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(marts, "begin", begin)
            self.warehouse.build(whole=False)


@pytest.fixture
def loader(server: Any) -> Iterator[psycopg.Connection]:
    """A warehouse into which nothing was loaded."""
    with connect(server.dsns.warehouse_loader) as connection:
        for each in (PUBLISHED.table, PUBLISHED.ledger, PUBLISHED.changed_keys):
            connection.execute(f"DROP TABLE IF EXISTS {each} CASCADE")
        for each in (PUBLISHED.unreconciled, PUBLISHED.held_days, PUBLISHED.changed_dates):
            connection.execute(f"DROP TABLE IF EXISTS {each}")
        require_load_tables(connection, PUBLISHED)
        yield connection


@pytest.mark.parametrize(
    ("seed", "builds"), [(1, 12), pytest.param(2, 300, marks=pytest.mark.slow)]
)
def test_after_any_loads_and_kills_the_marts_are_those_of_the_whole_fact(
    server: Any, loader: psycopg.Connection, project: Path, seed: int, builds: int
) -> None:
    draw = random.Random(seed)
    shop = Shop(loader, draw)
    shop.load(80)
    for _ in range(2):
        server.build(whole=False)
        assert held(server) == expected(shop.fact)
        shop.load(3)
    server.build(whole=False)
    assert held(server) == expected(shop.fact)
    write_declared(project)
    replay = Replay(server, project)

    def meanwhile() -> None:
        if draw.random() < 0.02:
            shop.load(draw.randint(1, 4), all_of_it=draw.random() < 0.03)

    succeeded = 0
    for _ in range(builds):
        for _ in range(draw.choice((0, 1, 1, 1, 2, 3))):
            with pytest.MonkeyPatch.context() as patch:
                if draw.random() < 0.2:
                    patch.setattr(loads, "apply_straight", lambda *of: None)
                shop.load(draw.randint(0, 6), all_of_it=draw.random() < 0.03)
        ends_at = draw.choice((*[None] * len(replay.models), *range(len(replay.models))))
        if replay.build(ends_at, meanwhile):
            succeeded += 1
            assert held(server) == expected(shop.fact)
    assert succeeded > builds / 4
