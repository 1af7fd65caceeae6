"""Programs of this machine are asked directly, whatever proxy the environment names."""

from __future__ import annotations

from collections.abc import Mapping

from feira_local.stack.config import HOST

_HERE = (HOST, "localhost")


def no_proxy(env: Mapping[str, str]) -> dict[str, str]:
    """``NO_PROXY``, in both spellings, with loopback among its hosts; nothing where no proxy is named.

    Who asks S3, botocore and the SDK of Java, sends what is for loopback to a proxy too, unless this names
    it, as address: they know no networks. On macOS it would turn off the system's own proxies.
    """
    names = {name.lower() for name, value in env.items() if value}
    if not any(name.endswith("_proxy") for name in names - {"no_proxy"}):
        return {}
    listed = (env.get("no_proxy") or env.get("NO_PROXY") or "").split(",")
    hosts = [host.strip() for host in listed if host.strip()]
    if "*" not in hosts:
        hosts += [host for host in _HERE if host not in hosts]
    return dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(hosts))
