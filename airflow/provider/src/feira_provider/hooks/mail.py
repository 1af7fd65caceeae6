"""Mail with inline pictures, over SmtpHook."""

from __future__ import annotations

import re
import smtplib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from email.errors import NonASCIILocalPartDefect, ObsoleteHeaderDefect
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import default
from email.utils import formataddr, localtime, parseaddr, unquote
from itertools import zip_longest
from typing import Any, Self

from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException

from feira_provider.hooks.missing import named_if_missing
from feira_provider.hooks.switches import with_switches

# One address of a text that holds several; a quoted name may hold what parts them.
_PART = re.compile(r'(?:"(?:\\.|[^"\\])*"|[^,;])+')
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"')
_NAMED = re.compile(r"(.*)<([^<>]*)>", re.DOTALL)


class MailConnectionError(ValueError):
    """The mail connection names no sender or nobody to write to, or what is no address."""


def addresses(given: object, where: str) -> list[str]:
    """Addresses as a header and SMTP take them, of a text that parts several by commas or semicolons, or of a list of
    such texts. One without a domain is a local user's, for the relay to know.

    :param where: where they were given, for the message
    :raises MailConnectionError: for what is no address
    """
    several = isinstance(given, Iterable) and not isinstance(given, str | Mapping)
    texts = given if several else [given or ""]
    return [address for text in texts for address in _addresses_of(text, where)]  # type: ignore[attr-defined]


def _addresses_of(text: object, where: str) -> Iterator[str]:
    if not isinstance(text, str):
        raise _no_address(str(text), where)
    parts = [part for part in _PART.finditer(text) if part[0].strip()]
    for part, after in zip_longest(parts, parts[1:]):
        stated = part[0].strip()
        named = _NAMED.fullmatch(after[0].strip()) if after else None
        # Half of a name rather than a local user: Costa, Ana <ana@example.com>.
        if named and named[1] and text[part.end()] == "," and not re.search("[@<]", stated):
            raise _no_address(stated, where)
        yield _address(stated, where)


def _address(text: str, where: str) -> str:
    named = _NAMED.fullmatch(text)
    given, bare = named.groups() if named else (parseaddr(text)[0], text)
    name, found = _name(given), _bare_address(bare)
    if name is None or found is None:
        raise _no_address(text, where)
    spec = _ascii(found)
    if spec is None:
        raise MailConnectionError(
            f"{where}: {text!r} is an address beyond ASCII, which needs SMTPUTF8, and mails are sent without; give "
            "one in ASCII, its domain as xn--…"
        )
    return formataddr((name, spec))


def _name(text: str) -> str | None:
    """The name without its quotes and decoded; None where it would not be one in a header."""
    if any(mark in _QUOTED.sub("", text) for mark in '<>"'):
        return None
    plain = _QUOTED.sub(lambda quoted: unquote(quoted[0]), text).strip()
    if not _on_one_line(plain):
        return None
    name = str(default.header_factory("Subject", plain))
    return name if _on_one_line(name) else None


def _on_one_line(text: str) -> bool:
    # Neither controls nor ends of lines, nor half a character.
    return not any(unicodedata.category(each) in ("Cc", "Zl", "Zp", "Cs") for each in text)


def _bare_address(text: str) -> Address | None:
    if any(each.isspace() and not each.isascii() for each in text.strip()):
        return None
    local = "@" not in text
    try:
        # The parser takes no local user, and falls over some, as a@.
        header: Any = default.header_factory("To", f"{text}@localhost" if local else text)
        (found,) = header.addresses
    except (AttributeError, LookupError, TypeError, ValueError):
        return None
    taken = (ObsoleteHeaderDefect, NonASCIILocalPartDefect)
    defects = [each for each in header.defects if not isinstance(each, taken)]
    if defects or not found.username or not found.domain:
        return None
    domain = "" if local else found.domain
    # The parser drops blanks and comments between its parts, and decodes words: that is another's address.
    if found.username not in text or domain not in text:
        return None
    return Address(username=found.username, domain=domain)


def _ascii(address: Address) -> str | None:
    """As SMTP takes it without SMTPUTF8; None where that would be another address."""
    domain = address.domain
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode()
            # ß becomes ss, which is another's domain.
            if domain.encode().decode("idna") != address.domain.lower():
                return None
        except UnicodeError:
            return None
    spec = Address(username=address.username, domain=domain).addr_spec
    return spec if spec.isascii() else None


def _no_address(text: str, where: str) -> MailConnectionError:
    return MailConnectionError(
        f"{where}: {text!r} is no address; write ana@example.com or Ana <ana@example.com>, a comma between two, "
        "and a name with a comma in quotes."
    )


class MailHook(SmtpHook):
    """Sends a message that the caller has built: the provider's own method knows no inline parts.

    Beside the provider's settings the connection's extra names ``from_email``, and ``to_email``: an
    address, several parted by commas or semicolons, or a list.

    :param smtp_conn_id: an ``smtp`` connection
    :param auth_type: ``basic`` or ``oauth2``, as SmtpHook takes it
    """

    @classmethod
    def get_connection(cls, conn_id: str) -> Any:
        """The connection; its ``disable_tls`` and ``disable_ssl`` may be texts, as in one that is given as a URL."""
        return with_switches(super().get_connection(conn_id), ("disable_tls", "disable_ssl"))

    def get_conn(self) -> Self:
        """Opens the connection, and returns itself; raises MissingConnectionError where there is none."""
        with named_if_missing(self.smtp_conn_id):
            try:
                super().get_conn()
                return self
            except AirflowException as error:
                # Which says that a connection is not found, and not which.
                if isinstance(error.__context__, AirflowNotFoundException):
                    raise error.__context__ from None
                raise

    @property
    def sender(self) -> str:
        """``from_email`` of the connection; raises MailConnectionError where it is not set, or no address."""
        return self._addresses("from_email")[0]

    @property
    def recipients(self) -> list[str]:
        """``to_email`` of the connection; raises MailConnectionError where it is not set, or has what is no address."""
        return self._addresses("to_email")

    @property
    def is_open(self) -> bool:
        """Whether the connection is open."""
        return isinstance(self._smtp_client, smtplib.SMTP)

    def send_message(self, message: EmailMessage) -> None:
        """Sends it now; the connection must be open (``with MailHook() as hook``)."""
        if not self.is_open:
            raise RuntimeError("The mail connection is not open; use `with MailHook() as hook`.")
        message["Date"] = localtime()
        client: Any = self._smtp_client
        client.send_message(message)

    def _addresses(self, name: str) -> list[str]:
        where = f"Connection {self.smtp_conn_id}, {name} in its extra"
        found = addresses(self.conn.extra_dejson.get(name), where)
        if not found:
            raise MailConnectionError(
                f"Connection {self.smtp_conn_id} has no {name} in its extra; set it there, as in "
                f'{{"{name}": "reports@example.com"}}.'
            )
        return found
