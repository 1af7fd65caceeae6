"""A landing store on S3, as moto serves it, and a warehouse."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest

from feira.lake import landing_store
from feira.landing.store import LandingStore
from feira.settings import LakeSettings
from feira.warehouse.schema import connect
from feira_local.stack.postgres import Dsns


@pytest.fixture
def store(s3_endpoint: str) -> LandingStore:
    """An empty store: each test has a prefix of its own in the bucket."""
    return landing_store(
        LakeSettings(
            root=f"s3://lake/{uuid.uuid4().hex}",
            endpoint=s3_endpoint,
            access_key="test",
            secret_key="test",
            catalog="hadoop",
        )
    )


@pytest.fixture
def loader_dsn(empty_warehouse: Dsns) -> str:
    """The role that loads, on a warehouse without tables."""
    return empty_warehouse.warehouse_loader


@pytest.fixture
def connection(loader_dsn: str) -> Iterator[psycopg.Connection]:
    """A connection as the platform opens it."""
    with connect(loader_dsn) as connection:
        yield connection
