"""What docs/own-api.md and docs/add-a-pipeline.md tell people to type does what they say."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import psycopg
import pytest
import yaml

from checkout import copy_checkout
from feira.core.contracts import contract
from feira_airflow.core.pipelines import pipelines
from feira_local.stack.postgres import Dsns
from reported_days import D1, Shop, line
from shop_server import served
from temporary_postgres import free_port

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[3]
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
    assert "OrdersApiHook(SHOP_API)" in changed(source.read_text(), tasks)
    etl = (REPOSITORY / "airflow" / "dags" / "sales_etl.py").read_text()
    assert 'endpoint="ping",' in changed(etl, dag)


SOURCES = ("shared/src", "spark/src", "airflow/src", "airflow/provider/src", "tilt/src")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone in which somebody has followed the page to its sixth step."""
    clone = tmp_path_factory.mktemp("clone")
    copy_checkout(clone)
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.invalid")
    for command in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-qm", "clone")):
        subprocess.run(["git", *command], cwd=clone, check=True)
    assert not blocks(PAGE, "diff"), "a pipeline joins by new files alone"
    for block in [*blocks(PAGE, "python"), *blocks(PAGE, "yaml")]:
        path, text = block.split("\n", 1)
        file = clone / path.removeprefix("# ")
        assert not file.exists(), file
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    for folder in ("airflow/src/feira_airflow/countries", "tilt/src/feira_local/countries"):
        (clone / folder / "__init__.py").touch()
    done = run(clone, "from feira_local.cli import main; main()", "docs")
    assert done.returncode == 0, done.stdout + done.stderr
    return clone


PAGE = "add-a-pipeline.md"


def run(clone: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in the clone, by its own sources."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(str(clone / source) for source in SOURCES)}
        | {"FEIRA_REPOSITORY": str(clone), "FEIRA_HOME": str(clone / ".feira")},
        cwd=clone,
        capture_output=True,
        text=True,
        check=False,
    )


LINT = "import sys; from feira_wiring.command import main; sys.exit(main(sys.argv[1:]))"


def lint(clone: Path) -> subprocess.CompletedProcess[str]:
    return run(clone, LINT, str(clone / "airflow" / "dags"), "--fail-on", "warning")


def test_the_pipeline_of_the_page_is_new_files_alone(checkout: Path) -> None:
    status = ("git", "status", "--porcelain", "--untracked-files=all")
    found = subprocess.run(status, cwd=checkout, capture_output=True, text=True, check=True)
    assert sorted(found.stdout.splitlines()) == [
        "?? airflow/dags/country_revenue.py",
        "?? airflow/src/feira_airflow/countries/__init__.py",
        "?? airflow/src/feira_airflow/countries/pipeline.py",
        "?? airflow/src/feira_airflow/countries/tasks.py",
        "?? docs/dags/country_revenue.md",
        "?? shared/contracts/geo.country_revenue.odcs.yaml",
        "?? tilt/src/feira_local/countries/__init__.py",
        "?? tilt/src/feira_local/countries/local.py",
    ]


JOINED = """
import json
from feira.core.contracts.registry import stored_in
from feira.core.warehouse.grants import grants
from feira_airflow.core.pipelines import pipelines
from feira_airflow.core.pools import document
from feira_local.cli.pipelines import states
from feira_local.stack import airflow
from feira_local.stack.config import StackConfig
from feira_local.stack.secrets import load_secrets
from feira_local.stack.services import services

class NoEvents:
    def last_event(self, asset):
        return {"partition": None, "at": None}
    def waiting(self):
        return {}

config = StackConfig.from_env()
secrets = load_secrets(config.home)
print(json.dumps({
    "status": [each for each in states(NoEvents()) if each["pipeline"] == "countries"],
    "pipelines": [each.name for each in pipelines()],
    "pool": json.loads(document())["geo_api"]["slots"],
    "tables": [each.table for each in stored_in("warehouse")],
    "schema": any('schema "geo"' in each for each in grants()),
    "services": [each.name for each in services(config, secrets)],
    "connection": json.loads(airflow.connections(config, secrets)["AIRFLOW_CONN_GEO_API"]),
}))
"""


def test_the_platform_knows_the_pipeline_of_the_page_in_every_layer(checkout: Path) -> None:
    asked = run(checkout, JOINED)
    assert asked.returncode == 0, asked.stderr[-2000:]
    found = json.loads(asked.stdout.splitlines()[-1])
    assert found["pipelines"] == sorted(["countries", *(each.name for each in pipelines())])
    assert found["pool"] == 1
    assert "geo.country_revenue" in found["tables"] and found["schema"]
    assert "geo" in found["services"]
    assert found["connection"]["port"] == 18030
    assert found["status"] == [
        {
            "pipeline": "countries",
            "dags": ["country_revenue"],
            "tables": ["geo.country_revenue"],
            "assets": [{"asset": "country_revenue", "partition": None, "at": None}],
            "waiting": 0,
        }
    ]


def test_the_platforms_own_tests_take_the_pipeline_of_the_page(checkout: Path) -> None:
    """They hold it to the rules that hold for every pipeline, and know it without being changed."""
    tests = (
        "dags/core/test_graphs.py",
        "dags/core/test_pipelines.py",
        "shared/core/test_contracts_dbt.py",
    )
    code = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    done = run(checkout, code, "-vv", "-p", "no:cacheprovider", *(f"tests/{t}" for t in tests))
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.search(r"test_graphs\.py::.*country_revenue.* PASSED", done.stdout)


def test_the_pipeline_of_the_page_is_wired(checkout: Path) -> None:
    linted = lint(checkout)
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.fixture
def other(checkout: Path) -> Iterator[Path]:
    """The clone, for a test that changes one of the pipeline's files."""
    files = [checkout / "airflow/dags/country_revenue.py"]
    files += (checkout / "airflow/src/feira_airflow/countries").glob("*.py")
    texts = {file: file.read_text() for file in files}
    yield checkout
    for file, text in texts.items():
        file.write_text(text)


def test_without_its_mark_the_linter_says_what_the_page_says(other: Path) -> None:
    declaration = other / "airflow/src/feira_airflow/countries/pipeline.py"
    assert ", people_read=True" in declaration.read_text()
    declaration.write_text(declaration.read_text().replace(", people_read=True", ""))
    linted = lint(other)
    assert linted.returncode == 1
    assert "no-listener" in linted.stdout and "country_revenue" in linted.stdout


def test_with_a_plain_listener_the_linter_says_what_the_page_says(other: Path) -> None:
    dag = other / "airflow/dags/country_revenue.py"
    dag.write_text(dag.read_text().replace("schedule=DAYS.heard(MARTS)", "schedule=MARTS"))
    linted = lint(other)
    assert linted.returncode == 1
    assert "sales_summary" in linted.stdout and "country_revenue" in linted.stdout


TASK = """
import json, os, subprocess, sys, time, urllib.request
import feira_local.countries.local as local
from feira_local.stack.config import StackConfig
from feira_local.stack.secrets import load_secrets
from feira_airflow.countries.tasks import build

config = StackConfig.from_env()
(service,) = local.services(config)
service.prepare(config, load_secrets(config.home))
server = subprocess.Popen(service.command, cwd=service.cwd, stderr=subprocess.DEVNULL)
try:
    while server.poll() is None:
        try:
            urllib.request.urlopen(service.health.url)
            break
        except OSError:
            time.sleep(0.05)
    described = local.connections(config)["geo_api"]
    os.environ["AIRFLOW_CONN_GEO_API"] = json.dumps(described)
    build()
    print(json.dumps(build()))
finally:
    server.terminate()
    server.wait()
"""


VERIFIED = """
import json
from feira_local.cli.tables import in_warehouse
from feira_local.stack.access import warehouse

with warehouse() as connection:
    print(json.dumps([each for each in in_warehouse(connection)]))
"""


def test_the_task_of_the_page_makes_the_countries_of_the_fact(
    checkout: Path, shop: Shop, empty_warehouse: Dsns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two orders of Portugal, one of them of two lines; one of nowhere; a pending one counts for none."""
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
    sql = run(checkout, "from feira_local.cli import main; main()", "contracts", "grants").stdout
    owner = empty_warehouse.superuser.removesuffix("/postgres") + "/warehouse"
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS geo CASCADE")
        connection.execute(sql)
    monkeypatch.setenv("FEIRA_PORT_GEO", str(free_port()))
    monkeypatch.setenv(
        "AIRFLOW_CONN_WAREHOUSE_DEFAULT",
        empty_warehouse.warehouse_loader.replace("postgresql://", "postgres://"),
    )
    done = run(checkout, TASK)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {"table": "geo.country_revenue", "rows": 3}
    own = checkout / ".feira" / "connections.yaml"
    found = urlsplit(empty_warehouse.reader)
    reader = {"conn_type": "postgres", "host": found.hostname, "port": found.port}
    reader |= {"login": found.username, "password": found.password, "schema": found.path[1:]}
    own.write_text(yaml.safe_dump({"warehouse_reader": reader}))
    own.chmod(0o600)
    feira = "from feira_local.cli import main; main()"
    listed = json.loads(run(checkout, feira, "show", "country_revenue", "--json").stdout)
    verified = json.loads(run(checkout, VERIFIED).stdout)
    rows = shop.connection.execute(
        "SELECT country, region, orders, revenue_usd FROM geo.country_revenue ORDER BY 1"
    ).fetchall()
    with psycopg.connect(empty_warehouse.reader) as reader:
        read = reader.execute("SELECT count(*) FROM geo.country_revenue").fetchone()
    shop.connection.execute("DROP TABLE geo.country_revenue")
    assert read == (3,)
    assert [row["country"] for row in listed] == ["Côte d'Ivoire", "Portugal", "unknown"]
    assert {
        "table": "geo.country_revenue",
        "where": "warehouse",
        "rows": 3,
        "state": "as declared",
    } in verified
    assert rows == [
        ("Côte d'Ivoire", None, 1, Decimal("20.0000")),
        ("Portugal", "Southern Europe", 2, Decimal("13.5000")),
        ("unknown", None, 1, Decimal("7.0000")),
    ]
