"""OpenAPI of the routes that are not FastAPI's, which therefore does not know them."""

from __future__ import annotations

from typing import Any

from feira.recommendations.serving import reading, requests
from feira.recommendations.serving.layout import (
    BOUGHT_BEFORE,
    GOES_WITH,
    POPULAR,
    POPULAR_IN_CATEGORY,
    SLOTS,
)
from feira.recommendations.serving.packing import LONGEST_USER

_TEXT: dict[str, Any] = {"type": "string"}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "user_id": _TEXT | {"minLength": 1, "maxLength": LONGEST_USER},
    "slot": _TEXT | {"enum": list(SLOTS), "default": "new"},
    "n": {"type": "integer", "minimum": 1, "maximum": requests.MOST_ITEMS, "default": 20},
    "exclude": {
        "type": "array",
        "items": _TEXT | {"minLength": 1, "maxLength": requests.LONGEST_ITEM},
        "maxItems": requests.MOST_EXCLUDED,
    },
    "items": {
        "type": "array",
        "items": _TEXT | {"minLength": 1, "maxLength": requests.LONGEST_ITEM},
        "minItems": 1,
        "maxItems": requests.MOST_IN_BASKET,
    },
}
_OFFER = {
    "type": "object",
    "required": ["item", "reason"],
    "properties": {
        "item": _TEXT,
        "reason": _TEXT | {"enum": [BOUGHT_BEFORE, GOES_WITH, POPULAR, POPULAR_IN_CATEGORY]},
        "reason_item": _TEXT | {"description": f"Of {GOES_WITH}: what it goes with."},
    },
}


def paths() -> dict[str, Any]:
    """Of each route its operations."""
    return {
        requests.PATH: {
            "get": {
                "summary": "What is offered to a user, best first",
                "operationId": "recommendations",
                "parameters": [_parameter(name) for name in ("user_id", "slot", "n", "exclude")],
                "responses": _responses(_SCHEMAS["user_id"], reading.OWN, reading.SEGMENT),
            }
        },
        requests.BASKET: {
            "post": {
                "summary": "What goes with the items of a guest's basket, best first",
                "operationId": "basket",
                "parameters": [_parameter(name) for name in ("n", "exclude")],
                "requestBody": _object({"items": _SCHEMAS["items"]}),
                "responses": _responses({"type": "null"}, reading.BASKET)
                | {status: _problem(title) for status, title in _OF_BODIES.items()},
            }
        },
    }


_OF_BODIES = {"413": "A body that is too long.", "415": "A body that is not stated as JSON."}


def _parameter(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path" if name == "user_id" else "query",
        "required": name == "user_id",
        "description": requests.LIMITS[name],
        "schema": _SCHEMAS[name],
        # One parameter with commas, or several.
        **({"style": "form", "explode": False} if name == "exclude" else {}),
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _responses(user: dict[str, Any], *own: str) -> dict[str, Any]:
    sources = [*own, reading.POPULAR, reading.FILE, reading.NONE]
    answer = {
        "type": "object",
        "required": ["user_id", "slot", "version", "source", "items"],
        "properties": {
            "user_id": user,
            "slot": _SCHEMAS["slot"],
            "version": {"type": ["string", "null"]},
            "source": _TEXT | {"enum": sources},
            "segment": _TEXT | {"description": f"Of {reading.SEGMENT}: the category."},
            "items": {"type": "array", "items": _OFFER},
        },
    }
    return {
        "200": {
            "description": "The list, whatever state Valkey is in; `source` says where it is from.",
            "content": {"application/json": {"schema": answer}},
        },
        "422": _problem("A parameter or field that is not understood, with its limit."),
    }


def _problem(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": {"type": "object"}}},
    }
