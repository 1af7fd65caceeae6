"""Additional well-formed fields on every line, as when a source grows; kept over restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from feira_local.shop.state import StateFile

ExtraFieldName = Literal["channel"]


class ExtraFieldSet(BaseModel):
    """The fields that are on: ``channel`` is web, shop or app, the same in all of an order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fields: tuple[ExtraFieldName, ...] = ()


class ExtraFields:
    """Which additional fields the lines carry."""

    def __init__(self, state_dir: Path) -> None:
        self._file = StateFile(state_dir / "extra_fields.json")
        try:
            self._set = ExtraFieldSet.model_validate(self._file.read())
        except ValidationError as error:
            raise self._file.unreadable(f"no known fields ({error})") from error

    @property
    def on(self) -> tuple[ExtraFieldName, ...]:
        """The names of the fields that are on."""
        return self._set.fields

    def put(self, fields: ExtraFieldSet) -> None:
        """Sets which fields are on."""
        self._file.write(fields.model_dump())
        self._set = fields
