"""A simulated day of the web shop: the same for the same seed, disordered as stated, with structure to learn."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from feira.user_events.codec import EventError, decode
from feira_local.shop import taste
from feira_local.shop.source import SourceError
from feira_local.shop.taste import Taste
from feira_local.web import disorder, sessions, wire
from feira_local.web.day import batches
from feira_local.web.settings import Disorder, WebSettings

DAY = dt.date(2010, 12, 1)
NEXT = DAY + dt.timedelta(days=1)
CALM = Disorder(0, 0, 0, 0, 0)
SMALL = WebSettings(events=20_000, users=500)
Sent = list[tuple[bytes, bytes | None, int]]


def sent(settings: WebSettings, day: dt.date = DAY) -> tuple[Sent, Counter[str]]:
    """All messages of the day in the order of their sending, and what is said of them."""
    found: Sent = []
    counts: Counter[str] = Counter()
    for batch in batches(settings, day):
        it = batch.messages
        found += zip(it.keys, it.values, it.timestamps.tolist(), strict=True)
        counts += batch.counts
    return found, counts


def events(settings: WebSettings, day: dt.date = DAY) -> list[dict[str, Any]]:
    return [decode(value or b"") for _, value, _ in sent(settings, day)[0]]


def millis(time: dt.datetime) -> int:
    return (time - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)


@pytest.fixture(scope="module")
def calm() -> list[dict[str, Any]]:
    return events(replace(SMALL, disorder=CALM))


def test_every_message_is_an_event_of_the_day_with_its_users_key_and_its_time(
    calm: list[dict[str, Any]],
) -> None:
    found, counts = sent(replace(SMALL, disorder=CALM))
    assert counts == {"event": len(found)} and len(found) > 15_000
    for (key, _, timestamp), event in zip(found, calm, strict=True):
        assert key == event["user_id"].encode()
        assert timestamp == millis(event["occurred_at"])
        assert event["occurred_at"].date() == DAY
    assert len({event["event_id"] for event in calm}) == len(calm)
    times = [timestamp for _, _, timestamp in found]
    assert times == sorted(times)


def test_seed_and_day_decide_every_byte() -> None:
    assert sent(SMALL) == sent(replace(SMALL))
    values = {value for _, value, _ in sent(SMALL)[0]}
    for other in (
        sent(replace(SMALL, taste=Taste(seed=8))),
        sent(SMALL, DAY + dt.timedelta(days=14)),
    ):
        assert not values - {None, b""} & {value for _, value, _ in other[0]}


def test_a_week_has_about_the_events_that_were_asked_for() -> None:
    week = [DAY + dt.timedelta(days=at) for at in range(7)]
    made = [sum(b.counts["event"] for b in batches(SMALL, day)) for day in week]
    assert sum(made) / 7 == pytest.approx(20_000, rel=0.05)
    assert max(made) / min(made) > 1.1  # no day is like the other


def test_what_is_disordered_is_what_was_asked_for_and_is_said_of_it() -> None:
    settings = replace(
        SMALL, disorder=Disorder(0.05, late=0.02, duplicate=0.03, redated=0.01, malformed=0.02)
    )
    found, counts = sent(settings)
    before = dt.datetime.combine(DAY, dt.time(), dt.UTC)
    late = [each for each in found if each[2] < millis(before)]
    assert len(late) == counts["late"] > 0
    shares = {kind: counts[kind] / 20_000 for kind in ("late", "duplicate", "redated")}
    assert shares == {
        "late": pytest.approx(0.02, rel=0.3),
        "duplicate": pytest.approx(0.03, rel=0.2),
        "redated": pytest.approx(0.01, rel=0.01),
    }
    spoiled = {k: n for k, n in counts.items() if k.startswith("malformed: ")}
    assert sum(spoiled.values()) == pytest.approx(0.02 * 20_000, rel=0.2)
    assert set(spoiled) == {f"malformed: {kind}" for kind in disorder.KINDS}
    assert len(found) == counts["event"] + counts["duplicate"] + counts["redated"]
    repeats = Counter(value for _, value, _ in found if value)
    assert sum(of - 1 for of in repeats.values() if of > 1) >= counts["duplicate"] * 0.9


def test_what_comes_late_is_missing_on_its_own_day_and_nothing_else_is() -> None:
    settings = replace(SMALL, events=5000, disorder=replace(CALM, late=0.05))
    first, second = events(settings), events(settings, NEXT)
    late = [event for event in second if event["occurred_at"].date() == DAY]
    on_time = [event for event in first if event["occurred_at"].date() == DAY]
    assert 0 < len(late) < len(on_time) * 0.1
    assert not {e["event_id"] for e in late} & {e["event_id"] for e in on_time}
    visits = [{event["session_id"] for event in some} for some in (late, on_time)]
    assert not visits[0] & visits[1]
    assert len(visits[0] | visits[1]) == sessions.session_count(settings, DAY)


def test_a_day_of_many_blocks_is_one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SESSIONS", 64)
    settings = replace(SMALL, events=5000, disorder=replace(CALM, late=0.02))
    parts = [batch.messages for batch in batches(settings, DAY)]
    assert len(parts) > 5
    found = [[decode(value) for value in part.values] for part in parts]
    middle = (len(parts) - 1) // 2
    assert {event["occurred_at"].date() for event in found[middle]} == {DAY - dt.timedelta(days=1)}
    whole = [event for part in found for event in part]
    assert len({event["event_id"] for event in whole}) == len(whole)
    of_day = [part for at, part in enumerate(found) if at != middle]
    visits = {event["session_id"] for part in of_day for event in part}
    assert len(visits) == sum(len({event["session_id"] for event in part}) for part in of_day)
    # Each block is a stretch of the day, and no block is like another.
    begins = [part[0]["occurred_at"] for part in of_day]
    assert begins == sorted(begins) and begins[0].hour < 6 < 18 <= begins[-1].hour
    users = {frozenset(e["user_id"] for e in part if e["user_id"][0] != "v") for part in of_day}
    assert len(users) == len(of_day)


def test_a_redated_message_is_an_event_of_the_day_before_with_the_next_days_time() -> None:
    settings = replace(SMALL, events=5000, disorder=replace(CALM, redated=0.01))
    first = {event["event_id"]: event for event in events(settings)}
    again = [event for event in events(settings, NEXT) if event["event_id"] in first]
    assert len(again) == 50
    for event in again:
        original = first[event["event_id"]]
        moved = original["occurred_at"] + dt.timedelta(days=1)
        assert event == original | {"occurred_at": moved}


def test_as_many_are_redated_as_was_asked_for_of_however_many_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = replace(SMALL, events=5000, disorder=replace(CALM, redated=0.4))
    monkeypatch.setattr(sessions, "SESSIONS", 64)
    found, counts = sent(settings, NEXT)
    assert counts["redated"] == 2000 and len(found) == counts["event"] + 2000
    before = {event["event_id"] for event in events(settings)}
    again = [event["event_id"] for event in events(settings, NEXT) if event["event_id"] in before]
    assert len(again) == len(set(again)) == 2000


# Of twelve blocks, and of a hundred.
@pytest.mark.parametrize("size", [64, 8])
def test_what_is_redated_is_of_the_whole_day(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SESSIONS", size)
    settings = replace(SMALL, events=10_000, disorder=replace(CALM, redated=0.02))
    times = np.array([event["occurred_at"].timestamp() for event in events(settings)])
    again = [batch.messages for batch in batches(settings, NEXT) if batch.counts["redated"]]
    assert sum(len(part.values) for part in again) == 200
    shifted = np.concatenate([part.timestamps for part in again]) / 1000 - 86_400
    # As many in each tenth of the day's events as in another.
    tenths = np.histogram(shifted, np.quantile(times, np.linspace(0, 1, 11)))[0]
    assert tenths.sum() >= 199 and tenths.min() >= 15 and tenths.max() <= 25
    few = replace(settings, disorder=replace(CALM, redated=0.0003))
    hours = [
        dt.datetime.fromtimestamp(at / 1000, dt.UTC).hour
        for batch in batches(few, NEXT)
        if batch.counts["redated"]
        for at in batch.messages.timestamps.tolist()
    ]
    assert len(hours) == 3 and max(hours) - min(hours) > 3


@pytest.mark.parametrize(("size", "redated"), [(64, 0.5), (64, 0.1), (8, 0.1)])
@pytest.mark.parametrize("events_a_day", [779, 800, 1600, 5001])
def test_as_many_are_redated_as_was_asked_for_where_the_last_block_is_short(
    events_a_day: int, redated: float, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SESSIONS", size)
    settings = replace(SMALL, events=events_a_day, disorder=replace(CALM, redated=redated))
    for at in range(7):
        _, counts = sent(settings, NEXT + dt.timedelta(days=at))
        assert counts["redated"] == round(events_a_day * redated)


@pytest.mark.parametrize("kind", disorder.KINDS)
def test_what_is_spoiled_is_no_event_of_the_day(kind: str) -> None:
    for _, value, _ in sent(replace(SMALL, events=300, disorder=CALM))[0]:
        spoiled = disorder.SPOILED[kind](value or b"")
        try:
            event = decode(spoiled or b"")
        except EventError:
            continue
        assert kind == "of another day" and event["occurred_at"].year < 1990


def test_out_of_order_messages_come_after_later_ones() -> None:
    times = [at for *_, at in sent(replace(SMALL, disorder=replace(CALM, out_of_order=0.05)))[0]]
    latest = np.maximum.accumulate(times)
    behind = latest - np.array(times)
    assert 0.03 < (behind > 1000).mean() < 0.06
    assert behind.max() <= 10 * 60_000


def test_every_list_is_ten_products_with_its_version_arm_and_positions(
    calm: list[dict[str, Any]],
) -> None:
    lists = defaultdict(list)
    for event in calm:
        shown = event["event_type"] == "impression"
        named = [event[it] is not None for it in ("slot", "list_version", "arm", "position")]
        assert named == [shown or event["event_type"] == "click"] * 4
        if shown:
            lists[event["session_id"]].append(event)
    assert len(lists) > 500
    for shown in lists.values():
        assert [event["position"] for event in shown] == list(range(1, 11))
        assert len({event["sku"] for event in shown}) == 10
        (key,) = {(e["slot"], e["list_version"], e["arm"], e["user_id"]) for e in shown}
        assert key[1] == "web-2010-12-01"
    arms = {(shown[0]["user_id"], shown[0]["arm"]) for shown in lists.values()}
    assert len(arms) == len({user for user, _ in arms})
    assert {arm for _, arm in arms} == {"a", "b"}


@pytest.mark.parametrize("swapped", [0.01, 0.02, 0.05])
def test_the_probability_of_a_position_is_how_often_it_is_so(swapped: float) -> None:
    settings = replace(SMALL, events=300_000, swapped=swapped, disorder=CALM)
    who, found = sessions.draw(settings, DAY, 0, sessions.SESSIONS, (0, 1))
    at = np.flatnonzero(found.kind == sessions.IMPRESSION)
    place = found.position[at] - 1
    listed = np.stack(
        [
            sessions.listed(settings, DAY, who, found.session[at], np.full(len(at), rank))
            for rank in range(10)
        ],
        1,
    )
    rank = (listed == found.item[at][:, None]).argmax(axis=1)
    assert ((listed == found.item[at][:, None]).sum(axis=1) == 1).all()
    moved = rank != place
    assert moved.mean() == pytest.approx(swapped, abs=0.004)
    assert set(found.probability[at][~moved].round(12)) == {round(1 - swapped, 12)}
    assert set(found.probability[at][moved].round(12)) == {round(swapped / 9, 12)}
    # Every other position is as likely.
    to = np.bincount(place[moved & (rank == 0)], minlength=10)[1:]
    assert to.min() > 0.3 * to.mean()


def test_a_click_names_an_impression_of_the_session_and_comes_after_it(
    calm: list[dict[str, Any]],
) -> None:
    shown = {e["event_id"]: e for e in calm if e["event_type"] == "impression"}
    clicks = [e for e in calm if e["event_type"] == "click"]
    assert len(clicks) > 100
    for click in clicks:
        impression = shown[click["impression_id"]]
        same = ("user_id", "session_id", "sku", "slot", "arm", "position", "probability")
        assert [click[it] for it in same] == [impression[it] for it in same]
        assert click["occurred_at"] > impression["occurred_at"]
    first = sum(click["position"] == 1 for click in clicks)
    assert first > 2 * sum(click["position"] == 10 for click in clicks)
    assert all(e["impression_id"] is None for e in calm if e["event_type"] != "click")


def test_what_is_bought_was_put_into_the_cart_before(calm: list[dict[str, Any]]) -> None:
    carts = {}
    for event in calm:
        key = (event["session_id"], event["sku"])
        if event["event_type"] == "add_to_cart":
            carts.setdefault(key, event)
            assert event["quantity"] >= 1
        elif event["event_type"] == "purchase":
            assert event["occurred_at"] > carts[key]["occurred_at"] and event["quantity"] >= 1
        else:
            assert event["quantity"] is None
    assert sum(event["event_type"] == "purchase" for event in calm) > 300


def pairs_within(settings: WebSettings) -> float:
    """The share of pairs of one session's views whose products are of one group."""
    _, found = sessions.draw(settings, DAY, 0, sessions.SESSIONS, (0, 1))
    viewed = found.kind == sessions.VIEW
    group, session = taste.group_of(settings.taste)[found.item[viewed]], found.session[viewed]
    beside = session[1:] == session[:-1]
    return float((group[1:] == group[:-1])[beside].mean())


def test_products_of_a_group_are_viewed_together_the_more_the_more_cohesion() -> None:
    by_cohesion = [
        pairs_within(replace(SMALL, taste=Taste(cohesion=cohesion, repeats=0)))
        for cohesion in (0, 0.5, 0.9)
    ]
    assert by_cohesion[0] < 0.06 < 0.2 < by_cohesion[1] < 0.4 < 0.7 < by_cohesion[2]


def test_users_come_back_and_buy_again_what_they_bought() -> None:
    bought: dict[str, set[str]] = defaultdict(set)
    again = Counter[bool]()
    seen: list[set[str]] = []
    settings = replace(SMALL, events=4000, users=100, disorder=CALM)
    for at in range(12):
        day = events(settings, DAY + dt.timedelta(days=at))
        seen.append({event["user_id"] for event in day})
        purchases = [event for event in day if event["event_type"] == "purchase"]
        if at >= 9:
            again.update(event["sku"] in bought[event["user_id"]] for event in purchases)
        for event in purchases:
            bought[event["user_id"]].add(event["sku"])
    known = set.union(*seen[:-1])
    returning = {user for user in seen[-1] if not user.startswith("v")}
    assert len(returning & known) > 0.95 * len(returning)
    assert not (seen[-1] - returning) & known
    assert 0.15 < again[True] / again.total() < 0.8


def test_popular_products_are_others_after_a_while() -> None:
    def top(days: int) -> set[int]:
        shelf = taste.popular(SMALL.taste, DAY + dt.timedelta(days=days))
        return {int(it) for start in shelf.starts for it in shelf.ranked[start : start + 10]}

    same = [len(top(0) & top(days)) / len(top(0)) for days in (1, 10, 45)]
    assert same[0] > 0.9 > 0.8 > same[1] > same[2] and same[2] < 0.5


def test_users_and_products_are_those_of_the_simulated_shop(calm: list[dict[str, Any]]) -> None:
    from feira_local.shop.generator import GeneratedSource, GeneratorSettings

    source = GeneratedSource(GeneratorSettings(lines_per_day=1000, dirty_share=0))
    lines = source.lines(DAY, 0, 1000)
    skus = {line["sku"] for line in lines if line["sku"][:1].isdigit()}
    assert skus <= set(wire.skus(SMALL.taste).astype(str)) >= {event["sku"] for event in calm}
    customers = {str(line["customer_id"]) for line in lines if line["customer_id"]}
    assert len(customers & {event["user_id"] for event in calm}) > 50


def test_uuids_are_of_version_four() -> None:
    import uuid

    texts = wire.uuids(np.random.Generator(np.random.PCG64(1)), 500)
    found = [uuid.UUID(bytes(row).decode()) for row in texts]
    assert {(it.version, it.variant) for it in found} == {(4, uuid.RFC_4122)}
    assert len(set(found)) == 500 and [bytes(row).decode() for row in texts] == [*map(str, found)]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("events", 0), ("users", 0), ("visitors", 1.1), ("swapped", 0.21), ("swapped", float("nan"))],
)
def test_a_setting_out_of_its_limits_is_refused_by_name(setting: str, value: float) -> None:
    with pytest.raises(SourceError, match=f"^{setting} is {value}; "):
        replace(SMALL, **{setting: value})


def test_a_share_of_disorder_out_of_its_limits_is_refused_by_name() -> None:
    with pytest.raises(SourceError, match=r"^late is 0\.6; .*0 to 0\.5"):
        replace(SMALL, disorder=replace(CALM, late=0.6))
