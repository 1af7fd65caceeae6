"""What a landing's manifest and its validation say."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict


class LandedFile(BaseModel):
    """One file of a landing. ``lines`` and ``bytes`` are counts; ``sha256`` is of the file as stored."""

    model_config = ConfigDict(frozen=True)

    name: str
    lines: int
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """A complete landing. It is written last, so a landing that has one is whole."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    extract_day: date
    version: int
    contract_version: str
    fields: list[str]
    total: int
    pages: list[LandedFile]
    rates: LandedFile
    requested_by: str
    """The run that landed it: its retries reuse the landing instead of making another."""

    @property
    def lines(self) -> int:
        """Lines in all pages."""
        return sum(page.lines for page in self.pages)


class Validation(BaseModel):
    """What validation found in a landing, and whether the landing passed the gate."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    extract_day: date
    version: int
    contract_version: str
    total: int
    valid: int
    broken: dict[str, int]
    """Rows that break each rule; a row may break several."""
    max_invalid_percent: float
    passed: bool

    @property
    def quarantined(self) -> int:
        """Rows that break at least one rule."""
        return self.total - self.valid

    def summary(self) -> str:
        """``5.9 % of 3,108 lines invalid (limit 5 %): unknown_currency 120, sku_blank 63``."""
        percent = 100 * self.quarantined / self.total if self.total else 0.0
        rules = sorted(self.broken.items(), key=lambda item: (-item[1], item[0]))
        names = ", ".join(f"{name} {count:,}" for name, count in rules)
        text = (
            f"{percent:.2f} % of {self.total:,} lines invalid "
            f"(limit {self.max_invalid_percent:g} %)"
        )
        return f"{text}: {names}" if names else text


def passes_gate(total: int, invalid: int, max_invalid_percent: float) -> bool:
    """Whether at most ``max_invalid_percent`` of the lines are invalid; an empty landing passes."""
    return invalid * 100 <= max_invalid_percent * total
