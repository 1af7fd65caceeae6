"""The proxy that the environment names, as a program of Java is told of it: Java itself reads no HTTPS_PROXY."""

from __future__ import annotations

import os
import re
from urllib.parse import SplitResult, unquote, urlsplit

from feira_local.stack.errors import StackError

_PORT = 3128


def without_login(text: str) -> str:
    """The text, with a mark in the place of the login of each URL in it."""
    return re.sub(r"//[^/\s]*@", "//…@", text)


def shown(url: str) -> str:
    """A URL that is to be refused, for a message; not where there may be a login in it, however it is written."""
    if re.fullmatch(r"(\w+://)?[^:@%]*(:[^:@%]*)?", url):
        return repr(url)
    return "not shown, as there may be a password in it"


def java_properties(url: str) -> dict[str, str]:
    """System properties with which Java asks for ``url`` by the proxy that curl would take; none where that is none.

    The proxy's login is among them, as Ivy looks for it. Raises StackError where the proxy is not one of HTTP.
    """
    from urllib.request import getproxies

    from requests.utils import select_proxy, should_bypass_proxies

    proxy = select_proxy(url, getproxies())
    if not proxy or should_bypass_proxies(url, None):
        return {}
    asked = urlsplit(url)
    names = (f"{asked.scheme}_proxy", f"{asked.scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    named = next((it for it in names if os.environ.get(it) == proxy), "The system's proxy")
    found = _proxy(proxy)
    if found is None:
        raise StackError(
            f"{named} is no proxy of HTTP that Java can use ({shown(proxy)}); it must be http://HOST:PORT or "
            "http://USER:PASSWORD@HOST:PORT, with @ : / # % of a password as %40 %3A %2F %23 %25. "
            f"NO_PROXY={asked.hostname} has {asked.hostname} asked directly."
        )
    properties = {
        f"{asked.scheme}.proxyHost": str(found.hostname),
        f"{asked.scheme}.proxyPort": str(found.port or _PORT),
    }
    if found.username:
        properties |= {
            # Ivy takes these for both schemes.
            "http.proxyUser": unquote(found.username),
            "http.proxyPassword": unquote(found.password or ""),
            # Java sends no password to a proxy of HTTPS unless it is allowed to.
            "jdk.http.auth.tunneling.disabledSchemes": "",
        }
    return properties


def _proxy(url: str) -> SplitResult | None:
    """The parts of a proxy's URL; None where it is not one of HTTP that Java could be told of."""
    url = url.strip()
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        usable = parts.scheme == "http" and parts.port != 0
    except ValueError:
        return None
    usable = usable and re.fullmatch(r"[\w.:-]+", parts.hostname or "") is not None
    login = unquote(f"{parts.username or ''}{parts.password or ''}")
    return parts if usable and login.isprintable() else None
