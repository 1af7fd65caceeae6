"""A report as files in the lake: its document, its CSV and its chart."""

from __future__ import annotations

from dataclasses import dataclass

from fsspec import AbstractFileSystem

from feira.summary.model import DayReport


@dataclass(frozen=True)
class ReportFiles:
    """Reports below ``<lake>/reports/<dataset>/<day>/v<NNNN>-<hash of the figures>/``."""

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
        """Writes CSV, chart and, last, the document; returns the document's URI."""
        from feira.summary.chart import chart_png
        from feira.summary.csv_table import csv_text

        folder = self.folder(report)
        self.files.pipe_file(f"{folder}/{csv_name(report)}", csv_text(report).encode())
        self.files.pipe_file(f"{folder}/chart.png", chart_png(report))
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


def csv_name(report: DayReport) -> str:
    """What the CSV is called, in the lake and as an attachment."""
    return f"sales-{report.day}-v{report.version}.csv"
