"""The contract of user events as it may become, in a checkout of its own."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fastavro
import pytest

from feira.core.contracts import contract
from feira.core.contracts.registry import contract_files
from feira.core.settings import repository_root
from feira.user_events import __main__ as command
from feira.user_events import codec, incoming
from feira.user_events.codec import TABLE, header, schemas

OPTIONAL = {
    "device": ("string", "string", "\n        logicalTypeOptions:\n          maxLength: 16"),
    "seen_at": ("timestamp", "timestamp", ""),
    "basket_size": ("integer", "int", ""),
    "discount": ("number", "double", ""),
}


def with_column(text: str, name: str, before: str, *, required: bool = False) -> str:
    """The contract with one of ``OPTIONAL`` before another column."""
    logical, physical, options = OPTIONAL[name]
    place = f"      - name: {before}\n        logicalType"
    assert text.count(place) == 1
    column = (
        f"      - name: {name}\n        logicalType: {logical}\n        physicalType: {physical}{options}\n"
        f"{'        required: true' * required}\n        description: {name}.\n"
    )
    return text.replace(place, column + place)


def grown(text: str) -> str:
    """With all that can be added: columns at the end and between others, a value of an enum, and a column that
    need no longer be there."""
    for name, before in (
        ("device", "quantity"),
        ("discount", "quantity"),
        ("seen_at", "event_day"),
        ("basket_size", "event_day"),
    ):
        text = with_column(text, name, before)
    text = text.replace(
        "          - value: view\n", "          - value: wish\n          - value: view\n"
    )
    session = "      - name: session_id\n"
    begin, _, rest = text.partition(session)
    return begin + session + rest.replace("        required: true\n", "", 1)


@contextmanager
def changed_contract(
    folder: Path, change: Callable[[str], str], *, commit: bool = False
) -> Iterator[Path]:
    """Inside, the contract is the changed one; its schema is beside it where that was committed. Yields its file."""
    shutil.copytree(repository_root() / "shared" / "contracts", folder / "shared" / "contracts")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FEIRA_REPOSITORY", str(folder))
        path = contract_files()[TABLE]
        before = path.read_text()
        path.write_text(change(before))
        assert path.read_text() != before or change is str
        _forget()
        try:
            if commit:
                command.main()
            yield path
        finally:
            _forget()


def _forget() -> None:
    for each in (contract, incoming.columns, codec.schemas, codec._parsed, codec._newest):
        each.cache_clear()


def written(event: dict[str, Any], schema_id: int) -> bytes:
    """The message of an event whose producer has the schema with that id."""
    schema = fastavro.parse_schema(json.loads(schemas()[schema_id]))
    known = {field["name"] for field in schema["fields"]}  # type: ignore[index, call-overload]
    into = io.BytesIO()
    into.write(header(schema_id))
    kept = {name: value for name, value in event.items() if name in known}
    fastavro.schemaless_writer(into, schema, kept, strict=False)
    return into.getvalue()
