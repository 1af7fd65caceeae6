"""What Prometheus and Alertmanager are given: their own tools take it, and nothing of it is beyond loopback."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from feira.monitoring import otlp
from feira_local.monitoring import prometheus
from feira_local.monitoring.dashboards import DASHBOARDS
from feira_local.stack.config import StackConfig
from feira_local.stack.secrets import load_secrets
from feira_local.stack.service import by_name
from inbox_server import Inbox, running_inbox
from promql import files, queries, tool
from temporary_postgres import free_port
from until import until


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    """A stack in an odd path with both programs, as far as their names go."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("prometheus", "alertmanager"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    found = StackConfig.from_env(
        {
            "FEIRA_HOME": str(tmp_path / "a [b] 'c'"),
            "FEIRA_MONITORING": "on",
            "FEIRA_MONITORING_BIN": str(programs),
            "FEIRA_PORT_OFFSET": "100",
        }
    )
    found.make_folders()
    for prepare in (prometheus.prepare_prometheus, prometheus.prepare_alertmanager):
        prepare(found, load_secrets(found.home))
    return found


def test_both_listen_on_loopback_alone(config: StackConfig) -> None:
    found = by_name(prometheus.services(config))
    assert "--web.listen-address=127.0.0.1:18191" in found["prometheus"].command
    assert "--web.listen-address=127.0.0.1:18192" in found["alertmanager"].command
    # Gossip would listen on every address.
    assert "--cluster.listen-address=" in found["alertmanager"].command


def test_what_runs_is_scraped_and_what_does_not_is_not(config: StackConfig, tmp_path: Path) -> None:
    def jobs(config: StackConfig) -> dict[str, list[str]]:
        return {
            each["job_name"]: each["static_configs"][0]["targets"]
            for each in prometheus.prometheus_settings(config)["scrape_configs"]
        }

    assert jobs(config) == {
        "exporter": ["127.0.0.1:18190"],
        "spark": ["127.0.0.1:18194"],
        "recommendations": ["127.0.0.1:18140"],
    }
    paths = [
        it.get("metrics_path") for it in prometheus.prometheus_settings(config)["scrape_configs"]
    ]
    # Without its last slash Spark answers with a redirect, which costs each scrape a second request.
    assert paths == [None, None, "/metrics/prometheus/"]
    env = {"FEIRA_HOME": str(tmp_path), "FEIRA_MONITORING": "on", "FEIRA_WITHOUT": "valkey"}
    assert "recommendations" not in jobs(StackConfig.from_env(env))


def test_every_rate_is_over_four_points_and_every_rule_has_a_value_at_all_times(
    config: StackConfig,
) -> None:
    every = prometheus.prometheus_settings(config)["global"]
    asked, evaluated = (seconds(every[f"{name}_interval"]) for name in ("scrape", "evaluation"))
    for query in queries():
        for found in re.findall(r"\[(\w+)\]", query.promql):
            assert seconds(found) >= 4 * asked, query.where
    for path in files("rules"):
        for group in yaml.safe_load(path.read_text())["groups"]:
            # Nothing new is there more often, and what is older than five minutes is not found.
            assert asked <= seconds(group.get("interval", f"{evaluated}s")) < 300, group["name"]
    # A sum that has begun between two scrapes is seen at 0, and then to rise.
    assert asked < otlp._AT_ZERO_SECONDS < 2 * asked


def seconds(duration: str) -> int:
    """Of Prometheus' 5m."""
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[duration[-1]]


def test_rules_are_those_of_the_checkout_each_time_it_starts(config: StackConfig) -> None:
    rules = config.home / "monitoring" / "rules"
    of_checkout = config.repository / "infra" / "monitoring" / "rules"
    (rules / "gone.yml").write_text("groups: []\n")
    prometheus.prepare_prometheus(config, load_secrets(config.home))
    assert {each.name: each.read_text() for each in rules.iterdir()} == {
        each.name: each.read_text() for each in of_checkout.glob("*.yml")
    }


def test_a_grafana_is_provisioned_with_this_prometheus_and_the_checkouts_dashboards(
    config: StackConfig,
) -> None:
    def provisioned(kind: str) -> dict[str, Any]:
        path = config.home / "monitoring" / "grafana" / kind / "feira.yml"
        return dict(yaml.safe_load(path.read_text()))

    (source,) = provisioned("datasources")["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://127.0.0.1:18191")
    assert source["jsonData"]["timeInterval"] == "60s"
    (provider,) = provisioned("dashboards")["providers"]
    assert len(list(Path(provider["options"]["path"]).glob("*.json"))) == len(DASHBOARDS)


def test_prometheus_own_tool_takes_its_settings(config: StackConfig) -> None:
    ran = subprocess.run(
        [tool("promtool"), "check", "config", "prometheus.yml"],
        cwd=config.home / "monitoring",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    # The rules are found in a folder of any name.
    assert "3 rule files found" in ran.stdout


def test_alertmanagers_own_tool_takes_its_settings(config: StackConfig) -> None:
    ran = subprocess.run(
        [tool("amtool"), "check-config", "alertmanager.yml"],
        cwd=config.home / "monitoring",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_an_alert_goes_to_its_owner_by_mail_and_slack_and_again_when_it_is_over(
    config: StackConfig,
) -> None:
    written = yaml.safe_load((config.home / "monitoring" / "alertmanager.yml").read_text())
    assert written["global"]["smtp_smarthost"] == "127.0.0.1:18126"
    assert written["global"]["slack_api_url"].startswith("http://127.0.0.1:18125/slack/")
    (receiver,) = written["receivers"]
    for channel in ("email_configs", "slack_configs"):
        (one,) = receiver[channel]
        assert one["send_resolved"] is True
        # Nobody has said where the page is read.
        assert "runbook {{ .Annotations.runbook }}\n" in one["text"]


def test_an_alert_arrives_in_the_inbox_by_both_channels_and_again_when_it_is_over(
    tmp_path: Path,
) -> None:
    program = tool("alertmanager", "prometheus-alertmanager")
    with running_inbox(tmp_path / "inbox") as inbox:
        ports = {"inbox": int(inbox.url.rsplit(":", 1)[1]), "smtp": inbox.smtp_port}
        config = StackConfig.from_env(
            {
                "FEIRA_HOME": str(tmp_path / "home"),
                "FEIRA_MONITORING": "on",
                "FEIRA_MONITORING_BIN": str(Path(program).parent),
                "FEIRA_PAGES_URL": "https://example.com/feira/blob/main/",
                "FEIRA_PORT_ALERTMANAGER": str(free_port()),
                **{f"FEIRA_PORT_{name.upper()}": str(port) for name, port in ports.items()},
            }
        )
        config.make_folders()
        settings = prometheus.alertmanager_settings(config)
        # A person waits for it here.
        settings["route"] |= {"group_wait": "0s", "group_interval": "1s"}
        (config.home / "monitoring").mkdir()
        (config.home / "monitoring" / prometheus.ALERTS).write_text(yaml.safe_dump(settings))
        service = by_name(prometheus.services(config))["alertmanager"]
        url = f"http://127.0.0.1:{config.ports.own['alertmanager']}"
        with (tmp_path / "log").open("wb") as log:
            running = subprocess.Popen(service.command, cwd=service.cwd, stdout=log, stderr=log)
        try:
            ended = datetime.now(UTC)
            began = ended - timedelta(minutes=10)
            _post(f"{url}/api/v2/alerts", startsAt=began.isoformat())
            _arrives(inbox, 1)
            # What Prometheus posts once the source answers again.
            over = {"startsAt": began.isoformat(), "endsAt": ended.isoformat()}
            _post(f"{url}/api/v2/alerts", **over)
            _arrives(inbox, 2)
        finally:
            running.kill()
            running.wait()
        mails, messages = inbox.mails(), inbox.slack()
    titles = [f"[{status}] DayIsLate (critical)" for status in ("firing", "resolved")]
    assert [mail["Subject"] for mail in mails] == titles
    assert {mail["To"] for mail in mails} == {"sales-data@inbox.invalid"}
    times = f"fired from {began:%Y-%m-%d %H:%M:%S} UTC to {ended:%Y-%m-%d %H:%M:%S} UTC"
    for mail, said in zip(
        mails, (f"firing since {began:%Y-%m-%d %H:%M:%S} UTC", times), strict=True
    ):
        body = mail.get_body(("plain",))
        assert body is not None
        page = "https://example.com/feira/blob/main/docs/operate.md#a-day-is-late"
        assert f"{said}, runbook {page}" in body.get_content()
        body = mail.get_body(("html",))
        assert body is not None and f'<a href="{page}">{page}</a>' in body.get_content()
        # A table's name is shown as it is, whatever it holds.
        assert "sales.fact &lt;b&gt;&amp;: a day" in body.get_content()
    attached = [each for message in messages for each in message["attachments"]]
    assert [each["title"] for each in attached] == titles
    assert all("sales.fact <b>&: a day" in each["text"] for each in attached)


def _arrives(inbox: Inbox, number: int) -> None:
    """Waits until so many messages have come by each channel; fails after a minute."""
    until(lambda: min(len(inbox.mails()), len(inbox.slack())) >= number, poll=0.1)


def _post(url: str, **more: str) -> None:
    """Posts an alert as Prometheus does, once Alertmanager takes it."""
    alert = more | {
        "labels": {"alertname": "DayIsLate", "owner": "sales-data", "severity": "critical"},
        "annotations": {
            "summary": "sales.fact <b>&: a day is late",
            "description": "since 2 h",
            "runbook": "docs/operate.md#a-day-is-late",
        },
    }
    with requests.Session() as session:
        session.trust_env = False
        retries = Retry(total=120, connect=120, backoff_factor=0.05, backoff_max=0.5)
        session.mount("http://", HTTPAdapter(max_retries=retries))
        session.post(url, json=[alert], timeout=20).raise_for_status()
