"""The provider as Airflow meets it: built as a wheel, installed with the core alone, discovered, and described."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import BaseHook, BaseNotifier, BaseOperator
from airflow.triggers.base import BaseTrigger

import feira_provider
from feira_provider.get_provider_info import get_provider_info
from feira_provider.notifiers.deadline import run_deadlines
from wheels import imported, install

PROVIDER = Path(__file__).resolve().parents[3] / "airflow" / "provider"
PROJECT = tomllib.loads((PROVIDER / "pyproject.toml").read_text())["project"]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(feira_provider.__path__, "feira_provider.")
    if not module.ispkg
)

# Runs where the wheel alone is installed: imports every module, and asks Airflow what it found.
INSTALLED = """
import importlib, json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        first, _, rest = name.partition(".")
        if first in {"feira_spark", "feira_airflow", "feira_local"} or (
            first == "feira" and rest and rest.partition(".")[0] != "core"
        ):
            raise ImportError(name)

sys.meta_path.insert(0, Blocker())
files = [importlib.import_module(name).__file__ for name in sys.argv[1:]]
from airflow.providers_manager import ProvidersManager
manager = ProvidersManager()
provider = manager.providers["airflow-provider-feira"]
hook = manager.hooks["paged_api"]
fields = [
    name.removeprefix("extra__paged_api__")
    for name in manager.connection_form_widgets
    if name.startswith("extra__paged_api__")
]
print(json.dumps([files, provider.version, hook.hook_name, hook.connection_id_attribute_name, fields]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What INSTALLED says of the wheel: files of the modules, version, and the connection's form."""
    folder = tmp_path_factory.mktemp("provider")
    site = install(folder, "shared", "airflow/provider")
    done = subprocess.run(
        [sys.executable, "-c", INSTALLED, *MODULES],
        # Not the tests' own Airflow, which is Feira's: its XCom backend is.
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW__")},
            "AIRFLOW_HOME": str(folder / "airflow"),
            "PYTHONPATH": str(site),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    files, *rest = json.loads(done.stdout.splitlines()[-1])
    return [[os.path.relpath(file, site) for file in files], *rest]


@pytest.mark.slow
def test_the_wheel_alone_brings_every_module(installed: list[Any]) -> None:
    assert installed[0] == [f"{name.replace('.', '/')}.py" for name in MODULES]


def test_airflow_finds_the_provider_and_its_connection_type(installed: list[Any]) -> None:
    _, version, hook_name, attribute, fields = installed
    assert (version, hook_name, attribute) == (PROJECT["version"], "Paged JSON API", "http_conn_id")
    assert fields == ["attempts", "timeout", "total_timeout", "max_bytes", "max_retry_after"]


def test_every_library_that_it_imports_is_a_dependency_of_its_own() -> None:
    declared = {
        re.split(r"[<>=!~\[;]", dependency)[0].strip() for dependency in PROJECT["dependencies"]
    }
    # These come with the provider `amazon` and with `s3fs`, whose objects they are.
    declared |= {"botocore", "aiobotocore", "urllib3", "fsspec"}
    packages = importlib.metadata.packages_distributions()
    missing = {
        name: packages[name]
        for name in imported(sources())
        if name not in sys.stdlib_module_names
        # `feira` is feira-core, and import-linter keeps the rest of it out.
        and name not in ("feira_provider", "feira", "airflow")
        and not declared & {dist.lower().replace("_", "-") for dist in packages[name]}
    }
    assert missing == {}
    providers = {f"apache-airflow-providers-{name.replace('.', '-')}" for name in of_airflow()}
    assert providers == {name for name in declared if name.startswith("apache-airflow-providers")}


def sources() -> list[Path]:
    return sorted((PROVIDER / "src").rglob("*.py"))


def of_airflow() -> set[str]:
    """``http``, ``common.sql``, …: the providers that the provider imports from."""
    pattern = re.compile(r"airflow\.providers\.(common\.\w+|\w+)")
    return {name for path in sources() for name in pattern.findall(path.read_text())}


def test_its_range_of_airflow_holds_the_installed_one() -> None:
    from packaging.requirements import Requirement

    (airflow,) = [
        Requirement(d) for d in PROJECT["dependencies"] if d.startswith("apache-airflow>")
    ]
    assert importlib.metadata.version("apache-airflow") in airflow.specifier


def parts() -> list[type]:
    """The classes that a DAG uses: hooks, notifiers, operators, sensors and triggers."""
    found: list[type] = []
    for name in MODULES:
        if ".example_dags." in name:
            continue
        module = importlib.import_module(name)
        found += [
            each
            for each in vars(module).values()
            if inspect.isclass(each)
            and each.__module__ == name
            and not each.__name__.startswith("_")
            and issubclass(each, (BaseHook, BaseNotifier, BaseOperator, BaseTrigger))
        ]
    return found


def test_the_parts_are_these_and_the_providers_info_lists_their_modules() -> None:
    assert sorted(part.__name__ for part in parts()) == [
        "AssetEventCheckOperator",
        "HttpAvailableSensor",
        "HttpAvailableTrigger",
        "MailDeadlineNotifier",
        "MailFailureNotifier",
        "MailHook",
        "MailNoticeNotifier",
        "PagedApiHook",
        "PagedApiToS3Operator",
        "PartitionCheckOperator",
        "S3ManifestSensor",
        "S3ManifestTrigger",
        "SlackDeadlineNotifier",
        "SlackFailureNotifier",
        "SlackNoticeNotifier",
        "ValidateContractOperator",
        "WarehouseHook",
    ]
    info = get_provider_info()
    listed = {
        module
        for kind in ("operators", "sensors", "hooks", "triggers")
        for group in info[kind]
        for module in group["python-modules"]
    } | {name.rpartition(".")[0] for name in info["notifications"]}
    # `notice` is what the two notifiers are made of.
    assert listed == {part.__module__ for part in parts()} - {"feira_provider.notifiers.notice"}
    for name in info["notifications"]:
        module, _, notifier = name.rpartition(".")
        assert issubclass(getattr(importlib.import_module(module), notifier), BaseNotifier)


@pytest.mark.parametrize("part", [*parts(), run_deadlines], ids=lambda part: part.__name__)
def test_every_argument_of_a_part_is_in_its_docstring(part: Any) -> None:
    described = inspect.getdoc(part) or ""
    called = part.__init__ if inspect.isclass(part) else part
    for name, argument in inspect.signature(called).parameters.items():
        if name == "self" or argument.kind in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL):
            continue
        assert f":param {name}:" in described, f"{part.__name__} does not describe {name}"


@pytest.mark.parametrize("part", parts(), ids=lambda part: part.__name__)
def test_every_templated_field_is_the_providers_or_an_argument_that_says_so(part: type) -> None:
    if not issubclass(part, BaseOperator):
        return
    inherited = {field for base in part.__bases__ for field in getattr(base, "template_fields", ())}
    assert inherited <= set(part.template_fields)
    arguments = inspect.signature(part.__init__).parameters
    described = inspect.getdoc(part) or ""
    for field in part.template_fields:
        if field in inherited and field not in arguments:
            continue
        assert field in arguments, field
        described_as = described.split(f":param {field}:")[1].split(":param ")[0]
        assert "(templated" in described_as, field
