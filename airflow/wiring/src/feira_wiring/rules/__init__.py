"""The rules, each with a name that stays."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from feira_wiring.finding import LEVELS, Finding, Level, listed
from feira_wiring.model import AssetId, Place, Wiring
from feira_wiring.report import NoSuchRule
from feira_wiring.rules import clocks, declarations, files, parties, partition_keys, runs

Missing = Literal["emitter", "any emitter", "listener"]


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
        "an asset is emitted, and no DAG listens to it",
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
        "runtime-key",
        "warning",
        "whether events have a key is known only when they are emitted",
        partition_keys.runtime_key,
    ),
    Rule(
        "fan-out-limit",
        "error",
        "a mapper makes more keys of one than it may",
        clocks.fan_out_limit,
    ),
    Rule(
        "rollup-never-full",
        "error",
        "a rollup waits for keys that no clock makes",
        clocks.rollup_never_full,
        missing="emitter",
    ),
    Rule(
        "keys-never-meet",
        "error",
        "a listener waits for keys that two clocks never have in common",
        clocks.keys_never_meet,
        missing="any emitter",
    ),
    Rule(
        "ignored-mapper",
        "error",
        "a partition mapper is for an asset that is not scheduled",
        declarations.ignored_mapper,
    ),
    Rule(
        "asset-conflict",
        "error",
        "two assets have one name or one URI",
        declarations.asset_conflict,
    ),
    Rule(
        "lost-watcher",
        "error",
        "another declaration of an asset takes its watcher away",
        declarations.lost_watcher,
    ),
    Rule(
        "expression-outlet",
        "error",
        "an outlet is an expression, and emits nothing",
        declarations.expression_outlet,
    ),
    Rule(
        "stray-event",
        "error",
        "a task writes to an event that is not of its outlets",
        declarations.stray_event,
    ),
    Rule(
        "empty-schedule",
        "error",
        "a schedule is an empty list",
        declarations.empty_schedule,
    ),
    Rule(
        "template-asset",
        "warning",
        "an asset's name or URI holds a template",
        declarations.template_asset,
    ),
    Rule(
        "unstable-asset",
        "error",
        "an asset is another one each time its file is parsed",
        declarations.unstable_asset,
    ),
    Rule(
        "missing-dag",
        "warning",
        "a task triggers a DAG that is not there",
        declarations.missing_dag,
    ),
    Rule(
        "merged-events",
        "warning",
        "a listener gets one run for several events",
        runs.merged_events,
        on=False,
    ),
    Rule("paused-listener", "warning", "a listener begins paused", runs.paused_listener, on=False),
    Rule("cycle", "error", "DAGs trigger one another in a cycle", runs.cycle),
)

IMPORT_ERROR = "import-error"
# They cannot be ignored: what they report hides DAGs from every other rule.
FILE_RULES = (
    Rule(IMPORT_ERROR, "warning", "a file does not import", files.import_error),
    Rule("ends-process", "error", "a file ends the process on import", files.ends_process),
    Rule("import-hangs", "error", "a file does not import in time", files.import_hangs),
    Rule("duplicate-dag", "error", "two files have a DAG of one id", files.duplicate_dag),
)


def chosen(
    select: Collection[str] = (), ignore: Collection[str] = (), enable: Collection[str] = ()
) -> tuple[Rule, ...]:
    """The selected rules, or those that are on and the enabled ones; without the ignored ones.

    Raises NoSuchRule on a name that is no rule's.
    """
    known = [rule.id for rule in RULES]
    if unknown := sorted({*select, *ignore, *enable} - set(known)):
        always = [each for each in unknown if each in {rule.id for rule in FILE_RULES}]
        raise NoSuchRule(
            f"{', '.join(always)} cannot be chosen or ignored: it always runs."
            if always
            else f"There is no rule {', '.join(unknown)}. The rules are {', '.join(known)}."
        )
    return tuple(
        rule
        for rule in RULES
        if rule.id not in ignore
        and (rule.id in enable or (rule.id in select if select else rule.on))
    )


def check(wiring: Wiring, rules: Iterable[Rule]) -> tuple[Finding, ...]:
    """Every finding in a folder, errors first; those of the files always among them."""
    unstable = {each.asset for each in wiring.unstable}
    findings = [
        _as_far_as_known(
            replace(finding, unstable=finding.subject in unstable), rule.missing, wiring
        )
        for rule in (*FILE_RULES, *rules)
        for finding in rule.check(wiring)
    ]
    return tuple(sorted(findings, key=lambda each: LEVELS.index(each.level)))


def _as_far_as_known(finding: Finding, missing: Missing | None, wiring: Wiring) -> Finding:
    """A note in place of a finding about the lack of what a file that did not import may hold."""
    assets = [finding.subject] if finding.subject is not None else []
    if missing == "any emitter":
        # Keys of any asset that the listener waits for may come from elsewhere too.
        assets += [
            asset
            for listener in wiring.listeners
            if listener.dag_id in finding.dags
            for asset in listener.assets
        ]
    if missing is None or not assets:
        return finding
    maybe: dict[str, AssetId] = {}
    for each in wiring.unread:
        may = each.may_hear if missing == "listener" else each.may_emit
        if held := next((asset for asset in assets if may(asset)), None):
            maybe[each.file] = held
    if not maybe:
        return finding
    verb = "listen to" if missing == "listener" else "emit"
    did = f"{listed(maybe)} did not import, and may {verb} {listed(dict.fromkeys(maybe.values()))}."
    return replace(
        finding,
        level="note",
        problem=f"Cannot tell: {did} If not: {finding.problem}",
        step="Fix what does not import, or run this where it does, and look again.",
        places=tuple(dict.fromkeys((*finding.places, *map(Place, maybe)))),
    )
