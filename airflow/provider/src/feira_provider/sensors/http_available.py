"""Waits until an HTTP service is up."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseSensorOperator, Context
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowException

from feira.core.errors import PermanentError
from feira_provider.hooks.missing import MissingConnectionError
from feira_provider.sensors.ending import in_own_words, refused, timed_out


class HttpAvailableSensor(BaseSensorOperator):
    """Waits until a service answers 200, through refused connections too.

    The provider's HttpSensor fails at once when nobody listens; a service that restarts is just
    what a pipeline should wait for. A redirect is not followed: where it leads to, the connection's
    credentials would go too, and a login page answers 200 whatever the service does.

    :param http_conn_id: an ``http`` or ``paged_api`` connection (templated); its headers, and its login or token,
        are sent
    :param endpoint: path below the connection's base URL (templated)
    :param deferrable: wait in the triggerer, without a worker; by default as Airflow's option
        ``[operators] default_deferrable`` says
    :raises AirflowSensorTimeout: after ``timeout`` seconds, with the URL and the last answer; with ``soft_fail`` or
        ``never_fail`` the task is skipped with the same words
    :raises AirflowFailException: where the connection is not there, or no request can be made of what it says, with
        ``soft_fail`` too; with ``never_fail`` the task is skipped with the same words
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
        self._url, self._answer = endpoint, "none"

    def poke(self, context: Context) -> bool:
        """Asks once."""
        self._url, self._answer = self._ask()
        if self._answer == "200":
            return True
        self.log.info("%s is not available yet: %s", self._url, self._answer)
        return False

    def execute(self, context: Context) -> None:
        """Asks once, then waits in the triggerer, or here where it is not deferrable.

        :raises AirflowSensorTimeout: after ``timeout`` seconds; the task has waited, and is not
            tried again
        """
        if not self.deferrable:
            with in_own_words(lambda: self._late(self._answer)):
                super().execute(context)
            return
        if self.poke(context):
            return
        # Imported here and below, not at module level: a DAG file is parsed all day long, and HTTP
        # clients would be half of its time.
        from feira_provider.triggers.http_available import HttpAvailableTrigger

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
            raise refused(self, event["message"])
        if event["status"] != "available":
            try:
                self._url = shown(opened(self.http_conn_id, self.endpoint)[0])
            except (PermanentError, MissingConnectionError):
                # The connection can be read no more; what was waited for is known without it.
                self._url = self.endpoint
            raise self._late(event["message"])

    def resume_execution(
        self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context
    ) -> Any:
        """Keeps this sensor's own words and kind of error."""
        with in_own_words():
            return super().resume_execution(next_method, next_kwargs, context)

    def _late(self, answer: str) -> AirflowException:
        return timed_out(
            self,
            f"{self._url} was not available for {self.timeout:.0f} s; its last answer: {answer.rstrip('.')}. Start the "
            "service, then clear this task.",
        )

    def _ask(self) -> tuple[str, str]:
        """The URL as it may be shown, and its status or the kind of error."""
        from feira_provider.triggers.http_available import ask

        try:
            return ask(self.http_conn_id, self.endpoint)
        except PermanentError as error:
            raise refused(self, str(error)) from error
        except MissingConnectionError as error:
            # Whoever has it did not answer, and may by the next time.
            return self.endpoint, str(error)
