"""COPY and UNLOAD, as both doors run them."""

from __future__ import annotations

from typing import Any

import psycopg

from redshift_local.loading.files import S3
from redshift_local.loading.load import load
from redshift_local.loading.unload import unload
from redshift_local.translation.translate import Translated
from redshift_local.translation.unloading import Unload


def transfer(connection: psycopg.Connection[Any], dsn: str, s3: S3, translated: Translated) -> int:
    """Runs the statement's transfer; how many rows. Raises psycopg.Error or RedshiftError."""
    order = translated.transfer
    assert order is not None
    if isinstance(order, Unload):
        return unload(connection, s3, order, translated.statements[0])
    return load(connection, dsn, s3, order)


def said(translated: Translated, count: int) -> str:
    """What Redshift says when the transfer has ended."""
    if isinstance(translated.transfer, Unload):
        return f"UNLOAD completed, {count} record(s) unloaded successfully."
    assert translated.transfer is not None
    table = translated.transfer.table[-1]
    return f"Load into table '{table}' completed, {count} record(s) loaded successfully."
