"""The stack's S3 server, with a bucket in a folder of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feira.core.settings import LakeSettings, repository_root
from feira_local.stack import s3
from feira_local.stack.config import BUCKET, DEFAULT_PORTS, Ports, ShopOptions, StackConfig
from feira_local.stack.secrets import load_secrets
from running_server import running, wait_for
from temporary_postgres import free_port


@contextmanager
def s3_proxy(home: Path) -> Iterator[LakeSettings]:
    """Yields a lake on it; ends the server at the end."""
    ports = Ports(**{name: free_port() for name in DEFAULT_PORTS})
    config = StackConfig(home, repository_root(), ports, ShopOptions(None, 7, 1))
    config.make_folders()
    secrets = load_secrets(home)
    s3.prepare(config, secrets)
    log = config.logs / "s3.log"
    with running(s3.command(config), log, home) as process:
        wait_for(process, ports.s3, log)
        yield LakeSettings(
            f"s3://{BUCKET}",
            config.s3_url,
            secrets.s3_access_key,
            secrets.s3_secret_key,
            catalog="hadoop",
        )
