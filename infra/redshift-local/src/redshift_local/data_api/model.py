"""Requests and answers as botocore's own model of the service has them; its shapes are what is validated by."""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ListShape, ServiceModel, Shape, StructureShape
from botocore.validate import ParamValidator

TARGET = "RedshiftData"


class ApiError(Exception):
    """An answer that is one of the service's errors: ``code`` is its name in the model."""

    def __init__(self, code: str, message: str, **members: str) -> None:
        super().__init__(message)
        self.code = code
        self.members = members

    @property
    def status(self) -> int:
        return (
            500 if self.code in ("InternalServerException", "DatabaseConnectionException") else 400
        )

    def body(self) -> bytes:
        return json.dumps({"__type": self.code, "Message": str(self), **self.members}).encode()


def invalid(message: str) -> ApiError:
    return ApiError("ValidationException", message)


@cache
def service() -> ServiceModel:
    """The service as the installed botocore knows it."""
    return botocore.session.Session().get_service_model("redshift-data")


def request(operation: str, body: bytes) -> dict[str, Any]:
    """The parameters of a request; ApiError when it is none of the operation's."""
    if operation not in service().operation_names:
        raise ApiError("UnknownOperationException", f"{operation} is no operation of the Data API")
    try:
        parameters = json.loads(body or b"{}")
    except ValueError:
        raise ApiError("SerializationException", "The body of the request is no JSON") from None
    shape = _shape(service().operation_model(operation).input_shape)
    if not isinstance(parameters, dict):
        raise ApiError("SerializationException", "The body of the request is no JSON object")
    report = ParamValidator().validate(parameters, shape)
    if report.has_errors():
        raise invalid(report.generate_report())
    _limits(parameters, shape, "")
    return parameters


def _shape(shape: Shape | None) -> Shape:
    """Each operation of this service has both shapes."""
    assert shape is not None
    return shape


def _limits(value: Any, shape: Shape, name: str) -> None:
    """What the model states and botocore leaves to the service: longest, greatest, pattern, enumeration."""
    limits = shape.metadata
    if isinstance(shape, StructureShape):
        for key, each in value.items():
            _limits(each, shape.members[key], f"{name}.{key}".lstrip("."))
        return
    size = value if isinstance(value, int) else len(value) if hasattr(value, "__len__") else 0
    if not isinstance(value, bool) and not limits.get("min", 0) <= size <= limits.get("max", size):
        raise invalid(
            f"{name} is {size} long or great, and must be {limits.get('min', 0)} to {limits.get('max', size)}"
        )
    if isinstance(shape, ListShape):
        for each in value:
            _limits(each, shape.member, name)
    if shape.type_name == "string":
        if limits.get("enum") and value not in limits["enum"]:
            raise invalid(f"{name} is {value!r}, and must be one of {', '.join(limits['enum'])}")
        if limits.get("pattern") and not re.fullmatch(limits["pattern"], value):
            raise invalid(f"{name} is {value!r}, and must be of the form {limits['pattern']}")


def answer(operation: str, response: dict[str, Any]) -> bytes:
    """The body of an answer. ApiError of the server's own when it is not as the model has it."""
    report = ParamValidator().validate(
        response, _shape(service().operation_model(operation).output_shape)
    )
    if report.has_errors():
        raise ApiError("InternalServerException", f"{operation}: {report.generate_report()}")
    return json.dumps(response, default=_encoded, ensure_ascii=False).encode()


def _encoded(value: object) -> object:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} has no form in an answer")
