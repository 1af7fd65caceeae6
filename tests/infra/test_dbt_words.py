"""The marts' SQL means by the domain's words what the platform's code means."""

from __future__ import annotations

import re

from checkout import REPOSITORY
from feira.sales.published import SOLD


def macro(name: str) -> str:
    """The SQL of a macro without parameters, in lower case, its white space made single."""
    text = (REPOSITORY / "infra/dbt/macros/order_lines.sql").read_text()
    found = re.findall(rf"{{% macro {name}\(\) -%}}(.*?){{%- endmacro %}}", text, re.DOTALL)
    assert len(found) == 1
    return " ".join(found[0].lower().split())


def test_what_counts_as_sold_is_the_same_in_the_marts_and_in_the_platforms_code() -> None:
    assert macro("is_sold") == SOLD.lower()
