"""One call from DAG folders to their findings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from feira_wiring.graph import as_mermaid
from feira_wiring.model import FailureKind
from feira_wiring.reading import read_folders
from feira_wiring.report import NoSuchRule, Report, RuleInfo
from feira_wiring.rules import FILE_RULES, RULES, check, chosen
from feira_wiring.suppression import Pattern, suppress


def lint(
    folders: Path | Sequence[Path],
    ignore: Collection[str] = (),
    *,
    select: Collection[str] = (),
    enable: Collection[str] = (),
    patterns: Sequence[Pattern] = (),
    lost: Mapping[str, tuple[FailureKind, str]] | None = None,
    started: Callable[[str], None] = lambda file: None,
) -> Report:
    """What the rules find in DAG folders or files, which are read as one deployment.

    The DAG files are loaded in this process, and may do to it what they like; ``isolation.run``
    loads them in another. Raises NoSuchRule for a rule that does not exist, FolderUnreadable where
    there is no DAG to look at.
    """
    folders = [folders] if isinstance(folders, Path) else folders
    rules = chosen(select, ignore, enable)
    _known({rule for pattern in patterns for rule in pattern.ignore})
    wiring = read_folders(folders, lost, started)
    started("")
    findings, suppressed = suppress(check(wiring, rules), wiring.assets, patterns)
    return Report(
        folders=tuple(map(str, folders)),
        dags=len(wiring.dag_ids),
        assets=len(wiring.assets),
        findings=findings,
        rules=tuple(
            RuleInfo(each.id, each.level, each.summary, each in rules or each in FILE_RULES)
            for each in (*RULES, *FILE_RULES)
        ),
        ignored=tuple(sorted(ignore)),
        suppressed=suppressed,
        graph=as_mermaid(wiring),
        wiring=wiring,
    )


def _known(names: Collection[str]) -> None:
    known = [each.id for each in (*RULES, *FILE_RULES)]
    if unknown := sorted(set(names) - set(known)):
        raise NoSuchRule(
            f"There is no rule {', '.join(unknown)}, which a pattern for assets ignores. "
            f"The rules are {', '.join(known)}."
        )
