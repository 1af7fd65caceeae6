"""A report as files in the lake: its document, its CSV and its charts."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from fsspec import AbstractFileSystem

from feira.core.one_line import one_line
from feira.summary.model import DayReport, Figure
from feira.summary.wording import LABELS, LINES, SALES

# What was shown of a day is measured after the day's report was sent: so a report has the chart of a day before,
# if there is one among so many.
RECOMMENDATIONS_DAYS = 8


@dataclass(frozen=True)
class ReportFiles:
    """Reports below ``<lake>/reports/<dataset>/<day>/v<NNNN>-<hash of the figures>/``; and the charts that
    recommendations leave at ``<lake>/reports/recommendations/<day>/chart.png``."""

    files: AbstractFileSystem
    lake: str
    dataset: str = "sales"

    def folder(self, report: DayReport) -> str:
        """The URI of a report's folder; the same for the same figures of the same version."""
        return (
            f"{self.lake}/reports/{self.dataset}/{report.day}/"
            f"v{report.version:04d}-{report.figures_hash[:12]}"
        )

    def write(self, report: DayReport) -> str:
        """Writes CSV, charts and, last, the document; returns the document's URI."""
        from feira.summary.chart import chart_png

        folder = self.folder(report)
        self.files.pipe_file(f"{folder}/{csv_name(report)}", csv_text(report).encode())
        self.files.pipe_file(f"{folder}/chart.png", chart_png(report))
        if report.recommendations_of:
            # A copy: it is sent again as it was, whatever is measured again meanwhile.
            shown = self.files.cat_file(self._recommendations(report.recommendations_of))
            self.files.pipe_file(f"{folder}/recommendations.png", shown)
        uri = f"{folder}/report.json"
        self.files.pipe_file(uri, report.model_dump_json(indent=2).encode())
        return uri

    def read(self, uri: str) -> DayReport:
        """The report whose document is at a URI."""
        return DayReport.model_validate_json(self.files.cat_file(uri))

    def csv(self, report: DayReport) -> bytes:
        """Its CSV as written."""
        content: bytes = self.files.cat_file(f"{self.folder(report)}/{csv_name(report)}")
        return content

    def chart(self, report: DayReport) -> bytes:
        """Its chart, a PNG, as written."""
        content: bytes = self.files.cat_file(f"{self.folder(report)}/chart.png")
        return content

    def recommendations_chart(self, report: DayReport) -> bytes | None:
        """The chart of recommendations, a PNG, as it was when the report was written; None where there was none."""
        if report.recommendations_of is None:
            return None
        content: bytes = self.files.cat_file(f"{self.folder(report)}/recommendations.png")
        return content

    def recommendations_of(self, day: date) -> date | None:
        """The newest day that has a chart of recommendations, of this day and the last ones before it."""
        days = (day - timedelta(days=n) for n in range(RECOMMENDATIONS_DAYS))
        return next((it for it in days if self.files.exists(self._recommendations(it))), None)

    def _recommendations(self, day: date) -> str:
        return f"{self.lake}/reports/recommendations/{day}/chart.png"


def csv_name(report: DayReport) -> str:
    """What the CSV is called, in the lake and as an attachment."""
    return f"sales-{report.day}-v{report.version}.csv"


HEADER = ("day", "version", "figure", "item", "name", "value", "before", "unit")
# A spreadsheet would take such a text for a formula: at its beginning, and after a character at which
# a spreadsheet of another country separates cells.
_FORMULA = re.compile(r"""(^|[;,|])([\s"'`]*)(?=[=+\-@＝＋－＠﹦﹢﹣﹫])""")
_LONGEST_CELL = 1000


def csv_text(report: DayReport) -> str:
    """RFC 4180, columns as in ``HEADER``. ``before`` holds what a correction replaces.

    ``figure`` is a name of ``LABELS``; ``revenue_by_day`` with the order date as ``item``; or what the
    ledger says of the day: ``outcome`` (loaded or closed) and ``agreed`` (true or false: whether lake
    and warehouse were found equal).
    """
    output = io.StringIO()
    table = csv.writer(output)
    table.writerow(HEADER)
    for row in _rows(report):
        table.writerow([report.day, report.version, *row])
    return output.getvalue()


def _rows(report: DayReport) -> Iterator[tuple[str, ...]]:
    before = {
        (change.figure, change.item): change.before
        for change in (report.correction.changes if report.correction else ())
    }

    def row(
        figure: Figure, item: str | None, name: str | None, value: Decimal | int | None
    ) -> tuple[str, ...]:
        replaced = before.pop((figure, item), None)
        return (
            figure,
            _cell(item),
            _cell(name),
            _exact(value),
            _exact(replaced),
            LABELS[figure][1],
        )

    outcome = report.outcome
    yield ("outcome", "", "", "closed" if outcome.closed else "loaded", "", "")
    yield ("agreed", "", "", str(outcome.agreed).lower(), "", "")
    for figure in (*SALES, *LINES):
        yield row(figure, None, None, getattr(report.figures, figure))
    broken = sorted(report.figures.broken_rules.items(), key=lambda item: (-item[1], item[0]))
    for rule, lines in broken:
        yield row("rule", rule, None, lines)
    for product in report.figures.top_products:
        yield row("product_revenue", product.sku, product.description, product.revenue)
        yield row("product_units", product.sku, product.description, product.units)
    # What is gone: a rule that no line breaks now, a product that is not among the first now.
    for figure, item in list(before):
        yield row(figure, item, None, 0 if figure == "rule" else None)
    for day in report.revenue_by_day:
        yield ("revenue_by_day", str(day.day), "", _exact(day.revenue), "", "USD")


def _exact(value: Decimal | int | None) -> str:
    return "" if value is None else str(value)


def _cell(text: str | None) -> str:
    """One line. An apostrophe goes before each sign at which a spreadsheet would evaluate; the line is
    had back by taking those away."""
    return _FORMULA.sub(r"\1'\2", one_line(text or "", _LONGEST_CELL))
