"""Where the lake and its catalog are: read from the environment once, with the legal values named in the error."""

from __future__ import annotations

import os
import re
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


# As botocore takes it; a URI, an ARN and a bucket with a folder are none.
_BUCKET = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_ENDPOINT = re.compile(r"(?i:https?)://[^/?#@\s]+(/[^?#\s]*)?")
_REGION = re.compile("[A-Za-z0-9][A-Za-z0-9-]{0,62}")
_AWS_OBJECTS = ("service_config", "config_kwargs", "session_kwargs", "assume_role_kwargs")
_AWS_TEXTS = (
    *("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "region_name"),
    *("endpoint_url", "profile_name", "role_arn", "assume_role_method"),
)


def s3_config(conn_id: str, extra: Mapping[str, Any]) -> Mapping[str, Any]:
    """``service_config.s3`` of an ``aws`` connection's extra: it names a bucket, and no field of the extra that the
    lake is read from is of another type.

    :raises SettingsError: naming the connection and the field
    """
    _require_types(conn_id, extra)
    services: Mapping[str, Any] = extra.get("service_config") or {}
    service: Mapping[str, Any] = services.get("s3") or {}
    bucket = service.get("bucket_name")
    if bucket in (None, ""):
        raise SettingsError(
            f"Connection {conn_id} names no bucket; set service_config.s3.bucket_name in its extra."
        )
    if not _is_bucket(bucket):
        raise SettingsError(
            f"Connection {conn_id}: service_config.s3.bucket_name is {str(bucket)[:80]!r}; it must be the bucket's "
            "name alone, such as feira-lake."
        )
    return service


def _require_types(conn_id: str, extra: Mapping[str, Any]) -> None:
    objects = {name: extra.get(name) for name in _AWS_OBJECTS}
    texts = {name: extra.get(name) for name in _AWS_TEXTS}
    if isinstance(services := extra.get("service_config"), dict):
        objects |= {f"service_config.{name}": it for name, it in services.items()}
        if isinstance(service := services.get("s3"), dict):
            texts["service_config.s3.endpoint_url"] = service.get("endpoint_url")
    for kind, due, fields in (
        (dict, "a JSON object; in a URL only __extra__ states one", objects),
        (str, "a text", texts),
    ):
        for name, value in fields.items():
            if not isinstance(value, kind | None):
                raise SettingsError(f"Connection {conn_id}: {name} in its extra must be {due}.")
    if not isinstance(verify_of(extra.get("verify")), bool | str | None):
        raise SettingsError(
            f"Connection {conn_id}: verify in its extra must be true, false or a file of certificates."
        )


def _is_bucket(name: Any) -> bool:
    return isinstance(name, str) and _BUCKET.fullmatch(name) is not None


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

    def __post_init__(self) -> None:
        """Raises SettingsError where an endpoint or a region is none: the libraries that are given them say so each
        in words of its own, or of a connection that failed."""
        if self.endpoint is not None and not _ENDPOINT.fullmatch(self.endpoint):
            # What stands before an @ may be a password.
            shown = "none" if "@" in self.endpoint else repr(self.endpoint[:80])
            raise SettingsError(
                f"The lake's endpoint is {shown}; it must be the URL of an S3 server, such as http://127.0.0.1:9000."
            )
        if not _REGION.fullmatch(self.region):
            raise SettingsError(
                f"The lake's region is {self.region[:80]!r}; it must be a region's name, such as eu-west-1."
            )

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
        too, in the extra's ``service_config.s3.bucket_name``. Raises SettingsError where it cannot be used.

        A role or a profile is not looked up here: what Airflow's hook makes of those, and the catalog,
        which such a connection says nothing about, are ``fields``.
        """
        service = s3_config(conn_id, extra)
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
            root=f"s3://{service['bucket_name']}",
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
        scheme, separator, place = root.rstrip("/").partition("://")
        named = _is_bucket(place.partition("/")[0]) if scheme == "s3" else scheme == "file"
        if not separator or not named:
            raise SettingsError(
                f"FEIRA_LAKE is {root!r}; it must be a URI with a bucket or a folder, such as s3://feira-lake. "
                "`feira env` prints the settings of the local stack."
            )
        catalog = env.get("FEIRA_LAKE_CATALOG") or "jdbc"
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
        access_key = env.get("FEIRA_LAKE_ACCESS_KEY") or None
        secret_key = env.get("FEIRA_LAKE_SECRET_KEY") or None
        if (access_key is None) != (secret_key is None):
            raise SettingsError(
                "The environment has one half of a key; set FEIRA_LAKE_ACCESS_KEY and FEIRA_LAKE_SECRET_KEY, or "
                "neither."
            )
        return cls(
            root=root.rstrip("/"),
            endpoint=env.get("FEIRA_LAKE_ENDPOINT") or None,
            access_key=access_key,
            secret_key=secret_key,
            session_token=env.get("FEIRA_LAKE_SESSION_TOKEN") or None,
            region=env.get("FEIRA_LAKE_REGION") or "us-east-1",
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
