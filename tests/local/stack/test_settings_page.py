"""docs/settings.md has every variable that the code reads, and no other."""

from __future__ import annotations

import re

import pytest

from feira.core.settings import repository_root

ROOTS = ("shared/src", "spark/src", "airflow/src", "airflow/provider/src", "tilt/src", "infra")
# What begins with one of these is one variable with a name of the reader's in it.
FAMILIES = ("FEIRA_PORT_", "FEIRA_SECRET_", "FEIRA_DBT_")
_NAME = re.compile(r"FEIRA_[A-Z0-9_]+")


def _named(text: str) -> set[str]:
    return {
        name if name == "FEIRA_PORT_OFFSET" else next(filter(name.startswith, FAMILIES), name)
        for name in _NAME.findall(text)
        # FEIRA_SHOP_* of a sentence, or a prefix, is no name.
        if name in FAMILIES or not name.endswith("_")
    }


def test_every_variable_of_the_environment_is_on_the_page_of_settings() -> None:
    root = repository_root()
    read: set[str] = set()
    for folder in ROOTS:
        for suffix in ("py", "yaml", "yml"):
            for file in (root / folder).rglob(f"*.{suffix}"):
                read |= _named(file.read_text(encoding="utf-8"))
    page = _named((root / "docs/settings.md").read_text(encoding="utf-8"))
    assert sorted(read - page) == []
    assert sorted(page - read) == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('env.get("FEIRA_X1")', {"FEIRA_X1"}),
        ('f"FEIRA_PORT_{name}" "FEIRA_PORT_OFFSET"', {"FEIRA_PORT_", "FEIRA_PORT_OFFSET"}),
        ("the others, FEIRA_SHOP_*, are read, FEIRA_ is not", set()),
        ("FEIRA_SECRET_SLACK_DEFAULT, `FEIRA_LAKE`…", {"FEIRA_SECRET_", "FEIRA_LAKE"}),
    ],
)
def test_a_variable_is_found_by_its_name(text: str, named: set[str]) -> None:
    assert _named(text) == named
