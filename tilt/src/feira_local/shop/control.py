"""The control calls, under /_: faults, overrides and extra fields."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from fastapi import APIRouter, Body, HTTPException
from pydantic import ValidationError

from feira_local.shop.faults import FAULTS
from feira_local.shop.layers import OverriddenDays
from feira_local.shop.parameters import Day
from feira_local.shop.switches import ExtraFields, ExtraFieldSet, FaultSwitches, Override, Overrides

Json = dict[str, Any]


def control_routes(
    switches: FaultSwitches, overrides: Overrides, days: OverriddenDays, extra: ExtraFields
) -> APIRouter:
    """Routes that change what the API shows from the next request on."""
    routes = APIRouter()

    @routes.get("/_faults")
    def list_faults() -> Json:
        return {"faults": [switches.describe(name) for name in FAULTS]}

    @routes.put("/_faults/{name}")
    def turn_on(name: str, state: Annotated[Json | None, Body()] = None) -> Json:
        try:
            return switches.put(_known(name), state or {})
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False)
            raise HTTPException(422, detail=problems) from error
        except TypeError as error:
            raise HTTPException(422, detail=f"fault {name}: {error}.") from error

    @routes.delete("/_faults/{name}", status_code=204)
    def turn_off(name: str) -> None:
        switches.delete(_known(name))

    @routes.delete("/_faults", status_code=204)
    def turn_all_off() -> None:
        switches.delete()

    @routes.get("/_overrides")
    def list_overrides() -> Json:
        return {"overrides": overrides.all()}

    @routes.get("/_overrides/{date}")
    def show_override(date: Day) -> Json:
        override = overrides.get(date)
        if override is None:
            raise HTTPException(404, detail=f"overrides {date}: the day has none.")
        return {"date": str(date), **override.model_dump()}

    @routes.put("/_overrides/{date}")
    def put_override(date: Day, override: Override) -> Json:
        _require_day(days, date)
        try:
            overrides.put(date, override)
        except TypeError as error:
            raise HTTPException(422, detail=f"overrides {date}: {error}.") from error
        effect = days.effect(date)
        assert effect is not None
        return {
            "date": str(date),
            "total": days.total(date),
            "withdrawn": len(effect.withdrawn),
            "replaced": len(effect.replaced),
            "added": len(override.add),
            "not_held": [{"order_id": o, "line_number": n} for o, n in effect.not_held],
        }

    @routes.delete("/_overrides/{date}", status_code=204)
    def drop_override(date: Day) -> None:
        overrides.delete(date)

    @routes.delete("/_overrides", status_code=204)
    def drop_overrides() -> None:
        overrides.delete()

    @routes.get("/_extra_fields")
    def list_extra_fields() -> Json:
        return {"fields": list(extra.on)}

    @routes.put("/_extra_fields")
    def put_extra_fields(fields: ExtraFieldSet) -> Json:
        extra.put(fields)
        return {"fields": list(extra.on)}

    return routes


def _known(name: str) -> str:
    if name not in FAULTS:
        raise HTTPException(
            404, detail=f"fault {name!r} is unknown; there are {', '.join(FAULTS)}."
        )
    return name


def _require_day(days: OverriddenDays, day: dt.date) -> None:
    if not days.first_day <= day <= days.last_day:
        raise HTTPException(
            404,
            detail=f"overrides {day}: outside the data ({days.first_day} to {days.last_day}).",
        )
