"""What the provider brings, as Airflow asks for it (``airflow/provider_info.schema.json``)."""

from __future__ import annotations

from typing import Any

_NAME = "Feira"


def get_provider_info() -> dict[str, Any]:
    """The provider's modules, its notifiers and its connection type with the fields of its form."""
    return {
        "package-name": "airflow-provider-feira",
        "name": _NAME,
        "description": "Paged JSON APIs to S3, datasets by manifest, Open Data Contracts, a warehouse "
        "loaded by key, partition checks and notices.",
        "integrations": [{"integration-name": _NAME, "tags": ["protocol"]}],
        "operators": _modules(
            "operators.asset_event_check",
            "operators.paged_api_to_s3",
            "operators.partition_check",
            "operators.validate_contract",
        ),
        "sensors": _modules("sensors.http_available", "sensors.s3_manifest"),
        "hooks": _modules("hooks.mail", "hooks.paged_api", "hooks.warehouse"),
        "triggers": _modules("triggers.http_available", "triggers.s3_manifest"),
        "notifications": [
            f"feira_provider.notifiers.{name}"
            for name in (
                "deadline.MailDeadlineNotifier",
                "deadline.SlackDeadlineNotifier",
                "failure.MailFailureNotifier",
                "failure.SlackFailureNotifier",
            )
        ],
        "connection-types": [
            {
                "connection-type": "paged_api",
                "hook-class-name": "feira_provider.hooks.paged_api.PagedApiHook",
                "hook-name": "Paged JSON API",
                "ui-field-behaviour": {
                    "hidden-fields": [],
                    "relabeling": {"schema": "Scheme", "password": "Password or token"},
                    "placeholders": {
                        "host": "https://api.example.com/v1",
                        "schema": "https",
                        "password": "Without a login a token, sent as Authorization: Bearer",
                    },
                },
                "conn-fields": {
                    "attempts": _field("Tries for each page", "integer", 5),
                    "timeout": _field(
                        "Timeout (s)", "number", 20, "To connect, and for each wait for bytes."
                    ),
                    "total_timeout": _field(
                        "Time for one answer (s)",
                        "number",
                        60,
                        "With redirects, headers and body; three times the timeout unless stated.",
                    ),
                    "max_bytes": _field(
                        "Largest answer (bytes)", "integer", 256 * 2**20, "Unpacked."
                    ),
                    "max_retry_after": _field(
                        "Longest Retry-After that is waited for (s)", "number", 120
                    ),
                },
            }
        ],
    }


def _modules(*names: str) -> list[dict[str, Any]]:
    return [
        {"integration-name": _NAME, "python-modules": [f"feira_provider.{name}" for name in names]}
    ]


def _field(label: str, type_: str, usual: int, description: str = "") -> dict[str, Any]:
    return {
        "label": label,
        "description": f"{description} {usual:,} unless stated.".strip(),
        "schema": {"type": [type_, "null"]},
    }
