"""Mail with inline pictures, over SmtpHook."""

from __future__ import annotations

import re
import smtplib
from collections.abc import Iterable
from email.errors import ObsoleteHeaderDefect
from email.message import EmailMessage
from email.policy import default
from email.utils import formataddr, localtime
from typing import Any, Self

from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException

from feira_provider.hooks.missing import named_if_missing
from feira_provider.hooks.switches import with_switches

# One address of a text that holds several; a quoted name may hold what parts them.
_PART = re.compile(r'(?:"(?:\\.|[^"\\])*"|[^,;])+')


class MailConnectionError(ValueError):
    """The mail connection names no sender or nobody to write to, or what is no address."""


def addresses(given: object, where: str) -> list[str]:
    """Addresses as a header and SMTP take them, of a text that parts several by commas or semicolons, or of a list of
    such texts.

    :param where: where they were given, for the message
    :raises MailConnectionError: for what is no address
    """
    texts = given if isinstance(given, Iterable) and not isinstance(given, str) else [given or ""]
    parts = [part.strip() for text in texts for part in _PART.findall(str(text))]
    return [_address(part, where) for part in parts if part]


def _address(text: str, where: str) -> str:
    try:
        header: Any = default.header_factory("To", text)
        (found,) = header.addresses
        defects = [each for each in header.defects if not isinstance(each, ObsoleteHeaderDefect)]
    except (IndexError, ValueError):
        # The parser falls over some, as a@.
        found, defects = None, []
    if found is None or defects or not found.username or not found.domain:
        raise MailConnectionError(
            f"{where}: {text!r} is no address; write ana@example.com or Ana <ana@example.com>, and a comma "
            "between two."
        )
    if not found.addr_spec.isascii():
        return str(found)
    return formataddr((found.display_name, found.addr_spec))


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
