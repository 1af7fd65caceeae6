"""Where the lake and its catalog are: read from the environment once, with the legal values named in the error."""

from __future__ import annotations

import os
from collections.abc import Mapping
from configparser import ConfigParser
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from feira.core.errors import PermanentError


class SettingsError(PermanentError, ValueError):
    """A setting is missing or not legal; the message names it, its value and what it may be."""


def boolean_of(value: Any, what: str, *, blank: bool) -> bool:
    """A switch of a connection; a text may say it, since a connection that is given as a URL has only texts.

    :param what: names it in the message
    :param blank: what null and an empty text stand for
    :raises SettingsError: for anything else
    """
    if value is None or value == "":
        return blank
    found = _boolean(value)
    if found is None:
        raise SettingsError(f"{what} is {value!r}; it must be true or false.")
    return found


def verify_of(value: Any) -> Any:
    """How certificates are verified, as requests and boto3 take it: a boolean, which a text may say, or a file of
    certificates; None where it is not stated."""
    if value is None or value == "":
        return None
    found = _boolean(value)
    return value if found is None else found


def _boolean(value: Any) -> bool | None:
    return ConfigParser.BOOLEAN_STATES.get(str(value).strip().lower())


@dataclass(frozen=True)
class LakeSettings:
    """The object store, and the Iceberg catalog on it.

    ``root`` is the lake's URI without a trailing slash. ``endpoint`` is None on AWS; with it go
    path-style addressing. Without a key the libraries look for one where AWS's tools
    do; ``session_token`` goes with a temporary one. ``verify`` is as boto3 takes it: False, or a file
    of certificates. ``catalog`` is ``jdbc`` (PostgreSQL), ``glue`` or
    ``hadoop`` (a folder, for tests that need no server).
    """

    root: str
    endpoint: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    region: str = "us-east-1"
    verify: bool | str | None = None
    catalog: str = "jdbc"
    catalog_uri: str | None = None
    catalog_user: str | None = None
    catalog_password: str | None = field(default=None, repr=False)

    @classmethod
    def from_aws(
        cls,
        conn_id: str,
        *,
        access_key: str | None,
        secret_key: str | None,
        extra: Mapping[str, Any],
        **fields: Any,
    ) -> LakeSettings:
        """The lake that an ``aws`` connection names: its bucket stands where S3Hook looks for it
        too, in the extra's ``service_config.s3.bucket_name``. Raises SettingsError without one.

        A role or a profile is not looked up here: what Airflow's hook makes of those, and the catalog,
        which such a connection says nothing about, are ``fields``.
        """
        service = extra.get("service_config", {}).get("s3", {})
        bucket = service.get("bucket_name")
        if not bucket:
            raise SettingsError(
                f"Connection {conn_id} names no bucket; set service_config.s3.bucket_name in its "
                "extra."
            )
        access_key = access_key or extra.get("aws_access_key_id")
        secret_key = secret_key or extra.get("aws_secret_access_key")
        if bool(access_key) != bool(secret_key):
            raise SettingsError(
                f"Connection {conn_id} has one half of a key; set its login and its password, or neither."
            )
        stated: dict[str, Any] = {
            "endpoint": service.get("endpoint_url", extra.get("endpoint_url")),
            "access_key": access_key,
            "secret_key": secret_key,
            "session_token": extra.get("aws_session_token"),
            "region": extra.get("region_name"),
            "verify": extra.get("verify"),
            **fields,
        }
        stated["verify"] = verify_of(stated["verify"])
        return cls(
            root=f"s3://{bucket}",
            **{name: value for name, value in stated.items() if value not in (None, "")},
        )

    @property
    def tables_root(self) -> str:
        """Where Iceberg keeps its tables."""
        return f"{self.root}/tables"

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> LakeSettings:
        """Reads ``FEIRA_LAKE`` and ``FEIRA_LAKE_*``; raises SettingsError naming what is wrong."""
        root = env.get("FEIRA_LAKE", "")
        if not root.startswith(("s3://", "file://")):
            raise SettingsError(
                f"FEIRA_LAKE is {root!r}; it must be a URI such as s3://feira-lake. "
                "`feira env` prints the settings of the local stack."
            )
        catalog = env.get("FEIRA_LAKE_CATALOG", "jdbc")
        if catalog not in ("jdbc", "glue", "hadoop"):
            raise SettingsError(
                f"FEIRA_LAKE_CATALOG is {catalog!r}; it may be jdbc, glue or hadoop."
            )
        uri = env.get("FEIRA_LAKE_CATALOG_URI")
        if catalog == "jdbc" and not uri:
            raise SettingsError(
                "FEIRA_LAKE_CATALOG_URI is not set; the jdbc catalog needs "
                "postgresql://HOST:PORT/DATABASE."
            )
        return cls(
            root=root.rstrip("/"),
            endpoint=env.get("FEIRA_LAKE_ENDPOINT") or None,
            access_key=env.get("FEIRA_LAKE_ACCESS_KEY") or None,
            secret_key=env.get("FEIRA_LAKE_SECRET_KEY") or None,
            session_token=env.get("FEIRA_LAKE_SESSION_TOKEN") or None,
            region=env.get("FEIRA_LAKE_REGION", "us-east-1"),
            verify=verify_of(env.get("FEIRA_LAKE_VERIFY")),
            catalog=catalog,
            catalog_uri=uri,
            catalog_user=env.get("FEIRA_LAKE_CATALOG_USER") or None,
            catalog_password=env.get("FEIRA_LAKE_CATALOG_PASSWORD") or None,
        )

    def to_env(self) -> dict[str, str]:
        """The environment that ``from_env`` reads back to the same settings."""
        pairs = {
            "FEIRA_LAKE": self.root,
            "FEIRA_LAKE_ENDPOINT": self.endpoint,
            "FEIRA_LAKE_ACCESS_KEY": self.access_key,
            "FEIRA_LAKE_SECRET_KEY": self.secret_key,
            "FEIRA_LAKE_SESSION_TOKEN": self.session_token,
            "FEIRA_LAKE_REGION": self.region,
            "FEIRA_LAKE_VERIFY": None if self.verify is None else str(self.verify),
            "FEIRA_LAKE_CATALOG": self.catalog,
            "FEIRA_LAKE_CATALOG_URI": self.catalog_uri,
            "FEIRA_LAKE_CATALOG_USER": self.catalog_user,
            "FEIRA_LAKE_CATALOG_PASSWORD": self.catalog_password,
        }
        return {name: value for name, value in pairs.items() if value is not None}

    def storage_options(self) -> dict[str, Any]:
        """Keyword arguments for ``s3fs.S3FileSystem``."""
        client: dict[str, object] = {"region_name": self.region}
        if self.verify is not None:
            client["verify"] = self.verify
        options: dict[str, Any] = {"client_kwargs": client}
        if self.endpoint:
            options["endpoint_url"] = self.endpoint
            options["config_kwargs"] = {"s3": {"addressing_style": "path"}}
        if self.access_key:
            options["key"] = self.access_key
            options["secret"] = self.secret_key
            options["token"] = self.session_token
        return options


def repository_root() -> Path:
    """The checkout that this code runs from: the folder that holds ``shared/contracts``.

    ``FEIRA_REPOSITORY`` overrides it where the packages are installed without the checkout.
    """
    override = os.environ.get("FEIRA_REPOSITORY")
    return Path(override) if override else Path(__file__).resolve().parents[4]
