"""The S3 server: S3Proxy with plain files under the stack's lake folder."""

from __future__ import annotations

from pathlib import Path

from feira_local.stack.config import StackConfig
from feira_local.stack.java import java_command
from feira_local.stack.secrets import Secrets, write_private

HEAP = "192m"


def command(config: StackConfig) -> tuple[str, ...]:
    logback = Path(__file__).parent / "conf" / "logback.xml"
    return (
        java_command(),
        f"-Xmx{HEAP}",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        f"-Dlogback.configurationFile={logback}",
        *("-cp", f"{config.jars}/s3proxy/*", "org.gaul.s3proxy.Main"),
        *("--properties", str(config.run / "s3proxy.properties")),
    )


def prepare(config: StackConfig, secrets: Secrets) -> None:
    """Writes the server's properties; only the owner reads them, they hold the key."""
    properties = {
        "s3proxy.endpoint": config.s3_url,
        "s3proxy.authorization": "aws-v2-or-v4",
        "s3proxy.identity": secrets.s3_access_key,
        "s3proxy.credential": secrets.s3_secret_key,
        "jclouds.provider": "filesystem-nio2",
        "jclouds.filesystem.basedir": str(config.lake),
    }
    write_private(
        config.run / "s3proxy.properties",
        "".join(f"{name}={_escaped(value)}\n" for name, value in properties.items()),
    )


def _escaped(value: str) -> str:
    """For java.util.Properties, which reads Latin-1, takes a backslash for an escape and UTF-16 after it."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = (int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2))
    return "".join(chr(code) if code < 128 else f"\\u{code:04x}" for code in codes)
