"""The rules, each with a name that stays."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from feira_wiring.model import AssetId, Place, Wiring
from feira_wiring.report import LEVELS, Finding, Missing, NoSuchRule, Rule, listed
from feira_wiring.rules import clocks, declarations, parties, partition_keys, runs
from feira_wiring.rules.files import FILE_RULES as FILE_RULES

RULES = tuple(
    each
    for module in (parties, partition_keys, clocks, declarations, runs)
    for each in vars(module).values()
    if isinstance(each, Rule)
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
    partly = {each.at.file for each in wiring.duplicates}
    partly |= {each.file for each in wiring.failures if each.kind == "unread"}
    why = "could not be read in full" if partly & maybe.keys() else "did not import"
    did = f"{listed(maybe)} {why}, and may {verb} {listed(dict.fromkeys(maybe.values()))}."
    return replace(
        finding,
        level="note",
        problem=f"Cannot tell: {did} If not: {finding.problem}",
        step="Fix what does not import, or run this where it does, and look again.",
        places=tuple(dict.fromkeys((*finding.places, *map(Place, maybe)))),
    )
