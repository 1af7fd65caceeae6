"""OpenAPI of the routes that are not FastAPI's, which therefore does not know them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from feira.recommendations.serving import requests, served
from feira.recommendations.serving.events import MOST_EVENTS
from feira.recommendations.serving.layout import (
    BOUGHT_BEFORE,
    GOES_WITH,
    LONGEST_ITEM,
    LONGEST_USER,
    POPULAR,
    POPULAR_IN_CATEGORY,
    SLOTS,
)
from feira.recommendations.serving.shown import ARMS
from feira.user_events import incoming

_TEXT: dict[str, Any] = {"type": "string"}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "user_id": _TEXT | {"minLength": 1, "maxLength": LONGEST_USER},
    "slot": _TEXT | {"enum": list(SLOTS), "default": "new"},
    "n": {"type": "integer", "minimum": 1, "maximum": requests.MOST_ITEMS, "default": 20},
    "exclude": {
        "type": "array",
        "items": _TEXT | {"minLength": 1, "maxLength": LONGEST_ITEM},
        "maxItems": requests.MOST_EXCLUDED,
    },
    "shown": {"type": "boolean", "default": False},
    "items": {
        "type": "array",
        "items": _TEXT | {"minLength": 1, "maxLength": LONGEST_ITEM},
        "minItems": 1,
        "maxItems": requests.MOST_IN_BASKET,
    },
}
_SHOWN = "Of a list that is shown."
_ARM = {"arm": _TEXT | {"enum": list(ARMS), "description": f"{_SHOWN} The user's arm."}}
_OF_USERS = ("user_id", "slot", "n", "exclude", "shown")
_OFFER = {
    "type": "object",
    "required": ["item", "reason"],
    "properties": {
        "item": _TEXT,
        "reason": _TEXT | {"enum": [BOUGHT_BEFORE, GOES_WITH, POPULAR, POPULAR_IN_CATEGORY]},
        "reason_item": _TEXT | {"description": f"Of {GOES_WITH}: what it goes with."},
        "position": {"type": "integer", "minimum": 1, "description": _SHOWN},
        "probability": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 1,
            "description": f"{_SHOWN} That of the item at its place.",
        },
    },
}


def paths() -> dict[str, Any]:
    """Of each route its operations."""
    return {
        requests.PATH: {
            "get": {
                "summary": "What is offered to a user, best first",
                "operationId": "recommendations",
                "parameters": [_parameter(name) for name in _OF_USERS],
                "responses": _responses(_SCHEMAS["user_id"], (served.OWN, served.SEGMENT), _ARM),
            }
        },
        requests.BASKET: {
            "post": {
                "summary": "What goes with the items of a guest's basket, best first",
                "operationId": "basket",
                "parameters": [_parameter(name) for name in ("n", "exclude")],
                "requestBody": _object({"items": _SCHEMAS["items"]}),
                "responses": _responses({"type": "null"}, (served.BASKET,))
                | {status: _problem(title) for status, title in _OF_BODIES.items()},
            }
        },
        requests.EVENTS: {
            "post": {
                "summary": "Impressions and clicks of what was shown, for Kafka",
                "operationId": "events",
                "requestBody": _object({"events": _events()}),
                "responses": {
                    "202": {"description": "The events are queued for Kafka, each once."},
                    "422": _problem("An event that is none, by its place, field, value and limit."),
                    "501": _problem("No Kafka is configured: no events are ever taken."),
                    "503": _problem(
                        "Kafka is down, or too many wait; Retry-After says for how long."
                    ),
                }
                | {status: _problem(title) for status, title in _OF_BODIES.items()},
            }
        },
    }


_OF_BODIES = {"413": "A body that is too long.", "415": "A body that is not stated as JSON."}


def _events() -> dict[str, Any]:
    """A list of events, as the contract of their table has them."""
    kinds = {"int": "integer", "double": "number"}
    properties: dict[str, Any] = {}
    for column in incoming.columns():
        properties[column.name] = {
            "type": kinds.get(column.type, "string"),
            "description": column.description,
        }
        if column.type == "timestamp":
            properties[column.name]["format"] = "date-time"
        if column.max_length:
            properties[column.name]["maxLength"] = column.max_length
    properties["event_type"]["enum"] = list(incoming.KINDS)
    return {
        "type": "array",
        "minItems": 1,
        "maxItems": MOST_EVENTS,
        "items": {
            "type": "object",
            "properties": properties,
            "required": [column.name for column in incoming.columns() if column.required],
            "additionalProperties": False,
        },
    }


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


def _responses(
    user: dict[str, Any], own: Sequence[str], more: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    sources = [*own, served.POPULAR, served.FILE, served.NONE]
    answer = {
        "type": "object",
        "required": ["user_id", "slot", "version", "source", "items"],
        "properties": {
            "user_id": user,
            "slot": _SCHEMAS["slot"],
            "version": {"type": ["string", "null"]},
            "source": _TEXT | {"enum": sources},
            "segment": _TEXT | {"description": f"Of {served.SEGMENT}: the category."},
            "items": {"type": "array", "items": _OFFER},
            **more,
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
