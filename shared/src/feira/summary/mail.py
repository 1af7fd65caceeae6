"""A report as a mail: HTML with the chart in it and the CSV attached, and plain text beside it."""

from __future__ import annotations

from collections.abc import Iterable
from email.message import EmailMessage

from jinja2 import Environment, PackageLoader, StrictUndefined

from feira.core.one_line import isolated
from feira.summary.files import csv_name
from feira.summary.model import DayReport
from feira.summary.wording import (
    LINES,
    SALES,
    changed_rows,
    counted,
    headline,
    number,
    outcome_sentence,
    rows,
    rules,
    top_products,
)

_DOMAIN = "reports.feira.invalid"
_TEMPLATES = Environment(
    loader=PackageLoader("feira.summary"),
    # Product names and rules come from outside.
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
)


def message_id(report: DayReport) -> str:
    """The ``Message-ID``: the same whenever this report is sent, so that doubles are known as such."""
    return f"<{report.report_id}@{_DOMAIN}>"


def day_thread(report: DayReport) -> str:
    """What all reports of a day refer to, so that mail programs show corrections below the report."""
    return f"<sales-{report.day}@{_DOMAIN}>"


def mail(
    report: DayReport,
    csv: bytes,
    chart: bytes,
    recommendations: bytes | None = None,
    *,
    sender: str,
    recipients: Iterable[str],
) -> EmailMessage:
    """The whole message but for its date; ``recommendations`` is the chart of ``report.recommendations_of``."""
    message = EmailMessage()
    message["Subject"] = headline(report)
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    message["Message-ID"] = message_id(report)
    message["References"] = day_thread(report)
    # Programs that answer by themselves, such as holiday notices, leave such mails alone.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(plain(report))
    pictures = {"chart": chart} | ({"recommendations": recommendations} if recommendations else {})
    cids = {name: f"{name}-{report.report_id}" for name in pictures}
    message.add_alternative(html(report, **cids), subtype="html")
    body = message.get_body(("html",))
    assert isinstance(body, EmailMessage)
    for name, picture in pictures.items():
        body.add_related(
            picture,
            "image",
            "png",
            cid=f"<{cids[name]}>",
            filename=f"{name}.png",
            disposition="inline",
        )
    message.add_attachment(csv, "text", "csv", filename=csv_name(report))
    return message


def html(report: DayReport, chart: str, recommendations: str | None = None) -> str:
    """The HTML body; the charts are the parts with these content ids."""
    return _TEMPLATES.get_template("mail.html.j2").render(
        report=report,
        outcome=outcome_sentence(report.outcome),
        figures=list(rows(report, (*SALES, *LINES))),
        changed=changed_rows(report),
        rules=rules(report),
        products=top_products(report),
        number=number,
        chart_cid=chart,
        recommendations_cid=recommendations,
    )


def plain(report: DayReport) -> str:
    """The same for programs that show no HTML."""
    lines = [report.title, outcome_sentence(report.outcome), ""]
    if report.correction is not None:
        lines += ["What has changed", report.correction.cause]
        lines += [
            f"  {row.name}: {row.before} -> {row.after} {row.unit}".rstrip()
            for row in changed_rows(report)
        ]
        lines.append("")
    lines += [
        f"{row.label}: {row.text} {row.unit}".rstrip() for row in rows(report, (*SALES, *LINES))
    ]
    lines += ["", "Top products"]
    lines += [
        f"  {isolated(product.description or '–')} ({isolated(product.sku)}): "
        f"{counted(product.units, 'unit')}, {number(product.revenue)} USD"
        for product in top_products(report)
    ] or ["  none"]
    lines += ["", "Quarantine by rule"]
    lines += [f"  {isolated(rule)}: {counted(count, 'line')}" for rule, count in rules(report)] or [
        "  none"
    ]
    if report.recommendations_of:
        lines += ["", f"Recommendations shown on {report.recommendations_of}: see the chart"]
    lines += ["", f"Report {report.report_id}, version {report.version}"]
    return "\n".join(lines) + "\n"
