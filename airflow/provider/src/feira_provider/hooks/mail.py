"""Mail with inline pictures, over SmtpHook."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage
from email.utils import localtime
from typing import Any, Self

from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException

from feira_provider.hooks.missing import named_if_missing


class MailConnectionError(ValueError):
    """The mail connection names no sender or nobody to write to."""


class MailHook(SmtpHook):
    """Sends a message that the caller has built: the provider's own method knows no inline parts.

    Beside the provider's settings the connection's extra names ``from_email``, and ``to_email``: an
    address, several parted by commas, or a list.

    :param smtp_conn_id: an ``smtp`` connection
    :param auth_type: ``basic`` or ``oauth2``, as SmtpHook takes it
    """

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
        """``from_email`` of the connection; raises MailConnectionError where it is not set."""
        return self._addresses("from_email")[0]

    @property
    def recipients(self) -> list[str]:
        """``to_email`` of the connection; raises MailConnectionError where it is not set."""
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
        value: Any = self.conn.extra_dejson.get(name) or []
        parts = value.split(",") if isinstance(value, str) else value
        addresses = [str(part).strip() for part in parts if str(part).strip()]
        if not addresses:
            raise MailConnectionError(
                f"Connection {self.smtp_conn_id} has no {name} in its extra; set it there, as in "
                f'{{"{name}": "reports@example.com"}}.'
            )
        return addresses
