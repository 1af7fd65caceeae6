"""``redshift-local``: the doors of a Redshift to test on, in front of a PostgreSQL that runs already."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence

import psycopg
from botocore.session import Session

from redshift_local.data_api.server import data_api
from redshift_local.database import UnsuitableDatabase, install
from redshift_local.loading.files import S3
from redshift_local.wire.server import wire

DSN = "REDSHIFT_LOCAL_DSN"
KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGINT or SIGTERM; 0 then, 2 when it could not begin."""
    parser = argparse.ArgumentParser(
        "redshift-local",
        description="A Redshift to test on, on loopback.",
        epilog=f"{DSN} names the database: postgresql://SUPERUSER:PASSWORD@127.0.0.1:5432/dev",
    )
    parser.add_argument(
        "--data-api-port", type=int, default=5480, help="of the Data API (default: 5480)"
    )
    parser.add_argument(
        "--port", type=int, default=5439, help="of the PostgreSQL protocol (default: 5439)"
    )
    parser.add_argument(
        "--s3-endpoint", default="", help="of the S3 that COPY reads (default: AWS's)"
    )
    parser.add_argument(
        "--logins",
        action="store_true",
        help="that PostgreSQL's roles log in with their passwords, and a request to the Data API must be signed "
        f"with {KEYS} (default: whoever comes is the role of {DSN})",
    )
    options = parser.parse_args(arguments)
    # A password is in no command line, which every user of the machine can read.
    dsn = os.environ.get(DSN, "")
    if not dsn:
        print(
            f"{DSN} is not set: the PostgreSQL behind it, as postgresql://…/DATABASE",
            file=sys.stderr,
        )
        return 2
    keys = Session().get_credentials() if options.logins else None
    if options.logins and keys is None:
        print(f"--logins needs keys that the Data API knows: {KEYS}", file=sys.stderr)
        return 2
    try:
        install(dsn)
    except (psycopg.Error, UnsuitableDatabase) as error:
        print(f"The database of {DSN} cannot be used: {error}".strip(), file=sys.stderr)
        return 2
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    s3 = S3(options.s3_endpoint)
    try:
        with (
            data_api(dsn, port=options.data_api_port, s3=s3, keys=keys) as url,
            wire(dsn, port=options.port, s3=s3, logins=options.logins) as port,
        ):
            print(f"Data API: {url}\nPostgreSQL protocol: 127.0.0.1:{port}", flush=True)
            ended.wait()
    except (OSError, ValueError) as error:
        ports = f"{options.data_api_port} (Data API) and {options.port} (PostgreSQL protocol)"
        print(f"The ports {ports} cannot both be served: {error}", file=sys.stderr)
        return 2
    return 0
