"""The Compose file has every service of the stack, after what it depends on, and is made by the code."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from checkout import REPOSITORY
from feira_local.stack import compose
from feira_local.stack.config import StackConfig
from feira_local.stack.service import Service

DEFINED = compose.stack_services()
FILE = REPOSITORY / compose.FILE


def differences(written: str, defined: tuple[Service, ...]) -> list[str]:
    """What a Compose file has otherwise than the stack's definitions, read from the file alone."""
    services: dict[str, Any] = yaml.safe_load(written)["services"]
    known = {each.name: each for each in defined}
    found = [f"{name} is missing" for name in known if name not in services]
    found += [
        f"{name} is of nobody" for name in services if name not in {*known, compose.HOME, "feira"}
    ]
    for name, service in known.items():
        if name not in services:
            continue
        fields = services[name]
        if fields["entrypoint"][-1] != name:
            found.append(f"{name} runs {fields['entrypoint']}")
        waits = {each: on["condition"] for each, on in fields["depends_on"].items()}
        expected = {
            each: "service_healthy"
            if known[each].kind == "service"
            else "service_completed_successfully"
            for each in service.depends_on
        }
        if waits != expected | {compose.HOME: "service_completed_successfully"}:
            found.append(f"{name} waits for {waits}")
        if ("healthcheck" in fields) != (service.kind == "service"):
            found.append(f"{name} has a healthcheck or none")
        if fields["network_mode"] != "host" or fields["volumes"] != ["home:/var/lib/feira"]:
            found.append(f"{name} is apart from the others")
    return found


def test_it_is_what_the_code_makes() -> None:
    assert FILE.read_text() == compose.text(DEFINED), "`make compose` writes it anew."


class Asked(dict[str, str]):
    """An environment that notes what is looked up in it."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.names.add(key)
        return super().get(key, default)


# What the containers are built with, a folder that they do not have, or another choice of services.
NOT_PASSED_ON = {
    *("FEIRA_HOME", "FEIRA_EXTRA_DAGS", "FEIRA_SHOP_DATA"),
    *("FEIRA_WITHOUT", "FEIRA_MONITORING", "FEIRA_MONITORING_BIN"),
    *("FEIRA_SPARK", "FEIRA_WAREHOUSE_ON", "FEIRA_COMET"),
}


def test_it_passes_on_every_setting_that_leaves_the_services_as_they_are() -> None:
    asked = Asked()
    config = StackConfig.from_env(asked)
    ports = {f"FEIRA_PORT_{name.upper()}" for name in config.ports.named()}
    assert set(compose.SETTINGS) == asked.names - ports - NOT_PASSED_ON
    home = yaml.safe_load(FILE.read_text())["services"][compose.HOME]
    assert home["environment"] == list(compose.SETTINGS)


def test_it_has_every_service_of_the_stack() -> None:
    assert differences(FILE.read_text(), DEFINED) == []
    assert {"postgres", "kafka", "recommendations", "airflow-scheduler"} <= {
        s.name for s in DEFINED
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("kafka",), None),
        (("airflow-api", "depends_on", "airflow-migrate"), None),
        (("spark", "depends_on", "databases", "condition"), "service_started"),
        (("postgres", "healthcheck"), None),
        (("s3", "network_mode"), "bridge"),
        (("valkey", "entrypoint"), ["python", "-m", "feira_local.stack.launch", "kafka"]),
        (("surplus",), {"image": "debian"}),
    ],
)
def test_a_fault_in_a_copy_is_found(path: tuple[str, ...], value: Any) -> None:
    document = yaml.safe_load(FILE.read_text())
    holder = document["services"]
    for name in path[:-1]:
        holder = holder[name]
    if value is None:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    assert len(differences(yaml.safe_dump(document), DEFINED)) == 1


def test_it_holds_no_secret_and_gives_no_container_more_than_it_needs() -> None:
    for fields in yaml.safe_load(FILE.read_text())["services"].values():
        assert fields["cap_drop"] == ["ALL"] and "privileged" not in fields
        assert "no-new-privileges:true" in fields["security_opt"]
    for service in DEFINED:
        for value in service.private_env.values():
            assert value not in FILE.read_text()
