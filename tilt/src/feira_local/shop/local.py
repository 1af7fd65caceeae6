"""The shop's API on a laptop: the simulator as a service, and the connection that leads to it."""

from __future__ import annotations

import sys
from typing import Any

from feira_local.stack.config import HOST, StackConfig
from feira_local.stack.local_parts import LocalPart
from feira_local.stack.service import HttpCheck, Link, Service


def services(config: StackConfig) -> tuple[Service, ...]:
    """The simulator: it replays the days of a folder, or makes sales from a seed."""
    return (
        Service(
            name="shop",
            label="source",
            description="The shop's API, simulated",
            command=(
                *(sys.executable, "-m"),
                "feira_local.shop",
                *("--host", HOST, "--port", str(config.ports.shop)),
                *("--source", "replay" if config.shop.data else "generated"),
                *(("--data", str(config.shop.data)) if config.shop.data else ()),
                *("--seed", str(config.shop.seed)),
                *("--clusters", str(config.shop.clusters)),
                *("--lines-per-day", str(config.shop.lines)),
                *("--state", str(config.home / "shop")),
            ),
            cwd=config.home,
            health=HttpCheck(f"{config.shop_url}/health"),
            ports=(config.ports.shop,),
            links=(Link("shop API", f"{config.shop_url}/docs"),),
        ),
    )


def connections(config: StackConfig) -> dict[str, dict[str, Any]]:
    """`shop_api`."""
    return {
        "shop_api": {
            "conn_type": "http",
            "host": HOST,
            "port": config.ports.shop,
            "schema": "http",
        }
    }


LOCAL = LocalPart("shop", services=services, connections=connections)
