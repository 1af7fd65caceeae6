"""The parts of an OpenLineage event that are read here, and whether it has them.

The spec (https://openlineage.io/docs/spec/object-model) knows three kinds of events: of a run, of a job and of a
dataset. What else they hold is anybody's, and not looked at.
"""

from __future__ import annotations

from pydantic import BaseModel, ValidationError


class _Dataset(BaseModel):
    namespace: str
    name: str


class _InputField(_Dataset):
    field: str


class _Column(BaseModel):
    inputFields: list[_InputField]


class _ColumnLineage(BaseModel):
    fields: dict[str, _Column] | None = None


class _Facets(BaseModel):
    columnLineage: _ColumnLineage | None = None


class _Written(_Dataset):
    facets: _Facets | None = None


class _Job(BaseModel):
    namespace: str
    name: str


class _Run(BaseModel):
    runId: str


class _Event(BaseModel):
    eventTime: str = ""
    producer: str = ""


class _JobEvent(_Event):
    job: _Job
    inputs: list[_Dataset] | None = None
    outputs: list[_Written] | None = None


class _RunEvent(_JobEvent):
    run: _Run
    eventType: str | None = None


class _DatasetEvent(_Event):
    dataset: _Dataset


_KINDS: dict[str, type[_Event]] = {"run": _RunEvent, "job": _JobEvent, "dataset": _DatasetEvent}


def wrong_in(event: object) -> str | None:
    """The first field of an event that cannot be read, and why; None where it can be."""
    if not isinstance(event, dict):
        return "it is no object"
    kind = next((_KINDS[name] for name in _KINDS if name in event), None)
    if kind is None:
        return f"it has none of {', '.join(_KINDS)}"
    try:
        kind.model_validate(event)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        # What follows names a class of this module.
        reason = first["msg"].partition(" or instance")[0]
        return f"{field} is missing" if first["type"] == "missing" else f"{field}: {reason}"
    return None
