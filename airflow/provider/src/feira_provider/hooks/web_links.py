"""URLs that an API answers with: its Link headers, their origin, and what of a URL may be shown."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from airflow.sdk.log import redact  # type: ignore[attr-defined]
from urllib3.util import parse_url

_PORTS = {"http": 80, "https": 443}
_USER = re.compile("//[^/]*@")

# RFC 8288, appendix B.2 to B.4: <target>, then parameters whose values are tokens or quoted texts; a quote
# that is not closed goes to the end. Some servers quote by apostrophes.
_TARGET = re.compile(r"[\s,]*<([^>]*)>")
_PARAMETER = re.compile(
    r'\s*;\s*([^\s=;,"]*)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)(?:"|$)|\'([^\';,"]*)\'|([^;,"]*)))?'
)
_NEXT_LINK = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^,"])*,|.+', re.DOTALL)


def relation_links(header: str | None, url: str) -> dict[str, str]:
    """The absolute URL of each relation type, in lower case, of an answer's Link headers.

    As RFC 8288 says: relation types know no case, one ``rel`` may hold several, of two ``rel`` the
    first counts, and a link with an ``anchor`` is about that, and not about the answer. Of two links
    of one type the first counts.

    :param header: the fields' values, joined by commas
    :param url: the URL that was asked for
    """
    links: dict[str, str] = {}
    at, text = 0, header or ""
    while at < len(text):
        target = _TARGET.match(text, at)
        if target is None:
            # Not a link: whatever it is, it ends at a comma outside quotes.
            skipped = _NEXT_LINK.match(text, at)
            at = skipped.end() if skipped else len(text)
            continue
        at = target.end()
        found: dict[str, str] = {}
        while parameter := _PARAMETER.match(text, at):
            at = parameter.end()
            name, quoted, *tokens = parameter.groups()
            token = next((each.strip() for each in tokens if each is not None), "")
            value = token if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found.setdefault(name.lower(), value)
        if "anchor" in found and _joined(url, found["anchor"]) != url:
            continue
        for relation in found.get("rel", "").lower().split():
            links.setdefault(relation, _joined(url, target[1].strip()))
    return links


def _joined(url: str, target: str) -> str:
    """The target made absolute; as it is where it is no URL, for whoever would follow it to refuse."""
    try:
        return urljoin(url, target)
    except ValueError:
        return target


def same_origin(url: str, other: str) -> bool:
    """Whether two URLs have scheme, host and port in common, however they are written.

    Both are read by urllib3, as it is what connects: of ``http://evil\\@good/`` others take another
    host than it does. Raises ValueError where one is no URL.
    """
    origin = _origin(url)
    return origin is not None and origin == _origin(other)


def _origin(url: str) -> tuple[str, str, int] | None:
    parts = parse_url(url)
    if parts.scheme not in _PORTS or not parts.host:
        return None
    host = parts.host.lower().removesuffix(".")
    try:
        host = str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        pass
    return parts.scheme, host, _PORTS[parts.scheme] if parts.port is None else parts.port


def is_bare_ipv6(host: str) -> bool:
    """Whether it is an IPv6 address without the brackets that it has in a URL."""
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def without_user(url: str) -> str:
    """The URL without user and password: the connection's are sent, not those that an API names."""
    return str(parse_url(url)._replace(auth=None))


def shown(url: str) -> str:
    """A URL as it may stand in a message: without a user, and with secrets in its query masked. What is no URL is
    shown without its query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return _USER.sub("//", url.partition("?")[0])
    netloc = parts.netloc.rpartition("@")[2]
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    hidden = [(name, str(redact(value, name))) for name, value in pairs]
    # The query is kept letter for letter where there is nothing to hide.
    query = parts.query if hidden == pairs else urlencode(hidden, safe="*")
    return urlunsplit((parts.scheme, netloc, parts.path, query, ""))


def without_query(url: str) -> str:
    """A URL without user and query: what stands in another host's query may be a secret."""
    return shown(url).partition("?")[0]
