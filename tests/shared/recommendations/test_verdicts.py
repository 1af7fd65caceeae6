"""Verdicts and approvals in a lake: each is written once, and what is not understood lets nothing through."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from feira.core.lake import lake_files
from feira.core.settings import LakeSettings
from feira.recommendations import verdicts
from feira.recommendations.gate import NOT_ENOUGH, PASSED, REFUSED, GateFigure, Judgement
from feira.recommendations.interactions import interactions
from feira.recommendations.verdicts import RefusedError, Verdict, VerdictError
from feira.recommendations.versions import ListStore

FIRST, SECOND = "2010-12-01-001", "2010-12-02-001"
METHOD = {"again": {"name": "TIFU-KNN", "neighbours": 300}, "new": {"name": "EASE"}}
LIVE = {"again": {"name": "TIFU-KNN"}, "new": {"name": "item-item"}}


@pytest.fixture
def store(tmp_path: Path) -> ListStore:
    lake = LakeSettings(root=f"file://{tmp_path}", catalog="hadoop")
    return ListStore(lake_files(lake), lake.root)


def figure(verdict: str, slot: str = "new") -> GateFigure:
    return GateFigure("ndcg_to_live", slot, 0.612, 0.5, 0.7, "low", 0.97, 314, verdict)


def found(verdict: str, version: str = FIRST, live: str | None = "2010-11-30-001") -> Verdict:
    figures = (figure(PASSED, "again"), figure(verdict))
    of = Judgement(date(2010, 11, 4), 28, verdict, figures)
    return Verdict.of(of, version=version, as_of=version[:10], method=METHOD, live=live)


def estimates(verdict: str, value: float | None) -> tuple[GateFigure, ...]:
    of_slot = (value, None, None, "value", 0.0, 314, verdict)
    names = ("ctr_shown", "ctr_snips", "ctr_dr")
    return tuple(GateFigure(name, slot, *of_slot) for slot in ("all", "new") for name in names)


def path(store: ListStore, name: str) -> Path:
    return Path(store.folder(name).removeprefix("file://"))


def test_a_verdict_is_recorded_once_and_is_never_changed(store: ListStore) -> None:
    assert verdicts.recorded(store, FIRST) is None
    first = found(REFUSED)
    assert verdicts.record(store, first) == first
    assert verdicts.record(store, found(PASSED)) == first
    assert verdicts.recorded(store, FIRST) == first
    assert verdicts.recorded(store, SECOND) is None


def test_estimates_are_recorded_and_told_and_decide_nothing(store: ListStore) -> None:
    passed = replace(found(PASSED), estimates=estimates("small_sample", None))
    assert verdicts.record(store, passed) == passed
    assert verdicts.decided(store, passed) == PASSED
    assert passed.estimated() == "Its CTR is not estimated: small_sample."
    assert passed.all_figures() == (*passed.figures, *passed.estimates)
    told = replace(passed, estimates=estimates("estimated", 0.0812)).estimated()
    assert told.count("8.12%") == 3 and FIRST[:10] in told
    # A verdict from before there were any.
    file = path(store, f"{FIRST}/gate.json")
    held = json.loads(file.read_text())
    del held["estimates"]
    file.write_text(json.dumps(held))
    assert verdicts.recorded(store, FIRST) == replace(passed, estimates=())
    assert found(PASSED).estimated() == ""


def test_a_refusal_names_figure_value_limit_and_what_stays_served(store: ListStore) -> None:
    with pytest.raises(RefusedError) as error:
        verdicts.decided(store, found(REFUSED))
    message = str(error.value)
    for part in (
        FIRST,
        "ndcg_to_live of new",
        "0.612",
        "314 users",
        "limit 0.97",
        "2010-11-30-001",
    ):
        assert part in message
    # What passed is no reason.
    assert "again" not in message
    with pytest.raises(RefusedError, match="No version is served"):
        verdicts.decided(store, found(REFUSED, live=None))
    many = replace(found(REFUSED), figures=tuple(figure(REFUSED) for _ in range(9)))
    with pytest.raises(RefusedError, match="and 4 more"):
        verdicts.decided(store, many)


def test_a_method_that_was_approved_once_goes_through_while_there_is_not_enough_to_tell(
    store: ListStore,
) -> None:
    waits, later = found(NOT_ENOUGH), found(NOT_ENOUGH, SECOND)
    assert verdicts.decided(store, waits) == NOT_ENOUGH
    assert verdicts.decided(store, found(PASSED)) == PASSED
    (given,) = verdicts.approve(store, waits, "ana", " a young shop ")
    assert (given.version, given.who, given.why) == (FIRST, "ana", "a young shop")
    assert given.at.endswith("+00:00")
    # Who approves of it once more finds the first approval.
    assert verdicts.approve(store, later, "rui", "me too") == (given,)
    for each in (waits, later):
        assert verdicts.decided(store, each) == verdicts.APPROVED
    # Of another method, or where there is enough to tell and it is too little, it says nothing.
    other = replace(later, method={**METHOD, "new": {"name": "item-item"}})
    assert verdicts.decided(store, other) == NOT_ENOUGH
    with pytest.raises(RefusedError):
        verdicts.decided(store, found(REFUSED))
    # The order of what describes the method is no other method.
    same = replace(later, method=dict(reversed(METHOD.items())))
    assert verdicts.approvals(store, same) == (given,)


def test_only_what_waits_can_be_approved_and_only_with_a_reason(store: ListStore) -> None:
    for verdict in (PASSED, REFUSED):
        with pytest.raises(VerdictError, match=f"{FIRST} is {verdict}"):
            verdicts.approve(store, found(verdict), "ana", "why not")
    for why, count in (("", "0"), (" \n", "0"), ("x" * 1001, "1,001")):
        with pytest.raises(VerdictError, match=f"has {count} characters"):
            verdicts.approve(store, found(NOT_ENOUGH), "ana", why)
    assert verdicts.approvals(store, found(NOT_ENOUGH)) == ()


def of_another_kind(
    *refused: str, live: dict[str, object] | None = LIVE, **changed: str
) -> Verdict:
    """Refused for these figures of the slot new; of others what ``changed`` says of the slot again."""
    figures = [replace(figure(REFUSED), figure=name, must="value", limit=0.95) for name in refused]
    figures += [replace(figure(it, "again"), figure=name) for name, it in changed.items()]
    return replace(found(REFUSED), figures=tuple(figures), live_method=live)


def test_a_method_of_another_kind_is_refused_until_a_person_has_approved_of_exactly_that(
    store: ListStore,
) -> None:
    another = of_another_kind("novelty_to_live")
    with pytest.raises(RefusedError, match="novelty_to_live of new"):
        verdicts.decided(store, another)
    # That there is not enough to tell of the method was approved of, and says nothing of its kind.
    verdicts.approve(store, found(NOT_ENOUGH), "ana", "young")
    with pytest.raises(RefusedError):
        verdicts.decided(store, another)
    (given,) = verdicts.approve(store, another, "rui", "item-item offers what nobody buys")
    assert (given.who, given.refused, given.beside) == ("rui", "novelty_to_live of new", LIVE)
    later = replace(another, version=SECOND)
    assert verdicts.decided(store, later) == verdicts.APPROVED
    assert verdicts.approvals(store, later) == (given,)
    # Neither beside another method, nor of another figure, nor with a worse one.
    for other in (
        replace(another, live_method={"again": {"name": "other"}}),
        of_another_kind("novelty_to_live", "diversity_to_live"),
        of_another_kind("novelty_to_live", "ndcg_to_live"),
        replace(another, method={**METHOD, "new": {"name": "ALS"}}),
    ):
        with pytest.raises(RefusedError):
            verdicts.decided(store, other)
    both = of_another_kind("novelty_to_live", "diversity_to_live")
    assert [it.who for it in verdicts.approve(store, both, "eva", "that too")] == ["rui", "eva"]
    assert verdicts.decided(store, both) == verdicts.APPROVED


def test_what_is_refused_for_its_kind_and_not_judged_in_another_figure_needs_both_approvals(
    store: ListStore,
) -> None:
    unsure = of_another_kind("novelty_to_live", ndcg_to_live=NOT_ENOUGH)
    verdicts.approve(store, of_another_kind("novelty_to_live"), "ana", "another kind")
    with pytest.raises(RefusedError):
        verdicts.decided(store, unsure)
    given = verdicts.approve(store, unsure, "rui", "young as well")
    assert [(it.who, it.refused) for it in given] == [
        ("ana", "novelty_to_live of new"),
        ("rui", None),
    ]
    assert verdicts.decided(store, unsure) == verdicts.APPROVED


@pytest.mark.parametrize(
    ("figure", "live_method"),
    [("users_to_live", LIVE), ("users_to_live", METHOD), ("novelty_to_live", METHOD), ("diversity_to_live", METHOD)],
)  # fmt: skip
def test_what_no_other_method_explains_is_approved_of_beside_one_version_and_not_beside_the_next(
    store: ListStore, figure: str, live_method: dict[str, object]
) -> None:
    """Fewer users, or of the same method lists that are less novel: of each version by a little more."""
    fewer = of_another_kind(figure, live=live_method)
    (given,) = verdicts.approve(store, fewer, "ana", "old customers were erased")
    beside = {"version": fewer.live, "of": fewer.version}
    assert (given.refused, given.beside) == (f"{figure} of new", beside)
    assert verdicts.decided(store, fewer) == verdicts.APPROVED
    # After a rollback the same version is served again, and another may have lost more.
    with pytest.raises(RefusedError):
        verdicts.decided(store, replace(fewer, version=SECOND))
    with pytest.raises(RefusedError):
        verdicts.decided(store, replace(fewer, version="2010-12-03-001", live=SECOND))
    with pytest.raises(RefusedError):
        verdicts.decided(store, of_another_kind(figure, "coverage", live=live_method))


def test_a_method_that_is_worse_is_not_approved_whatever_its_kind(store: ListStore) -> None:
    worse = of_another_kind("novelty_to_live", "ndcg_to_live")
    with pytest.raises(VerdictError, match=f"{FIRST} is refused.*ndcg_to_live of new"):
        verdicts.approve(store, worse, "ana", "why not")
    assert verdicts.approved_versions(store) == set()


def test_an_approval_from_before_a_refusal_could_be_approved_still_holds(store: ListStore) -> None:
    waits = found(NOT_ENOUGH)
    (given,) = verdicts.approve(store, waits, "ana", "young")
    (file,) = path(store, "approvals").iterdir()
    held = json.loads(file.read_text())
    del held["refused"], held["beside"]
    file.write_text(json.dumps(held))
    assert verdicts.approvals(store, waits) == (given,)
    file.write_text(json.dumps(held | {"more": 1}))
    with pytest.raises(VerdictError, match="no approval of a method"):
        verdicts.approvals(store, waits)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '"passed"', "null", "7"],
)
def test_a_verdict_that_cannot_be_read_lets_nothing_through(store: ListStore, text: str) -> None:
    verdicts.record(store, found(PASSED))
    path(store, f"{FIRST}/gate.json").write_text(text)
    with pytest.raises(VerdictError, match=r"gate\.json"):
        verdicts.recorded(store, FIRST)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("verdict", "Passed"),
        ("verdict", True),
        ("version", SECOND),
        ("figures", None),
        ("figures", [{"figure": "x"}]),
        ("estimates", [{"figure": "x"}]),
        ("as_of", "yesterday"),
        ("more", 1),
    ],
)
def test_a_verdict_that_was_changed_by_hand_lets_nothing_through(
    store: ListStore, name: str, value: object
) -> None:
    verdicts.record(store, found(PASSED))
    file = path(store, f"{FIRST}/gate.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {name: value}))
    with pytest.raises(VerdictError, match=r"gate\.json"):
        verdicts.recorded(store, FIRST)


CHANGED = {
    "the verdict alone": lambda held: held.update(verdict=PASSED),
    "the verdict, and no figures": lambda held: held.update(verdict=PASSED, figures=[]),
    "a figure's verdict to a word that is none": lambda held: [
        held.update(verdict=PASSED),
        *(each.update(verdict="refsued") for each in held["figures"]),
    ],
    "one figure's verdict": lambda held: held["figures"][1].update(verdict=PASSED),
    "a value to a text": lambda held: held["figures"][0].update(value="abc"),
    "an end to true": lambda held: held["figures"][0].update(low=True),
    "a value of the drift": lambda held: held["drift"][0].update(high="0.7"),
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_a_verdict_that_does_not_follow_from_its_figures_publishes_nothing(
    store: ListStore, change: Any
) -> None:
    verdicts.record(store, replace(found(REFUSED), drift=(figure("stable"),)))
    file = path(store, f"{FIRST}/gate.json")
    held = json.loads(file.read_text())
    change(held)
    file.write_text(json.dumps(held))
    with pytest.raises(VerdictError, match=rf"{FIRST}/gate\.json is no verdict of the gate"):
        verdicts.recorded(store, FIRST)


def test_a_verdict_of_another_method_than_that_of_the_lists_is_refused(store: ListStore) -> None:
    bought = interactions([("1", "x", date(2010, 12, 1))])
    made = store.make(store.claim(date(2010, 12, 1), "r", {}), bought)
    verdicts.require_method(replace(found(PASSED), method=made.candidates), made)
    with pytest.raises(VerdictError, match=f"{FIRST} is of another method"):
        verdicts.require_method(found(PASSED), made)


def test_an_approval_that_was_copied_from_another_method_is_none(store: ListStore) -> None:
    waits = found(NOT_ENOUGH)
    verdicts.approve(store, waits, "ana", "young")
    (file,) = path(store, "approvals").iterdir()
    file.write_text(file.read_text().replace("300", "299"))
    with pytest.raises(VerdictError, match="no approval of the method"):
        verdicts.decided(store, waits)
