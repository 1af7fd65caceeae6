"""A report as a Slack message, in Block Kit's words (docs.slack.dev/reference/block-kit)."""

from __future__ import annotations

from typing import Any

from feira.core.one_line import isolated, one_line
from feira.summary.model import DayReport
from feira.summary.wording import (
    LINES,
    SALES,
    changed_rows,
    headline,
    number,
    outcome_sentence,
    rows,
    rules,
    top_products,
)

Block = dict[str, Any]
# Slack refuses a text of a section over 3,000 characters, and more than ten fields.
_LONGEST_TEXT = 2900
_LONGEST_NAME = 36


def slack_message(report: DayReport) -> dict[str, Any]:
    """``text`` for notifications and ``blocks``.

    ``block_id`` of the first block is the report's id: the same whenever this report is sent, so that
    doubles are known as such.
    """
    return {"text": escape(headline(report)), "blocks": _blocks(report)}


def _blocks(report: DayReport) -> list[Block]:
    blocks: list[Block] = [
        {
            "type": "header",
            "block_id": report.report_id,
            "text": {"type": "plain_text", "text": report.title},
        },
        _section(escape(outcome_sentence(report.outcome))),
    ]
    if report.correction is not None:
        changed = [
            f"{row.name}: {row.before} → {row.after} {row.unit}".rstrip()
            for row in changed_rows(report)
        ]
        blocks.append(_section(escape(report.correction.cause)))
        blocks.append(_section(_verbatim(changed)))
    blocks.append(
        {
            "type": "section",
            "fields": [
                _mrkdwn(f"*{row.label}*\n{row.text} {row.unit}".rstrip())
                for row in rows(report, (*SALES, *LINES))
            ],
        }
    )
    products = [
        f"{_column(product.description or '', _LONGEST_NAME)}  {_column(product.sku, 12)} "
        f"{number(product.units):>9}  {number(product.revenue):>14}"
        for product in top_products(report)
    ]
    if products:
        header = f"{'product':<{_LONGEST_NAME}}  {'code':<12} {'units':>9}  {'USD':>14}"
        blocks.append(_section("*Top products*\n" + _verbatim([header, *products])))
    broken = [f"{_column(rule, 40)}  {number(lines):>9}" for rule, lines in rules(report)]
    if broken:
        blocks.append(_section("*Quarantine by rule, lines*\n" + _verbatim(broken)))
    blocks.append(
        {
            "type": "context",
            "elements": [
                _mrkdwn(
                    f"Report {report.report_id}, version {report.version}; chart and CSV come by "
                    "mail. Amounts are rounded to cents."
                )
            ],
        }
    )
    return blocks


def escape(text: str) -> str:
    """Text without what Slack reads as an entity, a link or a mention. Marks such as ``*`` stay, so what
    comes from outside stands between ``_verbatim``'s."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _section(text: str) -> Block:
    return {"type": "section", "text": _mrkdwn(text)}


def _mrkdwn(text: str) -> Block:
    # Verbatim: an address or a name in it becomes no link and no mention.
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _verbatim(lines: list[str]) -> str:
    """Lines as they are, in columns. A backtick could end the block."""
    inside = [escape(line.replace("`", "'")) for line in lines]
    return "```" + "\n".join(_fitting(inside)) + "```"


def _fitting(lines: list[str]) -> list[str]:
    """As many lines as Slack takes, and how many are left out."""
    kept: list[str] = []
    size = 0
    for index, line in enumerate(lines):
        size += len(line) + 1
        if size > _LONGEST_TEXT - 60:
            return [*kept, f"… and {len(lines) - index} more; the mail has all"]
        kept.append(line)
    return kept


def _column(text: str, width: int) -> str:
    """A text from outside, filled up to a column's width, of which its isolation takes none."""
    name = one_line(text, _LONGEST_NAME)
    return isolated(name) + " " * (width - len(name))
