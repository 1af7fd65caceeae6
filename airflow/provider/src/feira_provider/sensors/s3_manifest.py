"""Waits until a dataset on S3 is complete: its manifest, and every file that the manifest lists."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.sdk import BaseSensorOperator, Context, PokeReturnValue
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowException

from feira_provider.datasets.files import bucket_and_key
from feira_provider.sensors.ending import in_own_words, refused, timed_out
from feira_provider.triggers.s3_manifest import (
    ManifestWait,
    S3ManifestTrigger,
    VainWaitError,
)


class S3ManifestSensor(BaseSensorOperator):
    """Waits for a complete manifest, and not merely for a file.

    Complete means: the manifest exists and can be read, and each file that it lists exists with the
    size that it states. A file that is missing, short, or still the one of yesterday keeps the
    sensor waiting; at its timeout it names that file. Manifests as Redshift's ``UNLOAD`` writes them
    and ``COPY`` reads them are understood, and lists of ``name``, ``bytes``, ``lines``, ``sha256``.

    :param bucket_key: the manifest: ``s3://bucket/key``, or a key in ``bucket_name`` (templated)
    :param bucket_name: its bucket, where ``bucket_key`` is no URI (templated)
    :param files_at: the manifest's fields that list files, or the one that does; ``entries`` by default (templated)
    :param min_rows: rows that the manifest must state in all
    :param check_sha256: read every file and compare its SHA-256 with the manifest's. It reads the
        whole dataset at each look: meant for small ones
    :param aws_conn_id: an ``aws`` connection (templated)
    :param region_name: the bucket's region, where the connection does not say
    :param verify: as boto3 takes it: check certificates, or a bundle to check them with
    :param deferrable: wait in the triggerer, without a worker; by default as Airflow's option
        ``[operators] default_deferrable`` says
    :return: ``manifest`` (URI) and the counts it states: ``files``, ``bytes``, ``rows``
    :raises AirflowSensorTimeout: after ``timeout`` seconds, naming what is missing; with
        ``soft_fail`` or ``never_fail`` the task is skipped with the same words
    :raises AirflowFailException: where S3 answers 401 or 403, the connection is not there, or the bucket's name is
        none, with ``soft_fail`` too: another try would be refused as well. With ``never_fail`` the task is skipped with
        the same words. Where there is no ``aws_default``, what the machine has is taken, as Airflow does
    """

    template_fields: Sequence[str] = ("bucket_key", "bucket_name", "files_at", "aws_conn_id")
    ui_color = "#dbe9f4"

    def __init__(
        self,
        *,
        bucket_key: str,
        bucket_name: str | None = None,
        files_at: Sequence[str] = ("entries",),
        min_rows: int | None = None,
        check_sha256: bool = False,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bucket_key = bucket_key
        self.bucket_name = bucket_name
        self.files_at = files_at
        self.min_rows = min_rows
        self.check_sha256 = check_sha256
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.deferrable = deferrable
        self._reason: str | None = None

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Looks once; the value is what the sensor returns."""
        wait = self._wait()
        try:
            state = asyncio.run(wait.look())
        except VainWaitError as error:
            raise refused(self, str(error)) from error
        self._reason = state.reason
        if state.reason is not None:
            self.log.info("Not complete yet: %s", state.reason)
            return False
        return PokeReturnValue(is_done=True, xcom_value=state.result(wait.uri))

    def execute(self, context: Context) -> Any:
        """Looks once, then waits in the triggerer, or here where it is not deferrable."""
        if not self.deferrable:
            with in_own_words(lambda: self._late(self._reason)):
                return super().execute(context)
        found = self.poke(context)
        if isinstance(found, PokeReturnValue):
            return found.xcom_value
        wait = self._wait()
        self.defer(
            trigger=S3ManifestTrigger(
                poke_interval=self.poke_interval, deadline=time.time() + self.timeout, **vars(wait)
            ),
            method_name="execute_complete",
        )
        return None

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Ends the wait as the trigger's event says."""
        if event["status"] == "complete":
            result: dict[str, Any] = event["result"]
            return result
        if event["status"] == "timeout":
            raise self._late(event["message"])
        raise refused(self, event["message"])

    def resume_execution(
        self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context
    ) -> Any:
        """Keeps this sensor's own words and kind of error."""
        with in_own_words():
            return super().resume_execution(next_method, next_kwargs, context)

    def _late(self, reason: str | None) -> AirflowException:
        return timed_out(
            self,
            f"The dataset was not complete within {self.timeout:.0f} s: {reason}. When its producer "
            "has fixed that, clear this task.",
        )

    def _wait(self) -> ManifestWait:
        try:
            if self.bucket_name is None:
                bucket, key = bucket_and_key(self.bucket_key)
            else:
                bucket, key = S3Hook.get_s3_bucket_key(
                    self.bucket_name, self.bucket_key, "bucket_name", "bucket_key"
                )
            return ManifestWait(
                uri=f"s3://{bucket}/{key}",
                aws_conn_id=self.aws_conn_id,
                region_name=self.region_name,
                verify=self.verify,
                files_at=self.files_at,
                min_rows=self.min_rows,
                check_sha256=self.check_sha256,
            )
        except (ValueError, TypeError, AirflowException) as error:
            raise refused(self, f"{self.task_id}: {error}") from error
