"""A landing store on S3, as moto serves it, and a warehouse."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from feira.core.lake import landing_store
from feira.core.landing.store import LandingStore
from feira.core.settings import LakeSettings
from feira.core.warehouse.schema import connect
from feira_local.stack.postgres import Dsns
from s3_proxy import s3_proxy


@pytest.fixture(scope="session")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeSettings]:
    """A lake on the stack's S3 server, which checks signatures."""
    with s3_proxy(tmp_path_factory.mktemp("s3")) as lake:
        yield lake


@pytest.fixture
def store(request: pytest.FixtureRequest) -> LandingStore:
    """An empty store: each test has a prefix of its own in the bucket.

    ``FEIRA_TEST_STORE=folder`` has it in a folder: a mutant's run is then several times shorter.
    """
    if os.environ.get("FEIRA_TEST_STORE") == "folder":
        found: LandingStore = request.getfixturevalue("folder_store")
        return found
    return landing_store(
        LakeSettings(
            root=f"s3://lake/{uuid.uuid4().hex}",
            endpoint=request.getfixturevalue("s3_endpoint"),
            access_key="test",
            secret_key="test",
            catalog="hadoop",
        ),
        "sales",
    )


@pytest.fixture
def folder_store(tmp_path: Path) -> LandingStore:
    """An empty store in a folder, for tests of so many writes that a server's answers would be the most."""
    return landing_store(LakeSettings(root=f"file://{tmp_path}", catalog="hadoop"), "sales")


@pytest.fixture
def loader_dsn(empty_warehouse: Dsns) -> str:
    """The role that loads, on a warehouse without tables."""
    return empty_warehouse.warehouse_loader


@pytest.fixture
def connection(loader_dsn: str) -> Iterator[psycopg.Connection]:
    """A connection as the platform opens it."""
    with connect(loader_dsn) as connection:
        yield connection
