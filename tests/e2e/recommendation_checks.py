"""What a day's recommendations must be: its events, features, lists, published bytes and the API's answers."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import fastavro
import pandas as pd
from confluent_kafka import Consumer, TopicPartition

from feira.user_events.codec import avro_schema
from feira_local.kafka.local import bootstrap
from feira_local.stack.state import running_config
from matrix import Matrix
from oracle import expected
from oracle_basket import basket_offers, goes_with, pairs_differ, published_pairs
from oracle_features import (
    WINDOW,
    Event,
    Rows,
    Shown,
    Sold,
    features_differ,
    interactions,
    item_features,
    sold_lines,
    user_categories,
    user_features,
)
from oracle_gate import gate_differs
from oracle_lists import (
    AGAIN,
    LENGTH,
    Known,
    Offer,
    ease,
    popular_differ,
    reason_differs,
    recent_popularity,
    scores_differ,
    segments_of,
)
from oracle_live import (
    ESTIMATES,
    Impression,
    estimated,
    estimates_differ,
    impressions,
    live_figures,
)
from oracle_reranked import Reranked, list_differs, stored
from served_lists import SAMPLE, Lists, ask, from_valkey, published, values_of, version_differs

Scored = dict[tuple[str, str], list[tuple[Offer, float]]]


def day_differs(m: Matrix, the_day: date, ran: set[date]) -> list[str]:
    """Everything that a run of the day has made against what it must be; its version must be served.

    ``ran`` are the days of which user events were run.
    """
    events, problems = _events(m, ran)
    sold = _sold(m, the_day)
    first = the_day - timedelta(days=WINDOW - 1)
    known = [event for event in events if first <= event.day <= the_day]
    items = item_features(sold, known, the_day)
    categories = user_categories(sold, known, items, the_day)
    tables: dict[str, tuple[list[str], Rows]] = {
        "user_features": (["user_id"], user_features(sold, known, the_day)),
        "item_features": (["sku"], items),
        "user_categories": (["user_id", "category"], categories),
    }
    for name, (key, must) in tables.items():
        table = m.held.lake(f"recommendations.{name}")
        problems += features_differ(name, must, table[table["as_of"] == the_day], key)
    taken = Known(interactions(sold), the_day)
    category_of = {sku: row["category"] for sku, row in items.items()}
    segments = segments_of(categories, category_of, taken)
    shown = impressions(known, the_day)
    buyers = sum(row["orders"] > 0 for row in tables["user_features"][1].values())
    problems += _live_differs(m, the_day, live_figures(shown, items, buyers), shown, segments)
    problems += _offsets_differ(m, the_day)
    problems += gate_of_day_differs(m, the_day)
    return problems + _lists_differ(m, the_day, taken, category_of, segments)


def _sold(m: Matrix, the_day: date) -> list[Sold]:
    landings = [each for each in m.served.all() if date.fromisoformat(each.day) <= the_day]
    return sold_lines(expected(landings).fact, the_day)


def gate_of_day_differs(m: Matrix, the_day: date) -> list[str]:
    """What the gate has recorded of the day's newest version, beside the lists of both that the lake has."""
    verdict = verdict_of(m, newest_version(m, the_day).version)
    table = m.held.lake("recommendations.lists")
    lists = {}
    for version in {verdict["version"], verdict["live"]} - {None}:
        of: dict[tuple[str, str], list[str]] = defaultdict(list)
        rows = table[(table["list_version"] == version) & table["segment"].isna()]
        for row in _rows(rows.sort_values("position")):
            of[row.slot, row.user_id].append(row.item)
        lists[version] = of
    return gate_differs(interactions(_sold(m, the_day)), the_day, verdict, lists)


def newest_version(m: Matrix, the_day: date) -> Any:
    """The day's newest row of ``recommendations.list_versions``."""
    table = m.held.lake("recommendations.list_versions")
    return max(_rows(table[table["as_of"] == the_day]), key=lambda row: row.version)


def _offsets_differ(m: Matrix, the_day: date) -> list[str]:
    """The day's events are between the offsets that its newest version names."""
    named = newest_version(m, the_day).events_offsets
    offsets = json.loads(named) if isinstance(named, str) else {}
    table = m.held.lake("web.user_events")
    return [
        f"event {row.event_id} of {the_day} is at {row.kafka_partition}:{row.kafka_offset}, not between {named}"
        for row in _rows(table[table["event_day"] == the_day])
        for first, end in [offsets.get(str(row.kafka_partition), (0, 0))]
        if not first <= row.kafka_offset < end
    ][:3]


def verdict_of(m: Matrix, version: str) -> dict[str, Any]:
    """What the gate has recorded of a version."""
    path = f"{m.held.root}/recommendations/{version}/gate.json"
    read: dict[str, Any] = json.loads(m.held.files().cat_file(path))
    return read


def _messages(topic: str) -> list[Any]:
    """Everything that a topic holds."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap(running_config()), "group.id": "verify", "log_level": 0}
    )
    try:
        places = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        left = {n: consumer.get_watermark_offsets(TopicPartition(topic, n), 30) for n in places}
        left = {n: ends for n, ends in left.items() if ends[0] < ends[1]}
        consumer.assign([TopicPartition(topic, n, ends[0]) for n, ends in left.items()])
        found = []
        while left:
            message = consumer.poll(30)
            assert message is not None and message.error() is None, f"{topic}: nothing in 30 s"
            found.append(message)
            if message.offset() == left[message.partition()][1] - 1:
                del left[message.partition()]
        return found
    finally:
        consumer.close()


def _events(m: Matrix, ran: set[date]) -> tuple[list[Event], list[str]]:
    """The events of the days that were run, and how the table differs: each message is a dead letter, or its
    id is in one row, that of the earliest day, partition and offset."""
    dead = {
        (int(headers["partition"]), int(headers["offset"]))
        for message in _messages("user_events.dead")
        for headers in [{name: value.decode() for name, value in message.headers()}]
    }
    schema = fastavro.parse_schema(json.loads(avro_schema()))
    first: dict[str, tuple[date, int, int]] = {}
    events: dict[str, Event] = {}
    for message in _messages("user_events"):
        sent = pd.Timestamp(message.timestamp()[1], unit="ms").date()
        if sent not in ran or (message.partition(), message.offset()) in dead:
            continue
        event: Any = fastavro.schemaless_reader(io.BytesIO(message.value()[5:]), schema, None)
        identity = str(event["event_id"])
        place = (sent, message.partition(), message.offset())
        if place <= first.get(identity, place):
            first[identity] = place
            user, session, sku = (str(event[name]) for name in ("user_id", "session_id", "sku"))
            shown = [event[name] for name in Shown._fields]
            events[identity] = Event(
                user,
                session,
                sku,
                str(event["event_type"]),
                sent,
                identity,
                event["occurred_at"],
                event["impression_id"],
                Shown(*shown) if None not in shown else None,
            )
    table = m.held.lake("web.user_events")
    held = {
        row.event_id: (row.event_day, row.kafka_partition, row.kafka_offset) for row in _rows(table)
    }
    if not first or held != first or len(table) != len(held):
        wrong = sorted(map(str, held.items() ^ first.items()))[:3]
        return [*events.values()], [
            f"user events: {len(table)} rows, must be {len(first)}; {wrong}"
        ]
    return [*events.values()], []


def _rows(frame: pd.DataFrame) -> Iterator[Any]:
    yield from frame.itertuples(index=False)


def _scored(m: Matrix, version: str) -> tuple[Scored, list[str]]:
    """A version's lists as the lake has them, and what is odd about their order."""
    table = m.held.lake("recommendations.lists")
    rows = table[table["list_version"] == version]
    scored: Scored = {}
    problems = []
    for row in _rows(rows.sort_values(["slot", "user_id", "segment", "position"])):
        of = None if pd.isna(row.reason_item) else row.reason_item
        name = (row.slot, row.user_id) if pd.isna(row.segment) else ("segment", row.segment)
        scored.setdefault(name, []).append(((row.item, row.reason, of), row.score))
        if row.position != len(scored[name]):
            problems.append(f"{name}: position {row.position} is out of turn")
    return scored, problems


def _live_differs(
    m: Matrix, the_day: date, must: Rows, shown: list[Impression], segments: dict[str, str]
) -> list[str]:
    """What was measured of the day, and the estimates of its newest version."""
    key = ["list_version", "arm", "position", "slot", "figure"]
    table = m.held.lake("recommendations.live_figures")
    live = table[table["as_of"] == the_day].fillna({"slot": ""})
    of_estimates = live["figure"].isin(ESTIMATES)
    problems = features_differ("live", must, live[~of_estimates], key)
    version = newest_version(m, the_day).version
    offered = _offered(_scored(m, version)[0], segments)
    held = live[of_estimates & (live["list_version"] == version)]
    return problems + estimates_differ(estimated(shown, offered), held)


def _offered(scored: Scored, segments: dict[str, str]) -> Callable[[str, str, int], str | None]:
    """What a user is offered in a slot's place: of its own list, else its segment's, else everybody's."""
    own = {user for slot, user in scored if slot != "segment" and user}

    def offered(user: str, slot: str, position: int) -> str | None:
        name = (slot, user)
        if user not in own:
            segment = ("segment", segments.get(user, ""))
            if segment in scored:
                name = segment if slot == "new" else ("", "")
            else:
                name = (slot, "")
        pairs = scored.get(name, [])
        return pairs[position - 1][0][0] if position <= len(pairs) else None

    return offered


def _lists_differ(
    m: Matrix,
    the_day: date,
    known: Known,
    category_of: dict[str, str | None],
    segments: dict[str, str],
) -> list[str]:
    """The day's newest version: who has lists of what, of some users the scores, and that it is served."""
    version = newest_version(m, the_day)
    scored, problems = _scored(m, version.version)
    lists = {name: [offer for offer, _ in pairs] for name, pairs in scored.items()}
    held, of_users, meta = published(version.version)
    wrong = [name for name in held.keys() | lists.keys() if held.get(name) != lists.get(name)]
    problems += [f"{name} is not published as it is" for name in sorted(wrong)[:3]]
    if of_users != segments:
        odd = sorted(of_users.items() ^ segments.items())[:3]
        problems.append(f"segments of {len(of_users)} users, must be of {len(segments)}: {odd}")
    if (meta["lists"], meta["keys"]) != (len(lists), meta["counted"]):
        problems.append(f"the version's meta has other counts than it: {meta}, {len(lists)} lists")
    problems += version_differs(version.version, lists)
    for user in [*segments][:SAMPLE]:
        found = from_valkey(user, n=1)
        if (found["source"], found.get("segment")) != ("segment", segments[user]):
            problems.append(f"{user} of {segments[user]}: the API answers {str(found)[:200]}")
    own = {name: offers for name, offers in lists.items() if name[0] != "segment"}
    problems += _baskets_differ(version.version, known, lists["new", ""])
    problems += _contents_differ(known, own)
    method = json.loads(version.candidates)
    folder = f"{m.held.root}/recommendations/{version.version}/models"
    rankers = {
        slot: Reranked(
            slot,
            known,
            method[slot],
            *stored(slot, lambda name: m.held.files().cat_file(f"{folder}/{name}")),
        )
        for slot in ("again", "new")
        if method[slot]["name"] == "re-ranked"
    }
    return (problems + _scores_differ(known, method, rankers, scored, category_of))[:20]


def _baskets_differ(version: str, known: Known, popular: list[Offer]) -> list[str]:
    """What goes with what, and the API's answer to a guest's basket of two products and one that nobody knows."""
    items, pairs = published_pairs(values_of(version), version)
    problems = pairs_differ(goes_with(known), pairs)
    if not pairs:
        return [*problems, f"nothing of {version} goes with anything: no basket is tried"]
    first = max(sorted(pairs), key=lambda item: len(pairs[item]))
    basket = [first, pairs[first][0][0], "no product"]
    found = ask("POST", "basket", {"n": str(LENGTH)}, {"items": basket})
    offers = [(it["item"], it["reason"], it.get("reason_item")) for it in found["items"]]
    must = basket_offers(basket, pairs, items, [item for item, _, _ in popular])[:LENGTH]
    if (found["version"], found["source"], offers) != (version, "basket", must):
        wrong = [pair for pair in zip(offers, must, strict=False) if pair[0] != pair[1]]
        problems.append(
            f"basket {basket}: {found['version']}, {found['source']}, {len(offers)} offers of "
            f"{len(must)}, first (is, must be) {wrong[:1]}"
        )
    return problems


def _contents_differ(known: Known, lists: Lists) -> list[str]:
    """Who has a list, of what, and how long; a reason is something that the user had."""
    problems = []
    for user in ["", *known.users]:
        had = {known.items[item] for item in known.had(user)} if user else set()
        for slot, offered in (("again", had), ("new", set(known.items) - had)):
            offers = lists.get((slot, user), [])
            items = {item for item, _, _ in offers}
            must = min(LENGTH, len(offered))
            if not items <= offered or len(offers) != must or len(items) != must:
                problems.append(
                    f"{slot} of {user!r}: {len(offers)} items, must be {must} of its own"
                )
            if not {of for _, _, of in offers if of is not None} <= had:
                problems.append(f"{slot} of {user!r} has a reason that it never had")
    if strange := {user for _, user in lists} - {"", *known.users}:
        problems.append(f"lists of others: {sorted(strange)[:3]}")
    return problems


def _scores_differ(
    known: Known,
    method: dict[str, Any],
    rankers: dict[str, Reranked],
    scored: Scored,
    category_of: dict[str, str | None],
) -> list[str]:
    """The scores of popular lists, and of some users' lists with their reasons, by the candidates that the
    version names."""
    everything = {*range(len(known.items))}
    popular = recent_popularity(known, method["popular"]["half_life"])
    problems = []
    for (slot, name), pairs in scored.items():
        if slot != "segment" and name:
            continue
        allowed = {
            at for at in everything if slot != "segment" or category_of[known.items[at]] == name
        }
        listed = [(item, score) for (item, _, _), score in pairs]
        problems += scores_differ(f"{slot} {name!r}", listed, known, (popular, popular), allowed)
    again = AGAIN.get(method["again"]["name"])
    by_again = again and again(known, method["again"])
    strong = method["new"].get("strong", method["new"])
    by_ease = ease(known, strong) if strong["name"] == "EASE" else None
    if not by_again and "again" not in rankers:
        problems.append(f"again is by {method['again']['name']}, which is not computed here")
    if by_ease is None and "new" not in rankers:
        problems.append(f"new is by {strong['name']}, which is not computed here")
    for user in known.users[:: max(len(known.users) // SAMPLE, 1)]:
        had = known.had(user)
        for slot, ranker in rankers.items():
            listed = [(item, score) for (item, _, _), score in scored.get((slot, user), [])]
            # Where ties between neighbours decide there is nothing to hold a list against.
            if (must := ranker(user)) is not None:
                problems += list_differs(f"{slot} of {user}", listed, must)
                problems += popular_differ(f"{slot} of {user}", listed[len(must) :], popular, known)
        if by_again:
            listed = [(item, score) for (item, _, _), score in scored["again", user]]
            problems += scores_differ(f"again of {user}", listed, known, by_again(user), had)
        if by_ease is None:
            continue
        new, taken, weights = by_ease
        what, pairs = f"new of {user}", scored.get(("new", user), [])
        if "new" not in rankers:
            own = [(item, score) for (item, _, of), score in pairs if of is not None]
            rest = [(item, score) for (item, _, of), score in pairs if of is None]
            problems += scores_differ(what, own, known, new(user), everything - had)
            problems += popular_differ(what, rest, popular, known)
        for (item, _, of), _ in pairs:
            if of is not None:
                at = (known.item_at[item], known.item_at[of], known.user_at[user])
                problems += reason_differs(what, *at, taken, weights)
    return problems
