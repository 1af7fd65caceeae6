"""Prometheus and Alertmanager as the stack runs them: on loopback, with the rules of ``infra/monitoring``, and
alerts to the stack's inbox by mail and Slack. Either runs where its program was found."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from feira_local.stack import spark
from feira_local.stack.config import HOST, StackConfig
from feira_local.stack.secrets import Secrets, write_private
from feira_local.stack.service import HttpCheck, Link, Service

# The exporter asks once a minute too; and rules find nothing new in between.
RETENTION, SCRAPE_INTERVAL = "15d", "60s"
# Of its folder, which it runs in: a path may hold what a pattern of files, or YAML, cannot.
SETTINGS, ALERTS, RULES = "prometheus.yml", "alertmanager.yml", "rules"
# What a Grafana is provisioned with; none is started here.
GRAFANA = "grafana"


def services(config: StackConfig) -> tuple[Service, ...]:
    """Those of the two whose programs are there."""
    found = config.monitoring
    if found is None:
        return ()
    port, alerts = config.ports.own["prometheus"], config.ports.own["alertmanager"]
    defined = []
    if found.alertmanager:
        defined.append(
            Service(
                name="alertmanager",
                label="monitoring",
                description="Alertmanager, which sends alerts to the inbox",
                command=(
                    found.alertmanager,
                    f"--config.file={ALERTS}",
                    "--storage.path=alerts",
                    f"--web.listen-address={HOST}:{alerts}",
                    # What links in messages lead to; else it is this machine's name.
                    f"--web.external-url=http://{HOST}:{alerts}",
                    # One alone has nobody to agree with; else it would listen on every address.
                    "--cluster.listen-address=",
                    "--log.level=warn",
                ),
                cwd=_folder(config),
                health=HttpCheck(f"http://{HOST}:{alerts}/-/ready"),
                depends_on=("inbox",),
                ports=(alerts,),
                links=(Link("alerts", f"http://{HOST}:{alerts}"),),
                code=(Path(__file__),),
                prepare=prepare_alertmanager,
            )
        )
    if found.prometheus:
        defined.append(
            Service(
                name="prometheus",
                label="monitoring",
                description=f"Prometheus with the rules of infra/monitoring; keeps {RETENTION}",
                command=(
                    found.prometheus,
                    f"--config.file={SETTINGS}",
                    "--storage.tsdb.path=data",
                    f"--storage.tsdb.retention.time={RETENTION}",
                    f"--web.listen-address={HOST}:{port}",
                    f"--web.external-url=http://{HOST}:{port}",
                    "--log.level=warn",
                ),
                cwd=_folder(config),
                health=HttpCheck(f"http://{HOST}:{port}/-/ready"),
                ports=(port,),
                links=(Link("Prometheus", f"http://{HOST}:{port}"),),
                code=(_rules(config), Path(__file__)),
                prepare=prepare_prometheus,
            )
        )
    return tuple(defined)


def prometheus_settings(config: StackConfig) -> dict[str, Any]:
    """What is scraped, from what runs here, and where alerts go. Not itself: of its 700 series none is asked for."""
    own = config.ports.own
    ports = {"exporter": own["exporter"]}
    if any(part.name == "valkey" for part in config.parts):
        ports["recommendations"] = own["recommendations"]
    alerts = config.monitoring is not None and config.monitoring.alertmanager is not None
    return {
        "global": {"scrape_interval": SCRAPE_INTERVAL, "evaluation_interval": SCRAPE_INTERVAL},
        "rule_files": [f"{RULES}/*.yml"],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [f"{HOST}:{own['alertmanager']}"]}]}]
            if alerts
            else []
        },
        "scrape_configs": [
            *(
                {"job_name": name, "static_configs": [{"targets": [f"{HOST}:{port}"]}]}
                for name, port in ports.items()
            ),
            {
                "job_name": "spark",
                # Without the last slash it redirects.
                "metrics_path": f"{spark.METRICS_PATH}/",
                "static_configs": [{"targets": [f"{HOST}:{own['spark_ui']}"]}],
                # It shows some 300, each with its kind as a label.
                "metric_relabel_configs": [
                    {
                        "source_labels": ["__name__"],
                        "regex": f"{spark.METRICS_PREFIX}({'|'.join(spark.METRICS)})",
                        "action": "keep",
                    },
                    {"regex": "type", "action": "labeldrop"},
                ],
            },
        ],
    }


def grafana_provisioning(config: StackConfig) -> dict[str, dict[str, Any]]:
    """By the folder of Grafana's provisioning: this Prometheus as a data source, and the checkout's dashboards."""
    return {
        "datasources": {
            "apiVersion": 1,
            "datasources": [
                {
                    "name": "Feira",
                    "uid": "feira",
                    "type": "prometheus",
                    "access": "proxy",
                    "url": f"http://{HOST}:{config.ports.own['prometheus']}",
                    # As often as it asks: rates are never taken over less than four of these.
                    "jsonData": {"timeInterval": SCRAPE_INTERVAL},
                }
            ],
        },
        "dashboards": {
            "apiVersion": 1,
            "providers": [
                {
                    "name": "Feira",
                    "folder": "Feira",
                    "type": "file",
                    "options": {
                        "path": str(config.repository / "infra" / "monitoring" / "dashboards")
                    },
                }
            ],
        },
    }


def alertmanager_settings(config: StackConfig) -> dict[str, Any]:
    """Mail and Slack for each alert, to its owner; and again when it is resolved."""
    page = _RUNBOOK
    if config.monitoring is not None and config.monitoring.pages is not None:
        page = f"{config.monitoring.pages}/{_RUNBOOK}"
    linked = page if page == _RUNBOOK else f'<a href="{page}">{page}</a>'
    return {
        "global": {
            "smtp_smarthost": f"{HOST}:{config.ports.smtp}",
            "smtp_from": "Feira <feira@inbox.invalid>",
            "smtp_require_tls": False,
            "slack_api_url": f"{config.inbox_url}/slack/alerts",
        },
        "route": {
            "receiver": "owner",
            "group_by": ["alertname", "owner", "severity"],
            "group_wait": "10s",
            "group_interval": "1m",
            "repeat_interval": "12h",
        },
        "receivers": [
            {
                "name": "owner",
                "email_configs": [
                    {
                        "to": "{{ .GroupLabels.owner }}@inbox.invalid",
                        "send_resolved": True,
                        "headers": {"Subject": _TITLE},
                        "text": _text(page),
                        "html": f"<pre>{_text(linked)}</pre>",
                    }
                ],
                "slack_configs": [
                    {
                        "channel": "#alerts",
                        "send_resolved": True,
                        "title": _TITLE,
                        "text": _text(page),
                    }
                ],
            }
        ],
    }


_TITLE = "[{{ .Status }}] {{ .GroupLabels.alertname }} ({{ .GroupLabels.severity }})"
_RUNBOOK = "{{ .Annotations.runbook }}"
_AT = '.UTC.Format "2006-01-02 15:04:05" }} UTC'
_WHEN = (
    '{{ if eq .Status "firing" }}firing since {{ .StartsAt'
    + _AT
    # An alert that is over still has when it began.
    + "{{ else }}fired from {{ .StartsAt"
    + _AT
    + " to {{ .EndsAt"
    + _AT
    + "{{ end }}"
)


def _text(runbook: str) -> str:
    return (
        "{{ range .Alerts }}{{ .Annotations.summary }}\n{{ .Annotations.description }}\n"
        + _WHEN
        + ", runbook "
        + runbook
        + "\n\n{{ end }}"
    )


def prepare_prometheus(config: StackConfig, secrets: Secrets) -> None:
    """Writes its settings, the rules beside them, and what a Grafana would read it with."""
    folder = _folder(config)
    rules = folder / RULES
    shutil.rmtree(rules, ignore_errors=True)
    rules.mkdir(parents=True)
    for each in sorted(_rules(config).glob("*.yml")):
        shutil.copyfile(each, rules / each.name)
    write_private(folder / SETTINGS, yaml.safe_dump(prometheus_settings(config), sort_keys=False))
    for kind, found in grafana_provisioning(config).items():
        (folder / GRAFANA / kind).mkdir(parents=True, exist_ok=True)
        (folder / GRAFANA / kind / "feira.yml").write_text(yaml.safe_dump(found, sort_keys=False))


def prepare_alertmanager(config: StackConfig, secrets: Secrets) -> None:
    """Writes its settings."""
    folder = _folder(config)
    folder.mkdir(exist_ok=True)
    write_private(folder / ALERTS, yaml.safe_dump(alertmanager_settings(config), sort_keys=False))


def _rules(config: StackConfig) -> Path:
    return config.repository / "infra" / "monitoring" / "rules"


def _folder(config: StackConfig) -> Path:
    return config.home / "monitoring"
