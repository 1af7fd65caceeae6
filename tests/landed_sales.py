"""A landing of sales with its validation, for who reads what was found and not the lines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from feira.core.landing.manifest import ListedFile, Manifest, Validation
from feira.core.landing.store import LandingStore

MOST_INVALID_PERCENT = 5.0


def land(
    landings: LandingStore, day: date, total: int, valid: int, broken: Mapping[str, int], size: int
) -> str:
    """Lands so many lines in a page of ``size`` bytes, and what their validation found; the manifest's URI."""
    page = f"{landings.folder(day, 1)}/page-00001.ndjson.gz"
    manifest = Manifest(
        dataset="sales",
        extract_day=day,
        version=1,
        contract_version="1.0.0",
        fields=["order_id"],
        total=total,
        requested_by="r1",
        files=(ListedFile(page, size, total, "9f" * 32),),
        companions={},
    )
    landings.put_validation(
        Validation(
            dataset="sales",
            extract_day=day,
            version=1,
            contract_version="1.0.0",
            total=total,
            valid=valid,
            broken=dict(broken),
            max_invalid_percent=MOST_INVALID_PERCENT,
            passed=100 * (total - valid) <= MOST_INVALID_PERCENT * total,
        )
    )
    return landings.put_manifest(manifest)
