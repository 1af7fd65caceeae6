"""The rules, each with a name that stays."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from feira_airflow.wiring.finding import LEVELS, Finding, Level
from feira_airflow.wiring.model import Place, Wiring
from feira_airflow.wiring.rules import parties, partition_keys, runs

Missing = Literal["emitter", "listener"]


@dataclass(frozen=True)
class Rule:
    """``summary`` is one line for people who list the rules.

    ``level`` is that of its findings where they do not say otherwise. ``on``: it runs unless it is
    ignored; one that is off runs where it is asked for. ``missing``: what the rule reports the lack
    of. A file that did not import may hold one, and then nobody can tell.
    """

    id: str
    level: Level
    summary: str
    check: Callable[[Wiring], Iterator[Finding]]
    on: bool = True
    missing: Missing | None = None


RULES = (
    Rule(
        "no-emitter",
        "error",
        "a DAG listens to an asset that nothing emits",
        parties.no_emitter,
        missing="emitter",
    ),
    Rule(
        "no-listener",
        "warning",
        "an asset is emitted, heard by nobody, not terminal",
        parties.no_listener,
        missing="listener",
    ),
    Rule(
        "wrong-terminal-mark",
        "warning",
        "an asset is marked terminal, and a DAG listens to it",
        parties.wrong_terminal_mark,
    ),
    Rule(
        "two-emitters",
        "warning",
        "an asset is emitted in several places",
        parties.two_emitters,
    ),
    Rule(
        "keyed-event-plain-listener",
        "error",
        "events have a partition key, the listener is not partitioned",
        partition_keys.keyed_event_plain_listener,
    ),
    Rule(
        "plain-event-keyed-listener",
        "error",
        "events have no partition key, the listener is partitioned",
        partition_keys.plain_event_keyed_listener,
    ),
    Rule(
        "unreadable-key",
        "error",
        "the listener's mapper cannot read the emitter's keys",
        partition_keys.unreadable_key,
    ),
    Rule(
        "merged-events",
        "warning",
        "a listener gets one run for several events",
        runs.merged_events,
        on=False,
    ),
    Rule("paused-listener", "warning", "a listener begins paused", runs.paused_listener, on=False),
    Rule("cycle", "error", "DAGs set one another off in a circle", runs.cycle),
)

IMPORT_ERROR = "import-error"


class NoSuchRule(Exception):
    """A rule was named that does not exist."""


def chosen(
    select: Collection[str] = (), ignore: Collection[str] = (), enable: Collection[str] = ()
) -> tuple[Rule, ...]:
    """The selected rules, or those that are on and the enabled ones; without the ignored ones.

    Raises NoSuchRule on a name that is no rule's.
    """
    known = [rule.id for rule in RULES]
    if unknown := sorted({*select, *ignore, *enable} - set(known)):
        raise NoSuchRule(
            f"There is no rule {', '.join(unknown)}. The rules are {', '.join(known)}."
        )
    return tuple(
        rule
        for rule in RULES
        if rule.id not in ignore
        and (rule.id in enable or (rule.id in select if select else rule.on))
    )


def check(wiring: Wiring, rules: Iterable[Rule]) -> tuple[Finding, ...]:
    """Every finding in a folder, errors first. Import errors are always among them: they hide DAGs."""
    findings = [*_import_errors(wiring)]
    for rule in rules:
        findings.extend(rule.check(wiring))
    return tuple(sorted(findings, key=lambda each: LEVELS.index(each.level)))


def _import_errors(wiring: Wiring) -> Iterator[Finding]:
    for failure in wiring.failures:
        yield Finding(
            rule=IMPORT_ERROR,
            level="error",
            problem=f"{failure.file} cannot be loaded: {failure.error}",
            consequence=(
                "Airflow has none of its DAGs. What they emit and listen to is unknown here too, so "
                "other findings may be wrong."
            ),
            step="Fix the file, or run this where what it imports is installed.",
            places=(Place(failure.file),),
        )
