"""The stack for Docker: a Compose file whose services are those that `feira up` starts.

``make compose`` writes infra/images/compose.yaml. Every service listens on the loopback of the machine, as without
containers, so they share its network. What each runs, and when it is healthy, is looked up by its name inside.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from feira.core.settings import repository_root
from feira_local.stack.config import StackConfig
from feira_local.stack.secrets import load_secrets
from feira_local.stack.service import CompletionCheck, Service
from feira_local.stack.services import services

FILE = Path("infra") / "images" / "compose.yaml"
PYTHON = "/opt/venv/bin/python"
# Makes folders and secrets before anything starts: two services would do it at once.
HOME = "home"
# What it reads of the shell that calls Compose, as `feira up` does, and keeps for all others.
SETTINGS = (
    "FEIRA_CLOCK",
    "FEIRA_LINEAGE",
    "FEIRA_PORT_OFFSET",
    "FEIRA_SHOP_CLUSTERS",
    "FEIRA_SHOP_LINES",
    "FEIRA_SHOP_SEED",
)
_DONE = "service_completed_successfully"
_HEADER = """\
# The stack in containers, for who has Docker on Linux:
#   docker compose -f infra/images/compose.yaml up --build --detach
#   docker compose -f infra/images/compose.yaml run --rm feira run sales --day 2010-12-01
# Made by `make compose` from the services that `feira services --json` lists; do not edit.
"""
_COMMON = {
    "image": "feira-stack:${FEIRA_TAG:-latest}",
    "network_mode": "host",
    "volumes": ["home:/var/lib/feira"],
    "security_opt": ["no-new-privileges:true"],
    "cap_drop": ["ALL"],
}
_BUILT = {"context": "../..", "dockerfile": "infra/images/Dockerfile", "target": "stack"}


class _Plain(yaml.SafeDumper):
    """Without the names that PyYAML gives to what it is handed twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def described(defined: Iterable[Service]) -> dict[str, dict[str, Any]]:
    """What each service of the stack has for itself in the Compose file, by its name."""
    defined = tuple(defined)
    until = {each.name: "service_healthy" if each.kind == "service" else _DONE for each in defined}
    return {each.name: _described(each, until) for each in defined}


def _described(service: Service, until: dict[str, str]) -> dict[str, Any]:
    common = {
        "entrypoint": [PYTHON, "-m", "feira_local.stack.launch", service.name],
        "depends_on": {
            HOME: {"condition": _DONE},
            **{name: {"condition": until[name]} for name in service.depends_on},
        },
    }
    if isinstance(service.health, CompletionCheck):
        return common | {"restart": "on-failure:3"}
    return common | {
        "restart": "unless-stopped",
        "stop_signal": f"SIG{service.stop_signal}",
        "stop_grace_period": "30s",
        "healthcheck": {
            "test": ["CMD", PYTHON, "-m", "feira_local.stack.health", service.name],
            # Each asks with a Python of its own.
            "interval": "30s",
            "timeout": "25s",
            "start_period": "120s",
            "start_interval": "3s",
        },
    }


def text(defined: Iterable[Service]) -> str:
    """The whole file: these services, the one that makes the folders, and the `feira` command."""
    own = {
        HOME: {
            "build": _BUILT,
            "restart": "no",
            "environment": list(SETTINGS),
            "entrypoint": [PYTHON, "-m", "feira_local.stack.steps", HOME],
        },
        **described(defined),
        "feira": {
            "profiles": ["feira"],
            "restart": "no",
            "environment": {"FEIRA_CONTAINERS": "on"},
            "entrypoint": ["/opt/venv/bin/feira"],
        },
    }
    marked: dict[str, Any] = {name: {"<<": "COMMON", **fields} for name, fields in own.items()}
    parts: tuple[dict[str, Any], ...] = (
        {"name": "feira"},
        {"x-common": _COMMON},
        {"services": marked},
        {"volumes": {"home": {}}},
    )
    written = "\n".join(
        yaml.dump(each, Dumper=_Plain, sort_keys=False, width=110) for each in parts
    )
    return _HEADER + written.replace("x-common:", "x-common: &common").replace(
        "'<<': COMMON", "<<: *common"
    )


def stack_services() -> tuple[Service, ...]:
    """The services of a stack with its default settings."""
    # Parts read the secrets of their home; these end with it.
    with tempfile.TemporaryDirectory(prefix="feira-compose-") as folder:
        config = StackConfig.from_env({"FEIRA_HOME": folder})
        return services(config, load_secrets(config.home))


if __name__ == "__main__":
    (repository_root() / FILE).write_text(text(stack_services()), encoding="utf-8")
