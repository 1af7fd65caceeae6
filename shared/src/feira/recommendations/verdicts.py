"""What the gate found of a version, and who approved of a method, as files of the lake.

``<lake>/recommendations/<version>/gate.json`` and ``<lake>/recommendations/approvals/<hash of what it is of>.json``,
each put once: a verdict is never changed, and what was approved of once, later versions use.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, date, datetime
from typing import Any

from feira.core.errors import PermanentError
from feira.core.landing.put_once import put_once
from feira.recommendations.gate import (
    APPROVABLE,
    NOT_ENOUGH,
    PASSED,
    REFUSED,
    USERS,
    GateFigure,
    Judgement,
    overall,
)
from feira.recommendations.versions import Finished, ListStore

APPROVED = "approved_method"
_MOST_NAMED = 5
_LONGEST_WHY = 1000


class RefusedError(PermanentError, RuntimeError):
    """A version that the gate refused; the message names each figure, its value and its limit."""


class VerdictError(PermanentError, RuntimeError):
    """There is no verdict, it cannot be read, or it is not one that an approval can be given for."""


class NotJudgedError(VerdictError):
    """The gate has not judged the version that was asked for."""


@dataclass(frozen=True)
class Verdict:
    """What the gate found of a version. ``method`` and ``live_method`` are as ``Chosen.described``.

    :param cut: the first of the ``days`` that were held out
    :param live: the version that was served then; None where none was
    :param drift: how far features and lists have moved from those of ``live``; they refuse nothing
    :param estimates: as of ``Judgement``; none of a verdict from before there were any
    """

    version: str
    as_of: str
    cut: str
    days: int
    verdict: str
    method: Mapping[str, Any]
    live: str | None
    live_method: Mapping[str, Any] | None
    figures: tuple[GateFigure, ...]
    drift: tuple[GateFigure, ...]
    estimates: tuple[GateFigure, ...] = ()

    @classmethod
    def of(
        cls,
        found: Judgement,
        *,
        version: str,
        as_of: str,
        method: Mapping[str, Any],
        live: str | None = None,
        live_method: Mapping[str, Any] | None = None,
        drift: tuple[GateFigure, ...] = (),
    ) -> Verdict:
        return cls(
            version=version,
            as_of=as_of,
            cut=found.cut.isoformat(),
            days=found.days,
            verdict=found.verdict,
            method=method,
            live=live,
            live_method=live_method,
            figures=found.figures,
            drift=drift,
            estimates=found.estimates,
        )

    def all_figures(self) -> tuple[GateFigure, ...]:
        """Those that gate, and those that do not."""
        return (*self.figures, *self.estimates, *self.drift)

    def why(self) -> str:
        """The figures that did not pass, in words."""
        missed = [each.in_words() for each in self.figures if each.verdict == self.verdict]
        more = f"; and {len(missed) - _MOST_NAMED} more" if len(missed) > _MOST_NAMED else ""
        return "; ".join(missed[:_MOST_NAMED]) + more

    def drifted(self) -> str:
        """What has drifted much, in words; '' where nothing has."""
        much = [each.in_words() for each in self.drift if each.verdict == "much_drift"]
        return f"Drifted from {self.live}: {'; '.join(much)}." if much else ""

    def estimated(self) -> str:
        """In words what the version's CTR is estimated at, of both slots, or why it is not; '' without estimates."""
        of = {each.figure: each for each in self.estimates if each.slot == "all"}
        if not of:
            return ""
        shown, snips, dr = (of[name] for name in ("ctr_shown", "ctr_snips", "ctr_dr"))
        if snips.value is None or dr.value is None:
            return f"Its CTR is not estimated: {snips.verdict}."
        return (
            f"Its CTR is estimated at {snips.value:.2%} ({dr.value:.2%} doubly robust); what was shown on "
            f"{self.as_of} had {shown.value:.2%}."
        )

    def served(self) -> str:
        return f"{self.live} stays served" if self.live else "No version is served yet"


@dataclass(frozen=True)
class Approval:
    """Of a method, given for the version that was waiting then.

    :param refused: the figure and slot below whose limit it may be, as ``novelty_to_live of new``; None: it is of
        what there is not enough to tell of
    :param beside: with ``refused``, the method that was served then; if that is the same, and of
        ``users_to_live``, the two versions. Beside another one it says nothing
    """

    version: str
    method: Mapping[str, Any]
    who: str
    at: str
    why: str
    refused: str | None = None
    beside: Mapping[str, Any] | None = None

    @property
    def subject(self) -> tuple[Mapping[str, Any], str | None, Mapping[str, Any] | None]:
        return self.method, self.refused, self.beside


def recorded(store: ListStore, version: str) -> Verdict | None:
    """The version's verdict; None where the gate has not judged it.

    :raises VerdictError: where the file is not one of the gate's, or its verdict not that of its figures
    """
    held = _read(store, _gate_path(store, version))
    if held is None:
        return None
    try:
        held.setdefault("estimates", [])
        parts: dict[str, Any] = {
            name: tuple(GateFigure(**each) for each in held.pop(name))
            for name in ("figures", "drift", "estimates")
        }
        found = Verdict(**held, **parts)
        date.fromisoformat(found.as_of)
        if found.version != version:
            raise ValueError(f"it is of {found.version}")
        _require_consistent(found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise VerdictError(
            f"{_gate_path(store, version)} is no verdict of the gate: {error!r}. Nothing of {version} is "
            "published; restore the file, or make a new version."
        ) from error
    return found


def _require_consistent(found: Verdict) -> None:
    """Raises ValueError where the verdict does not follow from its figures, or a figure is none."""
    for each in found.all_figures():
        for name in ("value", "low", "high"):
            number = getattr(each, name)
            if number is not None and type(number) not in (int, float):
                raise ValueError(f"{name} of {each.figure} of {each.slot} is {number!r}")
    if not found.figures:
        raise ValueError("it has no figures")
    for each in found.figures:
        if each.verdict not in (PASSED, NOT_ENOUGH, REFUSED):
            raise ValueError(f"the verdict on {each.figure} of {each.slot} is {each.verdict!r}")
    if found.verdict != overall(found.figures):
        raise ValueError(f"it says {found.verdict}, and its figures {overall(found.figures)}")


def require_method(found: Verdict, made: Finished) -> None:
    """Raises VerdictError where the verdict is of another method than that of the version's lists."""
    if found.method != made.candidates:
        raise VerdictError(
            f"The verdict on {found.version} is of another method than that of its lists: gate.json and finished.json "
            "differ. Nothing of it is published; restore the files, or make a new version."
        )


def judged(store: ListStore, version: str) -> Verdict:
    """The version's verdict.

    :raises NotJudgedError: where the gate has not judged it
    :raises VerdictError: where the file is not one of the gate's
    """
    found = recorded(store, version)
    if found is None:
        raise NotJudgedError(
            f"The gate has not judged {version}: it is no version of the lists, or its run has not come so far."
        )
    return found


def record(store: ListStore, found: Verdict) -> Verdict:
    """Records a verdict once; returns the one that is recorded."""
    put_once(store.files, _gate_path(store, found.version), _json(found))
    held = recorded(store, found.version)
    if held is None:
        raise VerdictError(f"{_gate_path(store, found.version)} was removed while it was written.")
    return held


def decided(store: ListStore, found: Verdict) -> str:
    """``passed`` or ``approved_method``, both to be published, or ``not_enough_to_tell``.

    :raises RefusedError: where it is refused
    """
    if found.verdict == PASSED:
        return PASSED
    if approvals(store, found):
        return APPROVED
    if found.verdict == REFUSED:
        raise RefusedError(
            f"recommendations {found.version} is refused: {found.why()}. {found.served()}; the version's lists "
            "stay in the lake."
        )
    return NOT_ENOUGH


def can_be_approved(found: Verdict) -> bool:
    """Whether a person may let the version through: there is not enough to tell, or it is refused for nothing but
    lists of another kind than those that are served, or for fewer users than those have."""
    if found.verdict != REFUSED:
        return found.verdict == NOT_ENOUGH
    return all(each.figure in APPROVABLE for each in found.figures if each.verdict == REFUSED)


def approvals(store: ListStore, found: Verdict) -> tuple[Approval, ...]:
    """The approvals that let a version through; none where it needs one that was not given.

    :raises VerdictError: where a file of an approval is none
    """
    if not can_be_approved(found):
        return ()
    given = [_given(store, each) for each in _needed(found, "", "", "")]
    return tuple(each for each in given if each is not None) if all(given) else ()


def _needed(found: Verdict, who: str, at: str, why: str) -> Iterator[Approval]:
    """An approval for each figure that is refused, and one of what there is not enough to tell of."""
    own = Approval(found.version, found.method, who, at, why)
    for each in found.figures:
        if each.verdict == REFUSED:
            # What no other method explains is approved of once: of another version, as after a rollback, users may
            # be fewer still, and of the next ones of this method the lists less novel, each by a little.
            once = each.figure == USERS or found.method == found.live_method
            beside = {"version": found.live, "of": found.version} if once else found.live_method
            yield replace(own, refused=f"{each.figure} of {each.slot}", beside=beside)
    if NOT_ENOUGH in (found.verdict, *(each.verdict for each in found.figures)):
        yield own


def _given(store: ListStore, wanted: Approval) -> Approval | None:
    path = _approval_path(store, wanted)
    held = _read(store, path)
    if held is None:
        return None
    known = {field.name for field in fields(Approval)}
    # One from before a refusal could be approved has not all of them.
    if not known - {"refused", "beside"} <= set(held) <= known:
        raise VerdictError(f"{path} is no approval of a method.")
    found = Approval(**held)
    if found.subject != wanted.subject:
        raise VerdictError(f"{path} is no approval of the method that it is named after.")
    return found


def approved_versions(store: ListStore) -> set[str]:
    """The versions for which approvals were given.

    :raises VerdictError: where a file among the approvals is none
    """
    folder = store.folder("approvals")
    try:
        paths = store.files.ls(folder, detail=False)
    except FileNotFoundError:
        return set()
    found = set()
    for path in paths:
        held = _read(store, path)
        if held is None or "version" not in held:
            raise VerdictError(f"{path} is no approval of a method.")
        found.add(str(held["version"]))
    return found


def approve(store: ListStore, found: Verdict, who: str, why: str) -> tuple[Approval, ...]:
    """Records that a version's method may be published, for all that it needs; returns the approvals, of which
    some may be earlier ones.

    :raises VerdictError: where no approval helps the version
    """
    if not why.strip() or len(why) > _LONGEST_WHY:
        raise VerdictError(
            f"The reason has {len(why.strip()):,} characters; it must have 1 to {_LONGEST_WHY:,}."
        )
    if not can_be_approved(found):
        reason = f": {found.why()}" if found.verdict == REFUSED else ""
        raise VerdictError(
            f"{found.version} is {found.verdict}{reason}. Only a version of which there is not enough to tell, or "
            "which is refused for nothing but its novelty, diversity or users beside what is served, can be approved."
        )
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    for each in _needed(found, who, now, why.strip()):
        put_once(store.files, _approval_path(store, each), _json(each))
    held = approvals(store, found)
    if not held:
        raise VerdictError(
            f"An approval of {found.version} below {store.folder('approvals')} was removed while it was written."
        )
    return held


def _gate_path(store: ListStore, version: str) -> str:
    return f"{store.folder(version)}/gate.json"


def _approval_path(store: ListStore, approval: Approval) -> str:
    subject = approval.method if approval.refused is None else approval.subject
    text = json.dumps(subject, sort_keys=True, separators=(",", ":"))
    return store.folder(f"approvals/{hashlib.sha256(text.encode()).hexdigest()}.json")


def _read(store: ListStore, path: str) -> dict[str, Any] | None:
    try:
        text = store.files.cat_file(path)
    except FileNotFoundError:
        return None
    try:
        held = json.loads(text)
    except ValueError as error:
        raise VerdictError(f"{path} is no JSON: {error}.") from error
    if not isinstance(held, dict):
        raise VerdictError(f"{path} is no JSON object.")
    return held


def _json(value: Verdict | Approval) -> bytes:
    return json.dumps(asdict(value), indent=2, sort_keys=True).encode() + b"\n"
