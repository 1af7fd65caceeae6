"""What a product may be called: no name evaluates, forges a line, or is longer than its place."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata

import hypothesis.strategies as st
import pytest
from hypothesis import given

from feira.core.one_line import LONGEST_NAME, one_line
from feira.summary.chart import chart_png
from feira.summary.files import csv_text
from feira.summary.mail import html, plain
from feira.summary.model import DayReport
from feira.summary.slack import slack_message
from reported_days import figures, product, report

EVALUATED = "=+-@＝＋－＠"


def named(name: str, sku: str = "85123A") -> DayReport:
    return report(figures=figures(top_products=(product(sku, "1.0000", 1, name),)))


def cells(name: str, delimiter: str = ",") -> list[str]:
    table = csv.reader(io.StringIO(csv_text(named(name))), delimiter=delimiter)
    return [cell for row in table for cell in row]


def evaluates(cell: str) -> bool:
    """Whether a spreadsheet may take a cell for a formula; a plain number it may."""
    seen = cell.lstrip('\ufeff\u200b \t\r\n"')
    return seen.startswith(tuple(EVALUATED)) and not re.fullmatch(r"[-+]?[\d.]+", seen)


@pytest.mark.parametrize(
    "name",
    [
        *("\n=1+1", "\t=1", "\r@SUM(A1)", "\ufeff=1+1", "\u200b+1", '"=1+1', "  -2+3"),
        *("＝1+1", "a\n=1", "a;=1+1", "a;  =1+1", "a,@b", 'a;"=1+1'),
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_no_name_is_evaluated_by_a_spreadsheet_of_any_country(name: str, delimiter: str) -> None:
    assert not [cell for cell in cells(name, delimiter) if evaluates(cell)]


@given(st.text(alphabet=[*EVALUATED, *" ;,'\"\n\t\ufeff\u202e", "a", "1"], max_size=12))
def test_no_text_at_all_is_evaluated(name: str) -> None:
    assert not [cell for cell in (*cells(name), *cells(name, ";")) if evaluates(cell)]


def test_a_negative_amount_stays_a_number() -> None:
    stated = report(figures=figures(top_products=(product("A", "-5.2500", -3),)))
    values = {row["figure"]: row["value"] for row in csv.DictReader(io.StringIO(csv_text(stated)))}
    assert (values["product_revenue"], values["product_units"]) == ("-5.2500", "-3")


@pytest.mark.parametrize("name", ["WHITE MUG", "CAFÉ, 2 O'CLOCK", "12 1/2 CM - RED", "茶碗"])
def test_ordinary_names_are_written_as_they_are(name: str) -> None:
    assert name in cells(name)


@pytest.mark.parametrize(
    "separator", ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"]
)
def test_no_name_forges_a_line_of_the_plain_mail(separator: str) -> None:
    for stated in (
        named(f"MUG{separator}Revenue: 1,000,000.00 USD"),
        named("MUG", sku=f"1{separator}Revenue: 1,000,000.00 USD"),
    ):
        assert not [line for line in plain(stated).splitlines() if line.startswith("Revenue: 1,0")]


@given(st.text())
def test_a_line_holds_nothing_invisible_and_is_stable(text: str) -> None:
    line = one_line(text)
    assert len(line) <= LONGEST_NAME
    assert len(line.splitlines()) <= 1
    assert not any(unicodedata.category(each)[0] == "C" for each in line)
    assert one_line(line) == line


def test_a_name_of_three_megabytes_is_cut_everywhere() -> None:
    stated = named("<b>MUG " * 430_000, sku="S" * 3_000_000)
    assert len(csv_text(stated)) < 20_000
    assert len(plain(stated)) < 5_000
    assert len(html(stated, "chart")) < 20_000
    assert len(chart_png(stated)) < 500_000
    message = slack_message(stated)
    assert len(message["blocks"]) <= 50
    assert len(json.dumps(message)) < 10_000
    for block in message["blocks"]:
        assert len(block.get("text", {}).get("text", "")) <= 3000


def test_a_direction_override_reaches_no_reader() -> None:
    stated = named("MUG \u202eDSU 00.1")
    slack = json.dumps(slack_message(stated), ensure_ascii=False)
    for text in (csv_text(stated), plain(stated), html(stated, "c"), slack):
        assert "\u202e" not in text
