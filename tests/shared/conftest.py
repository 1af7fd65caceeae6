"""A landing store on S3, as moto serves it."""

from __future__ import annotations

import uuid

import pytest

from feira.lake import landing_store
from feira.landing.store import LandingStore
from feira.settings import LakeSettings


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
