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
from slack_sdk.models.blocks import MarkdownTextObject

from feira.core.one_line import LONGEST_NAME, isolated, one_line
from feira.summary.chart import chart, chart_png
from feira.summary.files import csv_text
from feira.summary.mail import html, plain
from feira.summary.model import DayReport
from feira.summary.slack import slack_message
from reported_days import figures, naming, product, report

EVALUATED = "=+-@＝＋－＠"


def named(name: str, sku: str = "85123A") -> DayReport:
    return report(figures=figures(top_products=(product(sku, "1.0000", 1, name),)))


def cells(name: str, delimiter: str = ",") -> list[str]:
    table = csv.reader(io.StringIO(csv_text(named(name))), delimiter=delimiter)
    return [cell for row in table for cell in row]


def evaluates(cell: str) -> bool:
    """Whether a spreadsheet may take a cell for a formula; a plain number it may."""
    seen = cell.lstrip('\ufeff\u200b\u200c\u200d \t\r\n"')
    return seen.startswith(tuple(EVALUATED)) and not re.fullmatch(r"[-+]?[\d.]+", seen)


@pytest.mark.parametrize(
    "name",
    [
        *("\n=1+1", "\t=1", "\r@SUM(A1)", "\ufeff=1+1", "\u200b+1", '"=1+1', "  -2+3"),
        *("＝1+1", "a\n=1", "a;=1+1", "a;  =1+1", "a,@b", 'a;"=1+1'),
        *("\u200d=1+1", "a;\u200d=1+1", "a;\u200c@b", "a,`\u200d+1"),
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_no_name_is_evaluated_by_a_spreadsheet_of_any_country(name: str, delimiter: str) -> None:
    assert not [cell for cell in cells(name, delimiter) if evaluates(cell)]


@given(st.text(alphabet=[*EVALUATED, *" ;,'\"\n\t\ufeff\u202e\u200d", "a", "1"], max_size=12))
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
    unseen = [it for it in line if unicodedata.category(it) in ("Cc", "Cf", "Cs", "Co")]
    assert set(unseen) <= {"\u200c", "\u200d"}
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


@pytest.mark.parametrize(
    "text",
    [
        *(
            "می\u200cخواهم",
            "۱۰\u200cتایی",
            "क्\u200dष",
            "👩\u200d🍳 APRON",
            "👩🏽\u200d🍳",
            "❤️\u200d🔥",
        ),
        # Of Unicode 15 and of none yet: what this Python does not know, a reader's program may.
        *("MUG \U0001fae8", "\U0001fae8", "\U0001fae8\u200d\U0001fae8", "\u0378", "\U000323b0"),
    ],
)
def test_what_makes_a_name_is_kept(text: str) -> None:
    assert one_line(text) == text
    assert text in cells(text)
    assert text in html(named(text), "c") and text in plain(named(text))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\u200dMUG\u200c", "MUG"),
        ("MUG\u200d CUP", "MUG CUP"),
        ("MUG \u200d CUP", "MUG CUP"),
        ("MUG\u200d\u200d\u200dCUP", "MUG\u200dCUP"),
        ("MUG\u200d, CUP", "MUG, CUP"),
        ("a;\u200d=1", "a;=1"),
        ("\u200d\u200c", ""),
        ("A\ufdd0\ufdef\ufffe\uffff\U0001ffff\U0010fffeB", "AB"),
        ("A\ue000\U000f0000\U00100000\ud800B", "AB"),
        ("A\u2065\ufff0\U000e0000\U000e0080\U000e0fffB", "AB"),
    ],
)
def test_what_is_never_to_be_seen_is_not_kept(text: str, line: str) -> None:
    assert one_line(text) == line


def test_no_joiner_stands_where_a_name_was_cut() -> None:
    assert one_line("خ\u200c" * 60, 5) == "خ\u200cخ…"


OTHER_WAY = ["כוס תה", "شاي أخضر 250", "٣", "A כוס", "\u05ff"]


@pytest.mark.parametrize("name", OTHER_WAY)
def test_a_right_to_left_name_is_isolated_from_the_figures_beside_it(name: str) -> None:
    held = f"\u2068{name}\u2069"
    assert isolated(name) == held
    stated = naming(name)
    text = plain(stated)
    assert f"  {held} ({held}): 12 units, 1,200.00 USD\n" in text
    assert f"  {held}: 3 lines\n" in text
    assert f"  Units of {held}: 1 -> 12\n" in text
    changed, products, rules = (
        slack_message(stated)["blocks"][at]["text"]["text"] for at in (3, 5, 6)
    )
    assert changed == f"```Units of {held}: 1 → 12```"
    row = products.strip("`").split("\n")[-1]
    fills = " " * (36 - len(name)), " " * (12 - len(name))
    assert row == f"{held}{fills[0]}  {held}{fills[1]} {12:>9}  {'1,200.00':>14}"
    assert f"{held}{' ' * (40 - len(name))}  {3:>9}" in rules
    body = html(stated, "c")
    assert body.count(f">{name}</bdi>") == 4
    names = [text.get_text() for axes in chart(stated).axes[1:] for text in axes.texts]
    assert {f"{held} {held}", held} <= set(names)


def test_an_ordinary_report_has_no_invisible_character() -> None:
    slack = json.dumps(slack_message(named("CAFÉ 茶碗 ☕")), ensure_ascii=False)
    for text in (plain(named("CAFÉ 茶碗 ☕")), slack):
        assert "\u2068" not in text and "\u2069" not in text


IN_MARKS = "DCGS_0072_B https://evil.example/x @channel `a` *b* _c_ ~d~ <!here>"


def test_slack_formats_and_links_nothing_that_came_from_outside() -> None:
    outside = []
    for block in slack_message(naming(IN_MARKS))["blocks"]:
        texts = [block.get("text"), *block.get("fields", []), *block.get("elements", [])]
        for text in filter(None, texts):
            if text["type"] == "mrkdwn":
                assert text["verbatim"] is True
                assert MarkdownTextObject(text=text["text"], verbatim=True).to_dict() == text
                parts = re.split(r"```(.*?)```", text["text"], flags=re.DOTALL)
                assert "DCGS" not in "".join(parts[::2]) and "`" not in "".join(parts[1::2])
                outside += [it for it in parts[1::2] if "DCGS_0072_B https://evil" in it]
    assert len(outside) == 3
