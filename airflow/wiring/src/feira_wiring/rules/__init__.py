"""The rules, each with a name that stays."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from feira_wiring.model import AssetId, FailureKind, Place, Wiring
from feira_wiring.report import LEVELS, Finding, Level, Missing, NoSuchRule, Rule, listed
from feira_wiring.rules import clocks, declarations, parties, partition_keys, runs

RULES = tuple(
    each
    for module in (parties, partition_keys, clocks, declarations, runs)
    for each in vars(module).values()
    if isinstance(each, Rule)
)


def _of_files(
    kind: FailureKind,
    id: str,
    level: Level,
    summary: str,
    problem: str,
    consequence: str,
    step: str,
) -> Rule:
    """A rule about files, or DAGs of them, that could not be loaded."""

    def check(wiring: Wiring) -> Iterator[Finding]:
        for failure in wiring.failures:
            if failure.kind == kind:
                file = Place(failure.file)
                at = failure.place or file
                yield Finding(
                    rule=id,
                    level=level,
                    problem=f"{problem}: {failure.error}",
                    consequence=consequence,
                    step=step,
                    # The cause first; and the DAG file, where the cause is in what it imports.
                    places=(at,) if at.file == file.file else (at, file),
                )

    return Rule(id, level, summary, check)


_UNREAD = "What its text shows of assets was read; where that leaves open what depends on it, a note says so."
# They cannot be ignored: what they report hides DAGs from every other rule.
FILE_RULES = (
    _of_files(
        "import",
        "import-error",
        "warning",
        "a file does not import",
        "This file does not import",
        f"Airflow shows an import error, and has none of its DAGs. {_UNREAD}",
        "Fix the file, or run this where what it imports is installed and configured.",
    ),
    _of_files(
        "ended",
        "ends-process",
        "error",
        "a file ends the process on import",
        "This file ends the process that imports it",
        f"Airflow has none of its DAGs. {_UNREAD}",
        'Keep what ends the process below `if __name__ == "__main__":`, or in a task.',
    ),
    _of_files(
        "hung",
        "import-hangs",
        "error",
        "a file does not import in time",
        "This file was not imported within the time limit",
        "Airflow gives up on a file after [core] dagbag_import_timeout, 30 s by default, and has none of its "
        f"DAGs. {_UNREAD}",
        "Move the work that takes so long into a task; --file-timeout raises the limit here.",
    ),
    _of_files(
        "duplicate",
        "duplicate-dag",
        "error",
        "two files have a DAG of one id",
        "Two files have a DAG of the same id",
        "Airflow keeps the one that it parsed last, so they replace each other; only the first is judged here.",
        "Give one of them another dag_id.",
    ),
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
