"""Waits until an HTTP service is up."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseSensorOperator, Context
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout

from feira.core.errors import PermanentError


class HttpAvailableSensor(BaseSensorOperator):
    """Waits until a service answers 200, through refused connections too.

    The provider's HttpSensor fails at once when nobody listens; a service that restarts is just
    what a pipeline should wait for. A redirect is not followed: where it leads to, the connection's
    credentials would go too, and a login page answers 200 whatever the service does.

    :param http_conn_id: an ``http`` or ``paged_api`` connection (templated); its headers and its login are sent
    :param endpoint: path below the connection's base URL (templated)
    :param deferrable: wait in the triggerer, without a worker; by default as Airflow's option
        ``[operators] default_deferrable`` says
    :raises AirflowFailException: where the connection is not there, or no request can be made of what it says
    """

    template_fields: Sequence[str] = ("http_conn_id", "endpoint")

    def __init__(
        self,
        *,
        http_conn_id: str,
        endpoint: str = "health",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.http_conn_id = http_conn_id
        self.endpoint = endpoint
        self.deferrable = deferrable

    def poke(self, context: Context) -> bool:
        """Asks once."""
        return self._ask()[1] == "200"

    def execute(self, context: Context) -> None:
        """Asks once, then waits in the triggerer, or here where it is not deferrable.

        :raises AirflowSensorTimeout: after ``timeout`` seconds; the task has waited, and is not
            tried again
        """
        if not self.deferrable:
            super().execute(context)
            return
        url, answer = self._ask()
        if answer == "200":
            return
        # Imported here and below, not at module level: a DAG file is parsed all day long, and HTTP
        # clients would be half of its time.
        from feira_provider.triggers.http_available import HttpAvailableTrigger

        self.log.info("%s is not available yet: %s", url, answer)
        self.defer(
            trigger=HttpAvailableTrigger(
                self.http_conn_id,
                self.endpoint.lstrip("/"),
                self.poke_interval,
                time.time() + self.timeout,
            ),
            method_name="execute_complete",
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> None:
        """Ends the wait as the trigger's event says."""
        from feira_provider.hooks.web_links import shown
        from feira_provider.triggers.http_available import opened

        if event["status"] == "error":
            raise AirflowFailException(event["message"])
        if event["status"] != "available":
            url, _ = opened(self.http_conn_id, self.endpoint)
            raise AirflowSensorTimeout(
                f"{shown(url)} was not available for {self.timeout:.0f} s; its last answer: "
                f"{event['message']}. Start the service, then clear this task."
            )

    def _ask(self) -> tuple[str, str]:
        """The URL as it may be shown, and its status or the kind of error."""
        from feira_provider.triggers.http_available import ask

        try:
            return ask(self.http_conn_id, self.endpoint)
        except PermanentError as error:
            raise AirflowFailException(str(error)) from error
