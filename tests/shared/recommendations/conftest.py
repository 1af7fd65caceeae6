"""Every test of the API on a Valkey that is slower than one that serves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from feira.recommendations.serving import looked_at, reading


@pytest.fixture(autouse=True, scope="module")
def _patience() -> Iterator[None]:
    """The API waits for Valkey as no shop would: beside other tests, whose disk is busy, an answer may take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "READ_SECONDS", 20)
        patch.setattr(reading, "_LOAD_SECONDS", 20)
        patch.setattr(looked_at, "_SECONDS", 20)
        yield
