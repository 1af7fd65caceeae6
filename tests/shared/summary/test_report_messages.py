"""CSV, mail and Slack say the same figures, and nothing that came from outside gets out of its place."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.dates import num2date
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation

from feira.summary.chart import MARKED, chart, chart_png
from feira.summary.files import csv_text
from feira.summary.mail import html, mail, message_id, plain
from feira.summary.model import Change, Correction, DayReport, DayRevenue
from feira.summary.slack import slack_message
from feira.summary.wording import cents, headline, number
from reported_days import D1, D2, figures, outcome, product, report

Figures = dict[tuple[str, str], Decimal]


# Rows of the CSV that say what the ledger says, and hold no figure.
LEDGER = ("outcome", "agreed")


def in_csv(stated: DayReport) -> Figures:
    """(figure, item) → value, exact."""
    rows = csv.DictReader(io.StringIO(csv_text(stated)))
    return {
        (row["figure"], row["item"].removeprefix("'")): Decimal(row["value"])
        for row in rows
        if row["value"] and row["figure"] not in ("revenue_by_day", *LEDGER)
    }


@dataclass
class Cells(HTMLParser):
    """Reads the cells that name their figure."""

    found: Figures = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    item: str = ""
    figure: str | None = None

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        known = dict(attrs)
        if tag == "tr":
            self.item = known.get("data-product") or known.get("data-rule") or ""
        self.figure = known.get("data-figure")

    def handle_data(self, data: str) -> None:
        if self.figure:
            self.found[self.figure, self.item] = Decimal(data.replace(",", ""))
            self.figure = None


def in_mail(stated: DayReport) -> Figures:
    cells = Cells()
    cells.feed(html(stated, "chart"))
    return cells.found


def marked_day(axes: Axes) -> tuple[dict[dt.date, float], dt.date, str]:
    """Each day's bar, the day in the other colour, and what stands above it."""
    bars = {
        num2date(bar.get_x() + bar.get_width() / 2).date(): bar
        for bar in axes.patches
        if isinstance(bar, Rectangle)
    }
    (marked,) = [day for day, bar in bars.items() if bar.get_facecolor() == to_rgba(MARKED)]
    (label,) = [text for text in axes.texts if isinstance(text, Annotation)]
    assert num2date(label.xy[0]).date() == marked
    return {day: bar.get_height() for day, bar in bars.items()}, marked, label.get_text()


def bars(axes: Axes) -> list[tuple[str, float, str]]:
    """A name, the length of its bar and the number beside it, from the top down."""
    numbers = [text for text in axes.texts if isinstance(text, Annotation)]
    names = [text for text in axes.texts if not isinstance(text, Annotation)]
    drawn = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
    assert [name.get_position()[1] for name in names] == sorted(
        name.get_position()[1] for name in names
    )
    return [
        (name.get_text(), bar.get_width(), text.get_text())
        for name, bar, text in zip(names, drawn, numbers, strict=True)
    ]


NAMES = {
    "Revenue": "revenue",
    "Orders": "orders",
    "Lines sold": "sold_lines",
    "Cancelled": "cancelled_amount",
    "Lines landed": "landed_lines",
    "Lines valid": "valid_lines",
    "Lines in quarantine": "quarantined_lines",
}


def in_slack(stated: DayReport) -> Figures:
    """From the fields, and from the columns of the two tables."""
    found: Figures = {}
    for block in slack_message(stated)["blocks"]:
        for each in block.get("fields", []):
            name, value = re.fullmatch(r"\*(.+)\*\n(\S+)(?: USD)?", each["text"]).groups()
            found[NAMES[name], ""] = Decimal(value.replace(",", ""))
        text = block.get("text", {}).get("text", "")
        table = re.search(r"```(.*)```", text, re.DOTALL)
        if table is None:
            continue
        for row in table[1].split("\n"):
            parts = row.split()
            if text.startswith("*Quarantine"):
                found["rule", parts[0]] = Decimal(parts[1].replace(",", ""))
            elif parts[0] != "product":
                sku, units, revenue = parts[-3:]
                found["product_units", sku] = Decimal(units.replace(",", ""))
                found["product_revenue", sku] = Decimal(revenue.replace(",", ""))
    return found


def to_cents(exact: Figures) -> Figures:
    """Amounts as people read them; by another way than the code under test."""
    return {
        key: value.quantize(Decimal("0.01"), ROUND_HALF_EVEN) if "." in str(value) else value
        for key, value in exact.items()
    }


amounts = st.decimals(min_value=-(10**9), max_value=10**9, places=4).map(
    lambda value: value.quantize(Decimal("0.0001"))
)
positive = st.decimals(min_value=Decimal("0.0001"), max_value=10**9, places=4).map(
    lambda value: value.quantize(Decimal("0.0001"))
)
counts = st.integers(min_value=0, max_value=10**7)
names = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
any_report = st.builds(
    lambda **known: report(figures=figures(**known)),
    revenue=amounts,
    orders=counts,
    sold_lines=counts,
    cancelled_amount=amounts,
    landed_lines=counts,
    valid_lines=counts,
    quarantined_lines=counts,
    broken_rules=st.dictionaries(
        st.from_regex(r"[a-z_]{3,20}", fullmatch=True), counts, max_size=8
    ),
    top_products=st.lists(
        st.builds(
            lambda sku, revenue, units, name: product(sku, str(revenue), units, name),
            st.from_regex(r"[0-9]{5}[A-Z]?", fullmatch=True),
            positive,
            counts,
            names,
        ),
        max_size=5,
        unique_by=lambda each: each.sku,
    ).map(tuple),
)


@settings(max_examples=60, deadline=None)
@given(any_report)
def test_csv_mail_and_slack_say_the_same_figures(stated: DayReport) -> None:
    exact = in_csv(stated)
    assert exact["revenue", ""] == stated.figures.revenue
    assert in_mail(stated) == in_slack(stated) == to_cents(exact)


def test_a_message_says_what_the_ledger_says_and_not_more() -> None:
    def said(**known: Any) -> list[str]:
        stated = report(outcome=outcome(**known))
        blocks = slack_message(stated)["blocks"]
        return [html(stated, "chart"), blocks[1]["text"]["text"]]

    for text in said():
        assert "Landing 1 is loaded: 10 lines, 2 of them in quarantine." in text
        assert "Lake and warehouse agree." in text
    for text in said(agreed=False):
        assert "have not been found equal yet" in text
        assert "agree." not in text
    for text in said(landed_lines=0, valid_lines=0, quarantined_lines=0):
        assert "Closed day: the shop served no lines." in text


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({}, {"outcome": "loaded", "agreed": "true"}),
        ({"agreed": False}, {"outcome": "loaded", "agreed": "false"}),
        (
            {"landed_lines": 0, "valid_lines": 0, "quarantined_lines": 0},
            {"outcome": "closed", "agreed": "true"},
        ),
    ],
)
def test_the_csv_says_what_the_ledger_says(known: dict[str, Any], said: dict[str, str]) -> None:
    rows = csv.DictReader(io.StringIO(csv_text(report(outcome=outcome(**known)))))
    assert {row["figure"]: row["value"] for row in rows if row["figure"] in LEDGER} == said


def test_the_chart_is_another_where_the_ledger_says_another_thing() -> None:
    assert chart_png(report()) != chart_png(report(outcome=outcome(agreed=False)))


CORRECTION = report(
    version=3,
    correction=Correction(
        cause="Landing 2 of the day has replaced landing 1.",
        changes=(
            Change(
                figure="revenue", item=None, before=Decimal("1200.0000"), after=Decimal("1234.5678")
            ),
            Change(figure="rule", item="sku_blank", before=0, after=2),
            Change(figure="product_units", item="85123A", before=None, after=2),
        ),
    ),
)


def test_a_correction_says_each_figure_before_and_after_and_why() -> None:
    in_html = re.sub(r"<[^>]+>", "|", html(CORRECTION, "chart"))
    assert "Correction 2 of sales of 2010-12-01" in in_html
    assert re.search(r"Revenue\|+1,200\.00\|+1,234\.57\|+USD", in_html)
    assert re.search(r"Quarantined by \|sku_blank\|+0\|+2\|+", in_html)
    assert re.search(r"Units of \|85123A\|+–\|+2\|+", in_html)
    why, changed = (block["text"]["text"] for block in slack_message(CORRECTION)["blocks"][2:4])
    assert why == "Landing 2 of the day has replaced landing 1."
    assert changed.strip("`").split("\n") == [
        "Revenue: 1,200.00 → 1,234.57 USD",
        "Quarantined by sku_blank: 0 → 2",
        "Units of 85123A: – → 2",
    ]
    assert "  Quarantined by sku_blank: 0 -> 2\n  Units of 85123A: – -> 2\n" in plain(CORRECTION)
    before = [
        row["before"]
        for row in csv.DictReader(io.StringIO(csv_text(CORRECTION)))
        if row["figure"] not in LEDGER
    ]
    assert before[0] == "1200.0000"


@pytest.mark.parametrize(
    ("before", "after"),
    [("10.0010", "10.0020"), ("0.0000", "-0.0040"), ("-0.0040", "0.0000"), ("-0.0049", "0.0049")],
)
def test_a_change_below_a_cent_is_still_to_be_seen(before: str, after: str) -> None:
    change = Change(
        figure="cancelled_amount", item=None, before=Decimal(before), after=Decimal(after)
    )
    stated = report(version=2, correction=Correction(cause="x", changes=(change,)))
    assert (
        f"Cancelled: {before} → {after} USD" in slack_message(stated)["blocks"][3]["text"]["text"]
    )
    assert f"Cancelled: {before} -> {after} USD" in plain(stated)
    assert f">{before}</td>" in html(stated, "c") and f">{after}</td>" in html(stated, "c")


def test_nothing_is_minus_nothing() -> None:
    stated = report(
        figures=figures(
            revenue=Decimal("-0.0050"),
            cancelled_amount=Decimal("-0.0034"),
            top_products=(product("1", "-0.0001"),),
        )
    )
    slack = str(slack_message(stated))
    label = marked_day(chart(stated).axes[0])[2]
    for text in (plain(stated), html(stated, "c"), slack, headline(stated), label):
        assert "-0.00" not in text
    assert "Cancelled: 0.00 USD" in plain(stated)


HOSTILE = '<script>alert(1)</script> & "x" <!channel> ``` =1+1'


def test_a_products_name_is_never_markup() -> None:
    stated = report(figures=figures(top_products=(product("=cmd", "9.0000", 1, HOSTILE),)))
    cells = Cells()
    cells.feed(html(stated, "chart"))
    assert "script" not in cells.tags
    text = slack_message(stated)["blocks"][3]["text"]["text"]
    assert "<" not in text
    assert text.count("```") == 2
    rows = list(csv.DictReader(io.StringIO(csv_text(stated))))
    assert {row["item"] for row in rows if row["figure"] == "product_units"} == {"'=cmd"}


def test_a_correction_of_very_many_figures_still_fits_slack() -> None:
    changes = tuple(
        Change(figure="rule", item=f"a_rule_with_a_long_name_{n}", before=n, after=n + 1)
        for n in range(200)
    )
    stated = report(version=2, correction=Correction(cause="x", changes=changes))
    text = slack_message(stated)["blocks"][3]["text"]["text"]
    assert len(text) < 3000
    assert re.search(r"… and \d+ more; the mail has all```$", text)
    assert html(stated, "chart").count("data-change") == 200


def test_the_mail_has_text_html_with_the_chart_in_it_and_the_csv() -> None:
    stated = report()
    sent = mail(stated, b"a,b\n", b"\x89PNG", sender="a@example.com", recipients=["b@example.com"])
    read = message_from_bytes(bytes(sent), policy=policy.default)
    assert isinstance(read, EmailMessage)
    assert [part.get_content_type() for part in read.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "text/csv",
    ]
    (picture,) = [part for part in read.walk() if part.get_content_type() == "image/png"]
    body = read.get_body(("html",))
    assert body is not None
    assert f'src="cid:{picture["Content-ID"].strip("<>")}"' in body.get_content()
    (attached,) = read.iter_attachments()
    assert attached.get_filename() == "sales-2010-12-01-v1.csv"
    assert read["Subject"] == "Sales of 2010-12-01: 1,234.57 USD, 3 orders"


def test_the_chart_of_recommendations_is_in_the_mail_under_the_day_that_it_is_of() -> None:
    stated = report(recommendations_of=D2)
    addresses = {"sender": "a@example.com", "recipients": ["b@example.com"]}
    read = message_from_bytes(
        bytes(mail(stated, b"a,b\n", b"sales", b"clicks", **addresses)), policy=policy.default
    )
    assert isinstance(read, EmailMessage)
    pictures = [part for part in read.walk() if part.get_content_type() == "image/png"]
    assert [part.get_content() for part in pictures] == [b"sales", b"clicks"]
    body = read.get_body(("html",))
    assert body is not None
    text = body.get_content()
    places = [text.index(f'src="cid:{part["Content-ID"].strip("<>")}"') for part in pictures]
    assert places[0] < text.index(f"Recommendations shown on {D2}") < places[1]
    assert f"Recommendations shown on {D2}: see the chart" in plain(stated)
    for each in (plain(report()), html(report(), "chart")):
        assert "Recommendations" not in each


def test_the_same_report_has_the_same_identifier_and_another_has_another() -> None:
    assert message_id(report()) == message_id(report())
    assert slack_message(report())["blocks"][0]["block_id"] == report().report_id
    others = [report(D2), report(version=2), report(figures=figures(orders=4))]
    assert len({message_id(each) for each in [report(), *others]}) == 4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("93990.8650"), "93,990.86"),
        (Decimal("93990.8750"), "93,990.88"),
        (Decimal("-0.0050"), "0.00"),
        (Decimal("-0.0051"), "-0.01"),
        (3108, "3,108"),
        (None, "–"),
    ],
)
def test_people_read_cents_rounded_half_to_even(value: Any, text: str) -> None:
    assert number(value) == text


def test_a_sum_as_wide_as_the_warehouse_holds_is_rounded_without_loss() -> None:
    assert str(cents(Decimal("9" * 33 + ".1250"))) == "9" * 33 + ".12"
    assert str(cents(Decimal("-" + "9" * 33 + ".1250"))) == "-" + "9" * 33 + ".12"


def test_a_closed_days_subject_says_so() -> None:
    stated = report(
        outcome=outcome(landed_lines=0), figures=figures(revenue=Decimal("0.0000"), orders=0)
    )
    assert headline(stated) == "Sales of 2010-12-01: closed, 0.00 USD"


@pytest.mark.parametrize("days", [0, 1, 2, 60])
def test_the_chart_is_drawn_for_any_number_of_days_and_the_same_each_time(days: int) -> None:
    series = tuple(
        DayRevenue(day=D1 - dt.timedelta(days=n), revenue=Decimal(n)) for n in reversed(range(days))
    )
    nothing = figures(top_products=(), broken_rules={}) if days < 2 else figures()
    stated = report(revenue_by_day=series, figures=nothing)
    drawn = chart_png(stated)
    assert drawn.startswith(b"\x89PNG\r\n")
    assert int.from_bytes(drawn[16:20], "big") == 1200
    assert drawn == chart_png(stated)


def test_the_chart_shows_the_days_the_marked_one_the_products_and_the_rules() -> None:
    day_before = D1 - dt.timedelta(days=1)
    stated = report(
        revenue_by_day=(
            DayRevenue(day=day_before, revenue=Decimal("900.5000")),
            DayRevenue(day=D1, revenue=Decimal("1234.5678")),
        ),
        figures=figures(
            top_products=(
                product("85123A", "700.1250", 12, "T-LIGHT HOLDER"),
                product("71053", "300.0000", 3, None),
            ),
            broken_rules={"sku_blank": 7, "quantity_zero": 2, "status_unknown": 5},
        ),
    )
    by_day, products, by_rule = chart(stated).axes
    assert marked_day(by_day) == (
        {day_before: 900.5, D1: 1234.5678},
        D1,
        "01 Dec 2010: 1,234.57",
    )
    assert bars(products) == [
        ("85123A T-LIGHT HOLDER", 700.125, "700.12"),
        ("71053", 300.0, "300.00"),
    ]
    assert bars(by_rule) == [
        ("sku_blank", 7, "7"),
        ("status_unknown", 5, "5"),
        ("quantity_zero", 2, "2"),
    ]


def test_the_chart_says_what_a_closed_day_took_all_the_same() -> None:
    closed = report(
        outcome=outcome(landed_lines=0),
        revenue_by_day=(DayRevenue(day=D1, revenue=Decimal("250.0000")),),
        figures=figures(revenue=Decimal("250.0000")),
    )
    assert marked_day(chart(closed).axes[0])[2] == "01 Dec 2010: closed, 250.00"


def test_rules_beyond_the_eighth_are_one_bar_of_the_chart() -> None:
    stated = report(figures=figures(broken_rules={f"rule_{n}": 20 - n for n in range(10)}))
    assert bars(chart(stated).axes[2])[7:] == [("rule_7", 13, "13"), ("2 more rules", 23, "23")]
    nine = report(figures=figures(broken_rules={f"rule_{n}": 20 - n for n in range(9)}))
    assert bars(chart(nine).axes[2])[8:] == [("1 more rule", 12, "12")]


def test_a_name_in_letters_that_the_chart_lacks_still_has_its_stock_code() -> None:
    named = (product("10002", "5.0000", 1, "茶碗"), product("S" * 40, "4.0000", 1, "W" * 99))
    drawn = [name for name, *_ in bars(chart(report(figures=figures(top_products=named))).axes[1])]
    assert drawn == ["10002 茶碗", f"{'S' * 15}… {'W' * 30}…"]


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        ("0.0006", ["0.00000", "0.00015", "0.00030", "0.00045", "0.00060"]),
        ("1.5", ["0.0", "0.4", "0.8", "1.2", "1.6"]),
        ("0.04", ["0.00", "0.01", "0.02", "0.03", "0.04", "0.05"]),
        ("10", ["0.0", "2.5", "5.0", "7.5", "10.0", "12.5"]),
        ("40", ["0", "10", "20", "30", "40", "50"]),
        ("93990.86", ["0", "25,000", "50,000", "75,000", "100,000"]),
        ("0", ["0"]),
    ],
)
def test_the_axis_of_revenue_has_the_decimals_of_its_steps(most: str, ticks: list[str]) -> None:
    taken = Decimal(most).quantize(Decimal("0.0001"))
    axes = chart(report(figures=figures(revenue=taken))).axes[0]
    low, high = axes.get_ylim()
    shown = [
        text.get_text()
        for at, text in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
        if low <= at <= high
    ]
    assert shown == ticks


def test_one_of_a_thing_is_counted_as_one() -> None:
    one = {"landed_lines": 1, "valid_lines": 0, "quarantined_lines": 1}
    stated = report(
        outcome=outcome(**one),
        figures=figures(
            **one,
            broken_rules={"sku_blank": 1},
            top_products=(product("22423", "5.0000", 1), product("S9", "4.0000", 1200)),
        ),
    )
    text = plain(stated)
    assert "  A THING (22423): 1 unit, 5.00 USD\n  A THING (S9): 1,200 units, 4.00 USD\n" in text
    assert "  sku_blank: 1 line\n" in text
    sentence = "Landing 1 is loaded: 1 line, 1 in quarantine. Lake and warehouse agree."
    assert sentence in text and sentence in html(stated, "c")
    assert slack_message(stated)["blocks"][1]["text"]["text"] == sentence
    drawn = chart(stated)
    assert sentence in [it.get_text() for it in drawn.texts]
    assert drawn.axes[2].get_title("left") == "In quarantine by rule: 1 of 1 line"


def test_what_was_sold_for_nothing_is_not_said_to_be_unsold() -> None:
    gift = report(figures=figures(revenue=Decimal("0.0000"), sold_lines=1, top_products=()))
    (said,) = chart(gift).axes[1].texts
    assert said.get_text() == "No product has revenue."
    assert ">No product has revenue.<" in html(gift, "c")


def test_a_name_with_dollars_and_line_breaks_is_drawn() -> None:
    hostile = product("1", "3.0000", 1, r"$\frac{ $5 " + "\n" + "x" * 99)
    assert chart_png(report(figures=figures(top_products=(hostile,))))


def test_a_report_read_back_is_the_report_with_counts_as_counts_and_amounts_as_amounts() -> None:
    for stated in (report(), CORRECTION, report(figures=figures(revenue=Decimal("1200.0000")))):
        read = DayReport.model_validate_json(stated.model_dump_json())
        assert read == stated
        assert slack_message(read) == slack_message(stated)
        assert csv_text(read) == csv_text(stated)
    assert CORRECTION.correction is not None
    read = DayReport.model_validate_json(CORRECTION.model_dump_json())
    assert read.correction is not None
    assert [type(change.before) for change in read.correction.changes] == [
        type(change.before) for change in CORRECTION.correction.changes
    ]
