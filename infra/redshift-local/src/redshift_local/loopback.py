"""Who may reach the doors: nobody is asked who they are, so nobody but this machine."""

from __future__ import annotations

import ipaddress


def refuse_outside(host: str) -> None:
    """ValueError for an address that others can reach."""
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        raise ValueError(
            f"{host} is not loopback, and nobody is asked who they are: use 127.0.0.1."
        )
