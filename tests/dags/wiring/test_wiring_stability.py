"""Assets that another parse of their file has not are found, and none that it has."""

from __future__ import annotations

import datetime
import os
import sys
import time
from pathlib import Path

import pytest

from feira_wiring.linting import lint

TEXT = """
{imports}
from airflow.sdk import DAG, Asset, AssetAlias, task

O = {asset}
with DAG("load", schedule=None):
    task(task_id="emit", outlets=[O])(lambda: None)()
with DAG("report", schedule=[O]):
    task(task_id="build")(lambda: None)()
"""


def found(folder: Path) -> list[tuple[str, tuple[str, ...]]]:
    return [
        (each.level, each.dags) for each in lint(folder).findings if each.rule == "unstable-asset"
    ]


BOTH = ("load", "report")


@pytest.mark.parametrize(
    ("imports", "asset", "level"),
    [
        ("import uuid", "Asset(f's3://b/{uuid.uuid4()}')", "error"),
        ("from uuid import uuid1", "Asset('o', uri=f's3://b/{uuid1()}')", "error"),
        ("import random", "Asset(f'o{random.random()}')", "error"),
        ("import secrets", "AssetAlias(secrets.token_hex())", "error"),
        ("from datetime import datetime", "Asset(f'o{datetime.now():%H:%M:%S}')", "error"),
        ("import time", "Asset(f'o{int(time.time())}')", "error"),
        ("import time", "Asset('o' + time.strftime('%H%M'))", "error"),
        ("import os", "Asset(f'o{os.getpid()}')", "error"),
        ("import time", "Asset(f'o{time.time_ns() // 10**9}')", "error"),
        ("import time", "Asset(f'o{time.ctime()}')", "error"),
        ("import time", "Asset(f'o{time.localtime().tm_min}')", "error"),
        ("import time", "Asset(f'o{time.gmtime().tm_sec}')", "error"),
        ("import datetime", "Asset(f'o{datetime.datetime.today():%M}')", "error"),
        ("import datetime", "Asset(f'o{datetime.datetime.utcnow():%M}')", "error"),
        ("import datetime", "Asset(f'o{datetime.datetime.now(datetime.UTC):%M}')", "error"),
        ("", "Asset(f'o{hash(b\"o\")}')", "error"),
        ("import time", "Asset(f'o{time.localtime().tm_year}')", "warning"),
        ("import time", "Asset(time.strftime('%Y'))", "warning"),
        ("import datetime", "Asset(f'o{datetime.datetime.utcnow().year}')", "warning"),
        ("import time", "Asset(time.strftime('%Y', time.gmtime(0)) + time.ctime(0))", None),
        ("import time", 'Asset(f\'o{time.localtime(0).tm_year}{time.strptime("1", "%M")}\')', None),
        ("", "Asset(f'o{hash(7)}')", None),
        (
            "import datetime as d",
            "Asset(f'o{isinstance(d.datetime(2010, 1, 1), d.datetime)}today')",
            None,
        ),
        ("import datetime as d", "Asset(f'o{isinstance(d.date(2010, 1, 1), d.date)}today')", None),
        ("", "Asset(f'o{hash(\"o\")}')", "error"),
        ("import pendulum", "Asset(f'o{pendulum.now():%M}')", "error"),
        ("from airflow.sdk import timezone", "Asset(f'o{timezone.utcnow():%M}')", "error"),
        ("import datetime", "Asset(f'o{datetime.date.today()}')", "warning"),
        ("from datetime import date", "Asset(f'o{date.today().year}')", "warning"),
        ("import pendulum", "Asset(pendulum.today().to_date_string())", "warning"),
        ("import uuid", "Asset(f'o{uuid.uuid5(uuid.NAMESPACE_DNS, \"o\")}')", None),
        ("import random; random.seed(7)", "Asset(f'o{random.random()}')", None),
        ("from datetime import date, datetime", "Asset(f'o{date(2010, 12, 1)}')", None),
        ("import datetime; NOW = datetime.datetime.now()", "Asset('o')", None),
    ],
)
def test_an_asset_that_changes_with_the_parse_or_the_day_is_found(
    tmp_path: Path, imports: str, asset: str, level: str | None
) -> None:
    (tmp_path / "dags.py").write_text(TEXT.format(imports=imports, asset=asset))
    assert found(tmp_path) == ([(level, BOTH)] if level else [])
    problems = [e.problem for e in lint(tmp_path).findings if e.rule == "unstable-asset"]
    when = "each time its file is parsed." if level == "error" else "as time goes by."
    assert all(each.endswith(when) for each in problems)


@pytest.mark.parametrize(
    ("run", "level"),
    [
        ("import uuid\nRUN = uuid.uuid4()\n", "error"),
        ("import datetime\nRUN = datetime.date.today()\n", "warning"),
    ],
)
def test_it_is_found_where_a_module_beside_the_dag_files_makes_it(
    tmp_path: Path, run: str, level: str
) -> None:
    (tmp_path / "ids.py").write_text(run)
    (tmp_path / "names.py").write_text("from ids import RUN\nORDERS = f'orders-{RUN}'\n")
    text = TEXT.format(imports="from names import ORDERS", asset="Asset(ORDERS)")
    (tmp_path / "dags.py").write_text(text)
    assert found(tmp_path) == [(level, BOTH)]


def test_what_was_changed_to_find_it_is_as_before(tmp_path: Path) -> None:
    before = (datetime.datetime, datetime.date, time.time, time.strftime, os.getpid, hash)
    modules = set(sys.modules)
    (tmp_path / "ids.py").write_text("import uuid\nRUN = uuid.uuid4()\n")
    text = TEXT.format(imports="from ids import RUN", asset="Asset(f'o{RUN}')")
    (tmp_path / "dags.py").write_text(text)
    assert len(found(tmp_path)) == 1
    assert (datetime.datetime, datetime.date, time.time, time.strftime, os.getpid, hash) == before
    assert "ids" not in set(sys.modules) - modules


def test_a_file_that_fails_when_it_is_loaded_again_is_no_finding(tmp_path: Path) -> None:
    again = (
        "import builtins, uuid\nassert not hasattr(builtins, 'seen_once')\nbuiltins.seen_once = 1"
    )
    (tmp_path / "dags.py").write_text(TEXT.format(imports=again, asset="Asset('o')"))
    try:
        assert lint(tmp_path).findings == ()
    finally:
        import builtins

        vars(builtins).pop("seen_once", None)
