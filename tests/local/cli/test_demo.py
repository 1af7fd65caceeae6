"""The end of the demo: what customers bought and are offered, by name; or why there is nothing to show."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import psycopg
import pytest
import typer

from fact_rows import FACT, fact_row
from feira.core.warehouse.schema import create_missing
from feira_local.cli import demo
from feira_local.cli.recommendations_gate import Judged
from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.postgres import Dsns
from temporary_postgres import free_port

Offers = dict[tuple[str, str], list[dict[str, Any]]]


def bought(customer: int | None, sku: str, hour: int, **known: Any) -> dict[str, Any]:
    """A line of its own, updated an hour after it was created."""
    created = dt.datetime(2010, 12, 1, hour, tzinfo=dt.UTC)
    times = {"created_at": created, "updated_at": created + dt.timedelta(hours=1)}
    order = f"{customer}-{sku}-{hour}"
    return fact_row(order, 1, **times) | {"customer_id": customer, "sku": sku} | known


@pytest.fixture
def lines(empty_warehouse: Dsns, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    found = [
        bought(2, "B", 9, description="an owl"),
        bought(2, "B", 12, description="AN OWL"),
        bought(2, "C", 10, description=None),
        bought(2, "A", 8, description="\x1b[31mA MUG"),
        bought(2, "D", 7, description="A TIN"),
        bought(10, "B", 9, description="an owl"),
        bought(10, "A", 7, description="x"),
        bought(3, "A", 7, description="x"),
        bought(3, "X", 9, status="cancelled"),
        bought(3, "POST", 9, line_kind="postage"),
        bought(4, "A", 7, description="x"),
        *(bought(None, each, 9, description=None) for each in "ABCDEFG"),
    ]
    with psycopg.connect(empty_warehouse.warehouse_loader) as loader:
        create_missing(loader, [FACT])
        names = ", ".join(found[0])
        places = ", ".join(["%s"] * len(found[0]))
        loader.cursor().executemany(
            f"INSERT INTO sales.fact ({names}) VALUES ({places})",
            [[*row.values()] for row in found],
        )
    monkeypatch.setattr(demo, "warehouse", lambda: psycopg.connect(empty_warehouse.reader))
    return found


def test_the_three_with_the_most_products_are_shown_with_names_and_reasons(
    lines: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    offers: Offers = {
        ("2", "again"): [{"item": "B", "reason": "bought_before"}],
        ("2", "new"): [
            {"item": "Z", "reason": "goes_with", "reason_item": "B"},
            {"item": "D", "reason": "popular"},
        ],
    }
    monkeypatch.setattr(demo, "_offers", lambda _, *asked: offers.get(asked, []))
    demo._print_offers()
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in shown if line.strip().startswith("customer")] == [
        "2",
        "10",
        "3",
    ]
    assert [re.split("  +", line.strip()) for line in shown[2:8]] == [
        ["bought 4, last", "AN OWL"],
        ["C"],
        [r"\x1b[31mA MUG"],
        ["offered, again", "AN OWL", "bought before"],
        ["offered, new", "Z", "goes with AN OWL"],
        ["A TIN", "popular"],
    ]
    for link in ("/recommendations/2?slot=new&n=3", "/ui?user=2", "/docs"):
        assert any(line.endswith(link) for line in shown)


@pytest.mark.parametrize(
    ("judged", "approved"),
    [
        ({}, []),
        ({"2010-12-01-002": Judged("passed", None)}, []),
        ({"2010-12-01-002": Judged("not_enough_to_tell", "ana")}, []),
        ({"2010-12-02-001": Judged("not_enough_to_tell", None)}, []),
        ({"2010-12-01-001": Judged("not_enough_to_tell", None),
          "2010-12-01-002": Judged("not_enough_to_tell", None)}, ["2010-12-01-002"]),
    ],
)  # fmt: skip
def test_the_days_newest_version_is_approved_where_it_waits_and_that_is_said(
    judged: dict[str, Judged],
    approved: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    done: list[str] = []
    monkeypatch.setattr(demo, "list_store", lambda: None)
    monkeypatch.setattr(demo, "judged_versions", lambda *_: judged)
    monkeypatch.setattr(
        demo.recommendations_gate, "approve", lambda version, why: done.append(version)
    )
    demo._approve(dt.date(2010, 12, 1))
    assert done == approved
    said = capsys.readouterr().out
    assert all(f"`feira recommendations approve {each} " in said for each in approved)


def test_an_api_that_does_not_answer_is_named() -> None:
    api = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(StackError, match=f"{api}/recommendations/2 .*`feira status`"):
        demo._offers(api, "2", "new")


@pytest.mark.parametrize(
    ("without", "named"), [("kafka", "kafka"), ("valkey,kafka", "kafka and valkey")]
)
def test_a_demo_without_a_part_ends_with_the_sales_and_says_so(
    without: str,
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Any,
) -> None:
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path))
    monkeypatch.setenv("FEIRA_WITHOUT", without)
    ran: list[str] = []
    monkeypatch.setattr(demo.stack_commands, "start", lambda _: StackConfig.from_env())
    monkeypatch.setattr(demo, "run_days", lambda pipeline, *_, **__: ran.append(pipeline))
    demo.demo()
    assert ran == ["sales"]
    assert f"No recommendations: the stack runs without {named}." in capsys.readouterr().out


def test_a_demo_whose_lists_the_gate_refuses_says_what_that_means_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failed(*_: Any, **__: Any) -> None:
        raise typer.Exit(1)

    judged = {"2010-12-01-001": Judged("passed", None), "2010-12-02-001": Judged("refused", None)}
    config = StackConfig.from_env()
    monkeypatch.setattr(demo, "running_config", lambda: config)
    monkeypatch.setattr(demo.events, "produce", lambda *_, **__: None)
    monkeypatch.setattr(demo, "run_days", failed)
    monkeypatch.setattr(demo, "list_store", lambda: None)
    monkeypatch.setattr(demo, "judged_versions", lambda *_: judged)
    with pytest.raises(typer.Exit) as ended:
        demo._recommend("2010-12-01..2010-12-02", [dt.date(2010, 12, 1), dt.date(2010, 12, 2)])
    assert ended.value.exit_code == 1
    said = capsys.readouterr().out
    assert "refused 2010-12-02-001:" in said and "2010-12-01-001" not in said
