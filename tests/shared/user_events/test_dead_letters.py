"""Dead letters go to their topic as they came, each once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from feira.user_events.codec import DEAD_TOPIC
from feira.user_events.dead_letters import DeadLetter, Sent, places, send
from feira.user_events.offsets import BrokerError, OffsetsError
from user_event_kafka import DeadTopic, Stored

LETTERS = [
    DeadLetter("user_events", 0, 7, b"17850", b"\x07", "magic_byte"),
    DeadLetter("user_events", 0, 9, None, None, "value_missing"),
    DeadLetter("user_events", 3, 7, b"\xff", b"", "sku_blank,user_id_blank"),
    DeadLetter("user_events", 3, 8, b"", b"\x00\x00", "schema_id"),
    DeadLetter("user_events", 4, 0, b"1", b"1", "magic_byte"),
]


def topic(**fields: object) -> DeadTopic:
    return DeadTopic(DEAD_TOPIC, **fields)  # type: ignore[arg-type]


def test_a_dead_letter_is_the_message_as_it_came_with_its_reason_and_place() -> None:
    dead = topic()
    assert send(LETTERS, dead, dead) == Sent(5, 0)
    assert [(each.sent_key, each.sent_value) for each in dead.stored] == [
        (each.key, each.value) for each in LETTERS
    ]
    assert dead.stored[2].sent_headers == [
        ("reason", b"sku_blank,user_id_blank"),
        ("topic", b"user_events"),
        ("partition", b"3"),
        ("offset", b"7"),
    ]


def test_a_retry_sends_what_is_missing_and_another_run_nothing() -> None:
    dead = topic(low=100)
    assert send(LETTERS[:3], dead, dead) == Sent(3, 0)
    assert send(LETTERS, dead, dead) == Sent(2, 3)
    assert send(LETTERS, dead, dead) == Sent(0, 5)
    assert len(dead.stored) == 5
    # Retention removes the oldest: these come again, and no other.
    dead.stored, dead.low = dead.stored[2:], 102
    assert send(LETTERS, dead, dead) == Sent(2, 3)


def test_a_message_at_the_same_offset_of_a_topic_that_was_made_anew_is_another_one() -> None:
    first, second = (
        [replace(letter, topic_id=topic_id) for letter in LETTERS] for topic_id in ("AAAA", "AAAB")
    )
    dead = topic()
    assert send(first, dead, dead) == Sent(5, 0)
    assert send(second, dead, dead) == Sent(5, 0)
    assert send([*first, *second], dead, dead) == Sent(0, 10)
    assert dict(dead.stored[5].sent_headers or ())["topic_id"] == b"AAAB"


def test_what_others_put_there_is_no_dead_letter_of_ours() -> None:
    strange = [None, [], [("topic", b"user_events")], [("topic", b"t"), ("partition", b"x")]]
    dead = topic(stored=[Stored(headers, at=(0, n)) for n, headers in enumerate(strange)])
    dead.stored.append(Stored([("topic", b"t"), ("partition", b"1"), ("offset", None)], at=(0, 4)))
    assert places(dead) == set()
    assert send(LETTERS, dead, dead) == Sent(5, 0)
    assert len(places(dead)) == 5


def test_more_than_the_client_keeps_wait_for_those_before_them() -> None:
    dead = topic(full_after=2)
    assert send(LETTERS, dead, dead) == Sent(5, 0)
    assert len(dead.stored) == 5


def test_one_that_is_not_stored_fails_the_sending_and_the_next_try_sends_it() -> None:
    dead = topic(refused={1})
    with pytest.raises(BrokerError, match=r"1 of 5 .*not stored: .*timed out"):
        send(LETTERS, dead, dead)
    assert send(LETTERS, dead, dead) == Sent(1, 4)


@pytest.mark.parametrize("limit", ["most_bytes", "most_stored"])
def test_one_that_is_too_large_leaves_key_and_value_where_they_are(limit: str) -> None:
    large = replace(LETTERS[0], offset=8, key=b"k" * 300, value=b"v" * 400)
    dead = topic(most_bytes=2_000, most_stored=2_000)
    setattr(dead, limit, 700)
    assert send([*LETTERS[:2], large, *LETTERS[2:]], dead, dead) == Sent(6, 0)
    (left,) = [each for each in dead.stored if "left_bytes" in dict(each.sent_headers or ())]
    assert (left.sent_key, left.sent_value) == (None, None)
    named = dict(left.sent_headers or ())
    assert (named["offset"], named["reason"], named["left_bytes"]) == (b"8", b"magic_byte", b"700")
    # The others are as they came, those among them that were refused with it.
    others = {(each.sent_key, each.sent_value) for each in dead.stored if each is not left}
    assert others == {(each.key, each.value) for each in LETTERS}
    assert send([*LETTERS, large], dead, dead) == Sent(0, 6)


def test_a_topic_that_takes_not_even_the_place_of_one_is_no_success() -> None:
    dead = topic(most_stored=10)
    with pytest.raises(BrokerError, match=r"1 of 1 .*not stored: .*too large"):
        send(LETTERS[:1], dead, dead)


def test_a_broker_that_falls_silent_is_no_success() -> None:
    with pytest.raises(BrokerError, match=r"5 of 5 .*stored: no answer"):
        send(LETTERS, topic(silent=True), topic())
    full = topic(stored=[Stored(None)], silent=True)
    with pytest.raises(BrokerError, match=r"sent nothing .*30 s"):
        places(full)


def test_without_their_topic_nothing_is_sent() -> None:
    with pytest.raises(OffsetsError, match=f"no topic {DEAD_TOPIC}"):
        send(LETTERS, topic(), DeadTopic("other"))
