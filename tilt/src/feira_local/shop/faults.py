"""The faults that the API can show on demand: their options, and what each does to an answer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from feira_local.shop.dirty import KIND_NAMES, spoiled
from feira_local.shop.source import Line

Call = Literal["sales", "fx", "health"]
FieldName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


@dataclass(frozen=True)
class Asked:
    """A request as faults see it: the call, the days it is about, and the page (from 1)."""

    call: Call
    first_day: dt.date | None = None
    last_day: dt.date | None = None
    page: int | None = None


@dataclass(frozen=True)
class Page:
    """One answer of /sales; ``earlier`` gives the lines of the page before."""

    day: dt.date
    number: int
    offset: int
    total: int
    lines: list[Line]
    earlier: Callable[[], list[Line]]


class Fault(BaseModel):
    """A switch that is on, with its options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    day: dt.date | None = Field(None, description="only requests about this day")

    def meets(self, asked: Asked) -> bool:
        """Whether the fault shows on this request."""
        if self.day is None:
            return True
        first, last = asked.first_day, asked.last_day
        return first is not None and last is not None and first <= self.day <= last


class AnswerFault(Fault):
    """A fault that answers can be counted for."""

    count: int | None = Field(None, ge=1, description="only the next N requests; null is all")


class CallFault(AnswerFault):
    """A fault of the service rather than of a page."""

    calls: tuple[Call, ...] = Field(("sales",), min_length=1, description="which calls show it")

    def meets(self, asked: Asked) -> bool:
        return asked.call in self.calls and super().meets(asked)


class ServerError(CallFault):
    """Requests answer a 5xx status."""

    status: int = Field(500, ge=500, le=599, description="the status to answer")


class Hang(CallFault):
    """Requests wait before they are answered."""

    seconds: float = Field(60, gt=0, le=3600, description="how long to wait")


class PageFault(AnswerFault):
    """A fault of single pages of /sales."""

    def meets(self, asked: Asked) -> bool:
        return asked.call == "sales" and super().meets(asked)

    def applied(self, page: Page) -> Page:
        """The page with the fault in it; never changes the lines it is given."""
        raise NotImplementedError


class ShortPage(PageFault):
    """A page misses its last lines, while total and cursor pretend that they were there."""

    missing: int = Field(1, ge=1, description="how many lines")
    page: int | None = Field(None, ge=1, description="which page, from 1; null is every page")

    def meets(self, asked: Asked) -> bool:
        return self.page in (None, asked.page) and super().meets(asked)

    def applied(self, page: Page) -> Page:
        return replace(page, lines=page.lines[: max(len(page.lines) - self.missing, 0)])


class RepeatedPage(PageFault):
    """A page shows the lines of the page before it, while its cursor moves on."""

    page: int = Field(2, ge=2, description="which page, from 1")

    def meets(self, asked: Asked) -> bool:
        return self.page == asked.page and super().meets(asked)

    def applied(self, page: Page) -> Page:
        return replace(page, lines=page.earlier())


class WrongTotal(PageFault):
    """The stated total differs from the lines that the day holds."""

    by: int = Field(1, description="what is added to the total; may be negative")

    def applied(self, page: Page) -> Page:
        """The page with another total, not under 0."""
        return replace(page, total=max(page.total + self.by, 0))


class RenamedField(PageFault):
    """Every line carries a field under another name."""

    field: FieldName = Field("unit_price", description="the field")
    to: FieldName = Field("price", description="its new name")

    def applied(self, page: Page) -> Page:
        return replace(
            page,
            lines=[
                {self.to if name == self.field else name: value for name, value in line.items()}
                for line in page.lines
            ],
        )


class ExtraField(PageFault):
    """Every line carries a field that no contract knows."""

    field: FieldName = Field("loyalty_tier", description="its name")
    value: str | int | bool | None = Field("gold", description="its value")

    def applied(self, page: Page) -> Page:
        return replace(page, lines=[{**line, self.field: self.value} for line in page.lines])


class AbsentField(PageFault):
    """A field is absent."""

    field: FieldName = Field("currency", description="the field")
    share: float = Field(1.0, gt=0, le=1, description="the share of lines that lack it")

    def applied(self, page: Page) -> Page:
        def drop(line: Line, nth: int) -> Line:
            return {name: value for name, value in line.items() if name != self.field}

        return replace(page, lines=_changed_share(page, self.share, drop))


class BadRows(PageFault):
    """A share of the lines breaks a rule of the contract, each kind in turn."""

    share: float = Field(0.1, gt=0, le=1, description="the share of lines")
    kinds: tuple[Literal[KIND_NAMES], ...] = Field(  # type: ignore[valid-type]
        KIND_NAMES, min_length=1, description="which rules"
    )

    def applied(self, page: Page) -> Page:
        kinds = [kind for kind in KIND_NAMES if kind in self.kinds]

        def spoil(line: Line, nth: int) -> Line:
            # A line that is dirty already may lack what the kind changes.
            if not isinstance(line.get("line_number"), int) or "quantity" not in line:
                return {**line, "status": "refunded"}
            return spoiled(line, kinds[nth % len(kinds)], page.day)

        return replace(page, lines=_changed_share(page, self.share, spoil))


class LateUpdates(Fault):
    """The day also shows lines of an earlier day, changed on this one; its total grows."""

    lines: int = Field(
        100, ge=1, le=10_000, description="how many lines, where the earlier day has them"
    )
    days_back: int = Field(1, ge=1, le=365, description="how far back; closed days are passed over")
    status: Literal["pending", "completed", "shipped", "failed", "cancelled"] | None = Field(
        None, description="their new status; null keeps it and adds 1 to the quantity"
    )


# In the order in which they are applied.
PAGE_FAULTS: dict[str, type[PageFault]] = {
    "repeated_page": RepeatedPage,
    "short_page": ShortPage,
    "wrong_total": WrongTotal,
    "bad_rows": BadRows,
    "renamed_field": RenamedField,
    "absent_field": AbsentField,
    "extra_field": ExtraField,
}
FAULTS: dict[str, type[Fault]] = {
    "server_error": ServerError,
    "hang": Hang,
    **PAGE_FAULTS,
    "late_updates": LateUpdates,
}


def options(fault: type[Fault]) -> dict[str, dict[str, Any]]:
    """What each option of a fault means and what it is when left out."""
    return {
        name: {
            "meaning": field.description,
            "default": field.get_default(call_default_factory=False),
        }
        for name, field in fault.model_fields.items()
    }


def _changed_share(page: Page, share: float, change: Callable[[Line, int], Line]) -> list[Line]:
    """The lines, ``share`` of the day's changed; ``change`` also gets how many were before."""
    lines = []
    for at, line in enumerate(page.lines, start=page.offset):
        nth = int(share * at)
        lines.append(change(line, nth) if int(share * (at + 1)) > nth else line)
    return lines
