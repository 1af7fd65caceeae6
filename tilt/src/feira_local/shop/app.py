"""The shop API: /health, /sales and /fx over a day source, with faults and overrides in between."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, HTTPException, Query, Request, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from feira_local.shop.control import control_routes
from feira_local.shop.faults import PAGE_FAULTS, Asked, Hang, Page, PageFault, ServerError
from feira_local.shop.fx import FxRates
from feira_local.shop.layers import ExtraFieldDays, LateUpdatedDays, OverriddenDays
from feira_local.shop.parameters import CursorError, Day, asked_of, decode_cursor, encode_cursor
from feira_local.shop.source import Clock, DaySource, Line, SourceError, utc_today
from feira_local.shop.switches import ExtraFields, FaultSwitches, Overrides

DEFAULT_LIMIT, LARGEST_LIMIT = 5000, 10_000
LONGEST_FX_RANGE = dt.timedelta(days=5 * 366)


def create_app(
    source: DaySource, fx: FxRates, state_dir: Path, *, today: Clock = utc_today
) -> FastAPI:
    """The API over ``source``, as 127.0.0.1 and localhost. Faults, overrides and extra fields live in ``state_dir``.

    Raises SourceError where the state there is not readable.
    """
    switches, overrides = FaultSwitches(state_dir), Overrides(state_dir)
    extra = ExtraFields(state_dir)
    overridden = OverriddenDays(source, overrides)
    days = ExtraFieldDays(LateUpdatedDays(overridden, switches), extra)
    app = FastAPI(title="Feira shop API", description=__doc__)
    app.include_router(control_routes(switches, overrides, overridden, extra))

    @app.middleware("http")
    async def trouble(
        request: Request, answer: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        """Hangs and server errors come before anything is looked at."""
        asked = asked_of(request.url.path, request.query_params)
        if asked is not None:
            if hang := switches.take("hang", Hang, asked):
                await asyncio.sleep(hang.seconds)
            if fault := switches.take("server_error", ServerError, asked):
                detail = f"{request.url.path}: the fault server_error is on."
                return _json({"detail": detail}, status=fault.status)
        return await answer(request)

    # A foreign page whose name is made to resolve to loopback is refused here, before it takes a fault.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])

    @app.exception_handler(SourceError)
    def unreadable(request: Request, error: Exception) -> Response:
        return _json({"detail": str(error)}, status=500)

    @app.get("/health")
    def health() -> Response:
        first, last = str(days.first_day), str(days.last_day)
        return _json({"status": "ok", "first_day": first, "last_day": last})

    @app.get("/sales")
    def sales(
        date: Day,
        limit: Annotated[int, Query(ge=1, le=LARGEST_LIMIT)] = DEFAULT_LIMIT,
        cursor: str | None = None,
    ) -> Response:
        _require_finished(days, date, today())
        offset = 0
        if cursor is not None:
            try:
                offset = decode_cursor(cursor, date)
            except CursorError as error:
                raise HTTPException(422, detail=str(error)) from error
        total = days.total(date)
        lines = _page(days.lines(date, offset, limit + 1), limit)
        following = offset + len(lines)
        page = Page(
            day=date,
            # A page may be a few lines short.
            number=-(-offset // limit) + 1,
            offset=offset,
            total=total,
            lines=lines,
            earlier=lambda: days.lines(date, max(offset - limit, 0), limit),
        )
        asked = Asked("sales", first_day=date, last_day=date, page=page.number)
        for name in PAGE_FAULTS:
            if fault := switches.take(name, PageFault, asked):
                page = fault.applied(page)
        return _json(
            {
                "date": str(date),
                "total": page.total,
                "lines": page.lines,
                "next_cursor": encode_cursor(date, following) if following < total else None,
            }
        )

    @app.get("/fx")
    def rates(first: Annotated[Day, Query(alias="from")], to: Day) -> Response:
        if to < first:
            raise HTTPException(422, detail=f"fx: to={to} is before from={first}.")
        if to - first > LONGEST_FX_RANGE:
            raise HTTPException(
                422,
                detail=f"fx: {first} to {to} is more than {LONGEST_FX_RANGE.days} days. "
                "Ask for shorter ranges.",
            )
        # A day that is not finished has no rate yet.
        finished = min(to, today() - dt.timedelta(days=1))
        return _json({"from": str(first), "to": str(to), "rates": fx.rates(first, finished)})

    return app


def _page(lines: list[Line], limit: int) -> list[Line]:
    """The first ``limit`` lines, less those at the end that the line after them repeats: the API shows
    one version of a line on one page only."""
    end = min(limit, len(lines))
    while len(lines) > limit and end > 1 and lines[end - 1] == lines[end]:
        end -= 1
    return lines[:end]


def _require_finished(days: DaySource, day: dt.date, today: dt.date) -> None:
    first, last = days.first_day, days.last_day
    if day >= today:
        raise HTTPException(
            404, detail=f"sales {day}: the day is not finished; the last day is {last}."
        )
    if not first <= day <= last:
        raise HTTPException(404, detail=f"sales {day}: outside the data ({first} to {last}).")


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(content), status_code=status, media_type="application/json")
