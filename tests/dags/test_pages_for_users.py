"""What docs/own-api.md and docs/add-a-pipeline.md tell people to type does what they say."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest

from feira.contracts import contract
from reported_days import D1, Shop, line
from shop_server import served

REPOSITORY = Path(__file__).resolve().parents[2]
DAY = date(2026, 11, 1)


def blocks(page: str, language: str) -> list[str]:
    text = (REPOSITORY / "docs" / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def code(page: str, path: str) -> str:
    """The block that begins with the path of the file it is."""
    (found,) = [block for block in blocks(page, "python") if block.startswith(f"# {path}\n")]
    return found.split("\n", 1)[1]


def changed(text: str, diff: str) -> str:
    """The text with a page's diff applied; each hunk must fit one place."""
    for hunk in re.split(r"^@@\n", diff, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] or "\n" for line in lines if not line.startswith("+"))
        after = "".join(line[1:] or "\n" for line in lines if not line.startswith("-"))
        assert text.count(before) == 1, f"this stands {text.count(before)} times:\n{before}"
        text = text.replace(before, after)
    return text


def module(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def orders_feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The hook of the page, before the API of the page."""
    api, hook = tmp_path / "orders_api.py", tmp_path / "orders_hook.py"
    api.write_text(code("own-api.md", "orders_api.py"))
    hook.write_text(
        code("own-api.md", "airflow/src/feira_airflow/sales/orders_api.py"),
    )
    with served(module("orders_api", api).app) as url:
        monkeypatch.setenv("AIRFLOW_CONN_SHOP_API", url)
        yield module("orders_hook", hook)


def test_the_hook_of_the_page_gives_the_lines_that_landing_takes(orders_feed: ModuleType) -> None:
    pages = list(orders_feed.OrdersApiHook("shop_api").pages(DAY))
    lines = [json.loads(line) for page in pages for line in page.lines]
    assert [page.number for page in pages] == [1, 2]
    assert {page.total for page in pages} == {120}
    assert len(lines) == 120
    assert len({(line["order_id"], line["line_number"]) for line in lines}) == 120
    assert {tuple(line) for line in lines} == {tuple(contract("sales.landing").column_names)}
    # The first order: number 0, cancelled, three articles from 20000 on at 450 cents.
    assert [
        (line["sku"], line["quantity"], line["unit_price"], line["status"]) for line in lines[:3]
    ] == [(f"{20000 + n}", n + 1, "4.5", "cancelled") for n in range(3)]
    assert {line["updated_at"][:10] for line in lines} == {"2026-11-01"}


def test_the_rates_of_the_page_cover_both_ends(orders_feed: ModuleType) -> None:
    rates = orders_feed.OrdersApiHook("shop_api").rates(DAY, date(2026, 11, 3))
    assert [rate["rate_date"] for rate in rates] == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert {Decimal(rate["usd_rate"]) for rate in rates} == {Decimal("1.15")}


def test_the_changes_of_the_api_page_fit_the_pipeline() -> None:
    tasks, dag = blocks("own-api.md", "diff")
    source = REPOSITORY / "airflow" / "src" / "feira_airflow" / "sales" / "tasks.py"
    assert "OrdersApiHook(SHOP_API)," in changed(source.read_text(), tasks)
    etl = (REPOSITORY / "airflow" / "dags" / "sales_etl.py").read_text()
    assert 'endpoint="ping",' in changed(etl, dag)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the platform's Airflow part with the new pipeline's files."""
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("airflow", "shared"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=ignored)
    for path in (
        "airflow/src/feira_airflow/countries/pipeline.py",
        "airflow/src/feira_airflow/countries/tasks.py",
        "airflow/dags/country_revenue.py",
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(code("add-a-pipeline.md", path))
    (tmp_path / "airflow/src/feira_airflow/countries/__init__.py").touch()
    assert not blocks("add-a-pipeline.md", "diff"), "a pipeline joins by new files alone"
    return tmp_path


def lint(checkout: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "feira_airflow.wiring",
            str(checkout / "airflow" / "dags"),
            "--fail-on",
            "warning",
        ],
        env=os.environ
        | {
            "PYTHONPATH": str(checkout / "airflow" / "src"),
            "FEIRA_REPOSITORY": str(REPOSITORY),
        },
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_pipeline_of_the_page_is_wired(checkout: Path) -> None:
    linted = lint(checkout)
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_without_its_mark_the_linter_says_what_the_page_says(checkout: Path) -> None:
    declaration = checkout / "airflow/src/feira_airflow/countries/pipeline.py"
    mark = '    extra={"lint_ignore": ["no-listener"]},\n'
    assert mark in declaration.read_text()
    declaration.write_text(declaration.read_text().replace(mark, ""))
    linted = lint(checkout)
    assert linted.returncode == 1
    assert "no-listener" in linted.stdout and "country_revenue" in linted.stdout


def test_the_pipeline_of_the_page_is_found_with_its_page(checkout: Path) -> None:
    code = (
        "from feira_airflow.core.dag_pages import pages\n"
        "from feira_airflow.core.pipelines import pipelines\n"
        "print([each.name for each in pipelines()], sorted(pages()))"
    )
    asked = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ
        | {
            "PYTHONPATH": f"{checkout / 'airflow/src'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            "FEIRA_REPOSITORY": str(checkout),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr[-2000:]
    assert asked.stdout.splitlines()[-1] == (
        "['countries', 'sales', 'summary'] "
        "['country_revenue', 'sales_etl', 'sales_summary', 'sales_watch']"
    )


def test_with_a_plain_listener_the_linter_says_what_the_page_says(checkout: Path) -> None:
    dag = checkout / "airflow/dags/country_revenue.py"
    dag.write_text(dag.read_text().replace("schedule=on_day_of(MARTS)", "schedule=MARTS"))
    linted = lint(checkout)
    assert linted.returncode == 1
    assert "sales_summary" in linted.stdout and "country_revenue" in linted.stdout


def test_the_task_of_the_page_exports_the_countries_of_the_fact(
    checkout: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two orders of Portugal, one of them of two lines; one of nowhere; a pending one counts for none."""
    task = module("countries_tasks", checkout / "airflow/src/feira_airflow/countries/tasks.py")
    shop.run(
        D1,
        [
            line("1", D1, "10.0000", country="Portugal"),
            line("1", D1, "2.5000", line_number=2, country="Portugal"),
            line("2", D1, "1.0000", country="Portugal"),
            line("3", D1, "20.0000", country="Côte d'Ivoire"),
            line("4", D1, "7.0000", country=None),
            line("5", D1, "99.0000", country="Portugal", status="pending"),
        ],
    )
    monkeypatch.setattr(task, "partition_day", lambda: D1)
    found = task.export()
    assert found["export"].endswith("/exports/country_revenue/2010-12-01/revenue.csv")
    assert found["rows"] == 3
    written = shop.landings.files.cat_file(found["export"]).decode()
    assert list(csv.reader(written.splitlines())) == [
        ["country", "orders", "revenue_usd"],
        ["Côte d'Ivoire", "1", "20.0000"],
        ["Portugal", "2", "13.5000"],
        ["unknown", "1", "7.0000"],
    ]
