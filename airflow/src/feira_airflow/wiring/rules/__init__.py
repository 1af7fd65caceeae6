"""The rules, each with a name that stays."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from feira_airflow.wiring.finding import Finding
from feira_airflow.wiring.model import Place, Wiring
from feira_airflow.wiring.rules import parties, partition_keys, runs


@dataclass(frozen=True)
class Rule:
    """``summary`` is one line for people who list the rules."""

    id: str
    summary: str
    check: Callable[[Wiring], Iterator[Finding]]


RULES = (
    Rule("no-emitter", "a DAG listens to an asset that nothing emits", parties.no_emitter),
    Rule("no-listener", "an asset is emitted, heard by nobody, not terminal", parties.no_listener),
    Rule(
        "wrong-terminal-mark",
        "an asset is marked terminal, and a DAG listens to it",
        parties.wrong_terminal_mark,
    ),
    Rule("two-emitters", "an asset is emitted in several places", parties.two_emitters),
    Rule(
        "keyed-event-plain-listener",
        "events have a partition key, the listener is not partitioned",
        partition_keys.keyed_event_plain_listener,
    ),
    Rule(
        "plain-event-keyed-listener",
        "events have no partition key, the listener is partitioned",
        partition_keys.plain_event_keyed_listener,
    ),
    Rule(
        "unreadable-key",
        "the listener's mapper cannot read the emitter's keys",
        partition_keys.unreadable_key,
    ),
    Rule("merged-events", "a listener gets one run for several events", runs.merged_events),
    Rule("paused-listener", "a listener begins paused", runs.paused_listener),
    Rule("cycle", "DAGs set one another off in a circle", runs.cycle),
)

IMPORT_ERROR = "import-error"


def check(wiring: Wiring, disabled: Collection[str] = ()) -> tuple[Finding, ...]:
    """Every finding in a folder, errors first. Import errors cannot be disabled: they hide DAGs."""
    findings = [*_import_errors(wiring)]
    for rule in RULES:
        if rule.id not in disabled:
            findings.extend(rule.check(wiring))
    return tuple(sorted(findings, key=lambda each: each.severity))


def _import_errors(wiring: Wiring) -> Iterator[Finding]:
    for failure in wiring.failures:
        yield Finding(
            rule=IMPORT_ERROR,
            severity="error",
            problem=f"{failure.file} cannot be loaded: {failure.error}",
            consequence=(
                "Airflow has none of its DAGs. What they emit and listen to is unknown here too, so "
                "other findings may be wrong."
            ),
            step="Mend the file, or run this where what it imports is installed.",
            places=(Place(failure.file),),
        )
