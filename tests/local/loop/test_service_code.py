"""What a service is restarted for: each file that it has read at its start, and no other service's."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from feira.core.settings import repository_root
from feira_local.stack.config import StackConfig
from feira_local.stack.lifecycle import Stack
from feira_local.stack.local_parts import LocalPart
from feira_local.stack.service import Service

_MONITORING = "tilt/src/feira_local/monitoring"
# By a file that is saved: what is restarted, of what the stack has. docs/tilt.md has the same in words.
RESTARTED = {
    "airflow/dags/sales_etl.py": set(),
    "spark/src/feira_spark/sales/transform.py": set(),
    "infra/dbt/models/marts/daily_revenue.sql": set(),
    "shared/contracts/sales/sales.fact.odcs.yaml": {"exporter"},
    "shared/contracts/events/web.user_events.odcs.yaml": {"exporter", "recommendations"},
    "shared/contracts/events/web.user_events.1.avsc": {"exporter", "recommendations"},
    "shared/src/feira/core/errors.py": {"airflow-triggerer", "exporter", "recommendations"},
    "shared/src/feira/core/lineage_event.py": {"airflow-triggerer", "exporter", "inbox", "recommendations"},
    "shared/src/feira/user_events/codec.py": {"exporter", "recommendations"},
    "shared/src/feira/user_events/incoming.py": {"recommendations"},
    "shared/src/feira/recommendations/serving/app.py": {"recommendations"},
    "shared/src/feira/monitoring/judged.py": {"exporter"},
    "shared/src/feira/sales/landing.py": {"exporter"},
    f"{_MONITORING}/heaps.py": {"exporter"},
    f"{_MONITORING}/__main__.py": {"exporter"},
    f"{_MONITORING}/prometheus.py": {"alertmanager", "prometheus"},
    f"{_MONITORING}/dashboards.py": set(),
    "infra/monitoring/rules/alerts.yml": {"prometheus"},
    "airflow/src/feira_airflow/core/pools.py": {"airflow-migrate"},
    "airflow/src/feira_airflow/core/xcom.py": {"airflow-scheduler", "airflow-triggerer"},
    "tilt/src/feira_local/kafka/local.py": {"kafka"},
    "tilt/src/feira_local/kafka/log4j2.properties": {"kafka"},
    "tilt/src/feira_local/kafka/topics.py": {"kafka-topics"},
    "tilt/src/feira_local/web/local.py": {"kafka-topics"},
    "tilt/src/feira_local/valkey/local.py": {"valkey"},
    "tilt/src/feira_local/shop/faults.py": {"shop"},
    "tilt/src/feira_local/inbox/app.py": {"inbox"},
    "tilt/src/feira_local/stack/lifecycle.py": set(),
}  # fmt: skip


def is_covered(path: Path, service: Service) -> bool:
    return any(path.is_relative_to(code) for code in service.code or ())


@pytest.mark.parametrize("home", ["plain", "watched"], indirect=True)
def test_a_saved_file_restarts_what_has_read_it_and_nothing_else(
    services: dict[str, Service],
) -> None:
    for saved, expected in RESTARTED.items():
        path = repository_root() / saved
        assert path.is_file(), saved
        found = {name for name, service in services.items() if is_covered(path, service)}
        assert found == expected & services.keys(), saved
    for service in services.values():
        assert all(code.exists() for code in service.code or ()), service.name


def test_a_parts_own_folder_is_the_code_that_its_service_runs(services: dict[str, Service]) -> None:
    package = repository_root() / "tilt" / "src" / "feira_local"
    assert services["shop"].code == (package / "shop",)


def test_a_part_may_state_that_its_service_runs_no_code_of_ours(
    monkeypatch: pytest.MonkeyPatch, services: dict[str, Service]
) -> None:
    bare = replace(services["shop"], code=())
    part = LocalPart("shop", services=lambda _: (bare,))
    monkeypatch.setattr(StackConfig, "parts", property(lambda _: (part,)))
    found = {each.name: each for each in Stack.of(StackConfig.from_env()).services}
    assert found["shop"].code == ()
    assert found["shop"].as_json()["code"] == found["postgres"].as_json()["code"] == []


HELD = """
from airflow.executors.local_executor import LocalExecutor
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
"""
# Ends each of these programs; ``opened`` are files that it has read beside its modules.
PRINT = """
held = (it.__file__ for name, it in sys.modules.items() if name.startswith("{prefix}") and it.__file__)
print(*held, *opened, sep=":")
"""


def modules_held(service: Service, code: str, home: Path, prefix: str = "feira") -> set[Path]:
    """The files of our modules that a process of the service holds after the code, and those in its ``opened``."""
    env = service.env | {"AIRFLOW_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    program = f"import sys\nopened = set()\n{code}{PRINT.format(prefix=prefix)}"
    command = (sys.executable, "-W", "ignore", "-c", program)
    ended = subprocess.run(
        command, env=os.environ | env, capture_output=True, text=True, check=True, timeout=120
    )
    (*_, last) = ended.stdout.splitlines()
    return {Path(path) for path in last.split(":") if not path.endswith("/__init__.py")}


@pytest.mark.slow
def test_the_scheduler_holds_no_other_module_of_ours_than_it_is_restarted_for(
    services: dict[str, Service], home: Path
) -> None:
    scheduler = services["airflow-scheduler"]
    held = modules_held(scheduler, HELD, home)
    # The provider describes itself when Airflow asks what is installed.
    held = {path for path in held if path.name != "get_provider_info.py"}
    assert held == set(scheduler.code or ())


HELD_BY_TRIGGERS = """
import importlib, pkgutil
import feira_provider.notifiers, feira_provider.triggers
from airflow.jobs.triggerer_job_runner import TriggererJobRunner
for folder in (feira_provider.triggers, feira_provider.notifiers):
    for each in pkgutil.iter_modules(folder.__path__, folder.__name__ + "."):
        importlib.import_module(each.name)
"""


@pytest.mark.slow
def test_the_triggerer_is_restarted_for_every_module_of_ours_that_it_holds(
    services: dict[str, Service], home: Path
) -> None:
    triggerer = services["airflow-triggerer"]
    held = modules_held(triggerer, HELD_BY_TRIGGERS, home)
    assert "manifest.py" in {path.name for path in held}
    assert [it for it in held if not is_covered(it, triggerer)] == []


@pytest.mark.parametrize(
    ("name", "read"),
    [("inbox", {"app.py", "lineage_event.py"}), ("shop", {"app.py", "source.py"})],
)
def test_a_server_of_the_stack_is_restarted_for_every_module_of_ours_that_it_holds(
    name: str, read: set[str], services: dict[str, Service], home: Path
) -> None:
    server = services[name]
    held = modules_held(server, f"import feira_local.{name}.__main__", home)
    assert read <= {path.name for path in held}
    assert [path for path in held if not is_covered(path, server)] == []


# Every contract that is opened counts, too, and every schema beside one.
OPENED = """
def note(event, args):
    if event == "open" and str(args[0]).endswith((".odcs.yaml", ".avsc")):
        opened.add(str(args[0]))
sys.addaudithook(note)
"""
HELD_BY_THE_API = f"""{OPENED}
import feira.core.lake
import feira.recommendations.serving.__main__
from feira.user_events import codec
codec.load()
"""
# Its own modules and what they import of the pipelines. What it asks for addresses is the stack's own code, which
# takes effect with `feira down` and `feira up`.
HELD_BY_THE_EXPORTER = f"""{OPENED}
import ast, importlib
from importlib.util import find_spec
left, own = ["feira_local.monitoring.__main__"], set()
while left:
    path = find_spec(left.pop()).origin
    own.add(path)
    for node in ast.walk(ast.parse(open(path).read())):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("feira_local.monitoring."):
            left.append(node.module)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("feira."):
            importlib.import_module(node.module)
from feira.core.contracts.registry import contracts
contracts()
opened |= own
"""


def test_the_api_of_recommendations_is_restarted_for_every_module_and_contract_that_it_holds(
    services: dict[str, Service], home: Path
) -> None:
    api = services["recommendations"]
    held = modules_held(api, HELD_BY_THE_API, home)
    read = {"app.py", "incoming.py", "web.user_events.odcs.yaml", "web.user_events.1.avsc"}
    assert read <= {path.name for path in held}
    assert [path for path in held if not is_covered(path, api)] == []


@pytest.mark.parametrize("home", ["watched"], indirect=True)
def test_the_exporter_is_restarted_for_every_module_and_contract_that_it_holds(
    services: dict[str, Service], home: Path
) -> None:
    exporter = services["exporter"]
    held = modules_held(exporter, HELD_BY_THE_EXPORTER, home, prefix="feira.")
    assert {"heaps.py", "judged.py", "sales.fact.odcs.yaml"} <= {path.name for path in held}
    assert [path for path in held if not is_covered(path, exporter)] == []
    # And for none that it does not hold.
    assert all(any(path.is_relative_to(code) for path in held) for code in exporter.code or ())
