"""The command ``redshift-local``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request

import psycopg
import pytest

from feira_local.stack.postgres import Dsns
from redshift_local.database import UnsuitableDatabase, install, require
from temporary_postgres import free_port

COMMAND = [
    sys.executable,
    "-c",
    "import sys; from redshift_local.command import main; sys.exit(main())",
]


def test_it_serves_until_it_is_told_to_end(redshift_dsn: str) -> None:
    port, other = free_port(), free_port()
    process = subprocess.Popen(
        [*COMMAND, "--data-api-port", str(port), "--port", str(other)],
        env=os.environ | {"REDSHIFT_LOCAL_DSN": redshift_dsn},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"Data API: http://127.0.0.1:{port}\n"
        assert process.stdout.readline() == f"PostgreSQL protocol: 127.0.0.1:{other}\n"
        with psycopg.connect(f"postgresql://u@127.0.0.1:{other}/dev") as session:
            assert session.execute("SELECT NVL(NULL, 1)").fetchone() == (1,)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}",
            json.dumps({"WorkgroupName": "laptop"}).encode(),
            {"X-Amz-Target": "RedshiftData.ListDatabases"},
        )
        assert json.load(urllib.request.urlopen(request)) == {"Databases": ["dev"]}
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_it_does_not_begin_without_its_database() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "REDSHIFT_LOCAL_DSN"}
    unset = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, check=False)
    assert unset.returncode == 2 and "REDSHIFT_LOCAL_DSN" in unset.stderr
    nowhere = f"postgresql://postgres:secret-word@127.0.0.1:{free_port()}/dev"
    closed = subprocess.run(
        COMMAND,
        env=environment | {"REDSHIFT_LOCAL_DSN": nowhere},
        capture_output=True,
        text=True,
        check=False,
    )
    assert closed.returncode == 2 and "cannot be used" in closed.stderr
    assert "secret-word" not in closed.stderr


def test_an_older_postgresql_another_order_or_a_lesser_role_is_refused(
    postgres: Dsns, redshift_dsn: str
) -> None:
    with pytest.raises(UnsuitableDatabase, match="PostgreSQL 17 is too old: 18"):
        require(170005, superuser=True)
    with pytest.raises(UnsuitableDatabase, match="no superuser"):
        install(postgres.dbt)
    with pytest.raises(UnsuitableDatabase, match=r"BUILTIN_LOCALE 'C\.UTF-8'"):
        require(180000, superuser=True, by_bytes=False)
    # A second time brings up to date what is there.
    install(redshift_dsn)
