"""The tasks of sales_summary as the DAG runs them."""

from __future__ import annotations

import logging
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feira_airflow.core.connections import (
    LAKE,
    MAIL,
    SLACK,
    WAREHOUSE_DBT,
    lake_settings,
    warehouse,
    warehouse_dsn,
)
from feira_airflow.core.lineage import report_lineage
from feira_airflow.core.partitions import partition_day
from feira_airflow.core.permanent import permanent_errors_fail
from feira_provider.hooks.missing import named_if_missing

if TYPE_CHECKING:
    from feira.core.lineage import Step
    from feira.summary.files import ReportFiles
    from feira.summary.model import DayReport

log = logging.getLogger(__name__)
SLACK_TIMEOUT = 20


@permanent_errors_fail()
def build_marts() -> dict[str, Any]:
    """Brings the marts to the fact as it is now and tests them; returns the rows of each."""
    from feira.core.settings import repository_root
    from feira.summary.lineage import built, compiled_marts
    from feira_airflow.summary.marts import build_marts

    day = partition_day()
    target = Path(os.environ.get("FEIRA_HOME") or tempfile.gettempdir()) / "dbt"
    dsn, dialect = warehouse_dsn(WAREHOUSE_DBT)
    rows = build_marts(
        dsn,
        project_dir=repository_root() / "infra" / "dbt",
        target_dir=target,
        dialect=dialect,
    )

    def described() -> Step:
        with warehouse(WAREHOUSE_DBT) as connection:
            return built(connection, compiled_marts(target, rows))

    report_lineage(described)
    log.info("sales_summary[%s]: %s", day, rows)
    return dict(rows)


@permanent_errors_fail()
def report() -> dict[str, Any]:
    """Writes the day's report, and corrections of other days that have changed since they were
    reported; returns how many, and the newest one's URI. None where nothing is new."""
    from feira.core.lake import landing_store
    from feira.sales.landing import LANDED
    from feira.summary.lineage import reported
    from feira.summary.prepare import prepare_reports

    day, lake = partition_day(), lake_settings(LAKE)
    with warehouse() as connection:
        prepared = prepare_reports(
            connection, landing_store(lake, LANDED.name), _report_files(), day
        )
        written = [(each.report, each.uri) for each in prepared]
        report_lineage(lambda: reported(lake, connection, written))
    for each in prepared:
        log.info("%s: %s", each.report.title, each.uri)
    if not prepared:
        log.info("sales %s: the figures are as they were reported, nothing is to be sent", day)
    own = [each.uri for each in prepared if each.report.day == day]
    return {"prepared": len(prepared), "report": own[0] if own else None}


@permanent_errors_fail()
def notify_mail() -> dict[str, Any]:
    """Mails every report that was not mailed yet; returns how many."""
    from feira.summary.ledger import deliver
    from feira.summary.mail import mail
    from feira_provider.hooks.mail import MailHook

    files, hook = _report_files(), MailHook(MAIL)
    # Opened by the first message: where nothing is due a mail server that is down is no failure.
    with warehouse() as connection, ExitStack() as opened:

        def send(report: DayReport) -> None:
            if not hook.is_open:
                opened.enter_context(hook)
            hook.send_message(
                mail(
                    report,
                    files.csv(report),
                    files.chart(report),
                    files.recommendations_chart(report),
                    sender=hook.sender,
                    recipients=hook.recipients,
                )
            )

        return {"sent": len(deliver(connection, files, "mail", send))}


@permanent_errors_fail()
def notify_slack() -> dict[str, Any]:
    """Posts every report that was not posted yet; returns how many."""
    from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook
    from slack_sdk.http_retry import RateLimitErrorRetryHandler, default_retry_handlers

    from feira.summary.ledger import deliver
    from feira.summary.slack import slack_message

    hook = SlackWebhookHook(
        slack_webhook_conn_id=SLACK,
        timeout=SLACK_TIMEOUT,
        # A webhook takes about one message a second; after a backfill there are many.
        retry_handlers=[*default_retry_handlers(), RateLimitErrorRetryHandler(max_retry_count=3)],
    )

    def send(report: DayReport) -> None:
        hook.send_dict(slack_message(report))

    with warehouse() as connection, named_if_missing(SLACK):
        return {"sent": len(deliver(connection, _report_files(), "slack", send))}


def _report_files() -> ReportFiles:
    from feira.core.lake import lake_files
    from feira.summary.files import ReportFiles

    settings = lake_settings(LAKE)
    return ReportFiles(lake_files(settings), settings.root)
