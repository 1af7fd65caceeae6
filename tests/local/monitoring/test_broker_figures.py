"""A real broker's topics, how much of them no run has read, and the heap of its JVM."""

from __future__ import annotations

import json
import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from feira.monitoring.figures import Figures
from feira.monitoring.topics import Topics
from feira_local.monitoring.heaps import Heaps, NoHeapError, counters
from kafka_broker import temporary_broker


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with temporary_broker(tmp_path_factory.mktemp("kafka") / "home") as bootstrap:
        yield bootstrap


@pytest.mark.slow
def test_what_no_run_has_read_is_counted_from_the_last_that_one_has(broker: str) -> None:
    producer = Producer({"bootstrap.servers": broker})
    for number in range(5):
        producer.produce("user_events", value=b"x", partition=number % 2)
    assert producer.flush(60) == 0
    read: dict[str, int] | None = None
    figures = Figures()
    topics = Topics({"bootstrap.servers": broker}, ("user_events", "absent"), lambda: read)

    def unread() -> float | None:
        topics.collect(figures)
        return figures.registry.get_sample_value(
            "feira_topic_unread_messages", {"topic": "user_events"}
        )

    def read_up_to() -> list[float | None]:
        return [
            figures.registry.get_sample_value(
                "feira_topic_read_offset", {"topic": "user_events", "partition": str(number)}
            )
            for number in range(2)
        ]

    # While the catalog has not answered, the whole topic must not pass for unread.
    assert unread() is None and read_up_to() == [None, None]
    read = {}
    assert unread() == 5 and read_up_to() == [0, 0]
    read = {"user_events/0": 2, "user_events/1": 2}
    assert unread() == 1 and read_up_to() == [2, 2]
    # A topic that was made anew is shorter than what was read of the one before: all of it is unread, also
    # when it has become longer, until a run has read it.
    read["user_events/0"] = 4
    assert unread() == 3 and read_up_to() == [0, 2]
    for _ in range(2):
        producer.produce("user_events", value=b"x", partition=0)
    assert producer.flush(60) == 0
    assert unread() == 5 and read_up_to() == [0, 2]
    read["user_events/0"] = 5
    assert unread() == 0 and read_up_to() == [5, 2]
    ends = [
        figures.registry.get_sample_value(
            "feira_topic_end_offset", {"topic": "user_events", "partition": str(number)}
        )
        for number in range(2)
    ]
    assert ends == [5, 2]
    # Of a topic that is not found any more nothing is shown.
    topics.names = ("absent",)
    assert unread() is None and read_up_to() == [None, None]


def test_what_was_removed_unread_is_not_unread_and_other_topics_have_nobody_to_read_them(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"bootstrap.servers": broker}
    producer = Producer(options)
    for topic in ("user_events", "user_events.dead"):
        for number in range(6):
            producer.produce(
                topic, value=b"x", partition=number % 2 if topic == "user_events" else 0
            )
    assert producer.flush(60) == 0
    # As retention does.
    admin = AdminClient(options)
    removed = admin.delete_records([TopicPartition("user_events", 0, 2)])
    assert all(each.result(60).low_watermark == 2 for each in removed.values())
    figures = Figures()
    topics = Topics(options, ("user_events", "user_events.dead"), lambda: {"user_events/1": 1})

    def value(name: str, topic: str, **more: str) -> float | None:
        labels = {"topic": topic, **more}
        return figures.registry.get_sample_value(f"feira_topic_{name}", labels)

    topics.collect(figures)
    ends = [value("end_offset", "user_events", partition=str(number)) for number in range(2)]
    assert value("unread_messages", "user_events") == sum(each or 0 for each in ends) - 2 - 1
    assert value("end_offset", "user_events.dead", partition="0") == 6
    assert value("unread_messages", "user_events.dead") is None
    # One that runs read and that is not there has none that are unread.
    monkeypatch.setattr("feira.monitoring.topics.READ_BY_RUNS", "absent")
    topics.names = ("absent",)
    topics.collect(figures)
    assert value("unread_messages", "absent") is None


def test_the_heap_of_a_jvm_is_read_from_its_own_counters(
    broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # HotSpot heeds no TMPDIR.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "elsewhere"))
    port = int(broker.rsplit(":", 1)[1])
    pid = next(
        child.pid
        for child in psutil.Process().children(recursive=True)
        if port in {each.laddr.port for each in child.net_connections() if each.laddr}
    )
    entry = {"pid": pid, "started": psutil.Process(pid).create_time(), "boot": psutil.boot_time()}
    (tmp_path / "leaders").mkdir()
    (tmp_path / "leaders" / "kafka").write_text(json.dumps(entry) + "\n")
    ended = entry | {"started": entry["started"] - 100}
    (tmp_path / "leaders" / "gone").write_text(json.dumps(ended) + "\n")
    figures, heaps = Figures(), Heaps(tmp_path)
    heaps.collect(figures)

    def value(name: str, service: str) -> float | None:
        return figures.registry.get_sample_value(name, {"service": service})

    limit = value("feira_jvm_old_limit_bytes", "kafka")
    # Of -Xmx512m the serial collector gives two thirds to the old generation.
    assert limit is not None and 300 * 2**20 < limit <= 512 * 2**20
    # Of what its collections left before nothing is known.
    assert value("feira_jvm_old_used_bytes", "kafka") is None
    assert value("feira_jvm_old_limit_bytes", "gone") is None
    # Of a JVM that has ended, what it held last is no figure.
    (tmp_path / "leaders" / "kafka").write_text(json.dumps(ended) + "\n")
    heaps.collect(figures)
    assert value("feira_jvm_old_limit_bytes", "kafka") is None


def test_spark_that_lives_without_a_heap_is_an_error_that_says_where_was_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "leaders").mkdir()
    # This process is no JVM.
    entry = {
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
        "boot": psutil.boot_time(),
    }
    (tmp_path / "leaders" / "airflow").write_text(json.dumps(entry) + "\n")
    Heaps(tmp_path).collect(Figures())
    (tmp_path / "leaders" / "spark").write_text(json.dumps(entry) + "\n")
    with pytest.raises(NoHeapError, match=rf"spark .*{os.getpid()}.*{tmp_path}/hsperfdata_"):
        Heaps(tmp_path).collect(Figures())


def hsperfdata(order: str, *entries: tuple[str, str, int, bytes]) -> bytes:
    """A file of counters: of each its name, kind, length as an array, and value."""
    body = b""
    for name, kind, vector, value in entries:
        at = 20 + len(name) + 1
        of = (at + len(value), 20, vector, ord(kind), 0, 0, 0, at)
        body += struct.pack(f"{order}iiibbbbi", *of) + name.encode() + b"\0" + value
    flags = bytes((order == "<", 2, 0, 1))
    head = b"\xca\xfe\xc0\xc0" + flags + bytes(16) + struct.pack(f"{order}ii", 32, len(entries))
    return head + body


def test_of_a_heap_what_its_last_full_collection_left_lives_on_and_no_garbage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "leaders").mkdir()
    (tmp_path / "hsperfdata_me").mkdir()
    figures, heaps = Figures(), Heaps(tmp_path)

    def left(used: int, collections: int, pid: int = os.getpid()) -> float | None:
        entry = {"pid": pid, "started": psutil.Process(pid).create_time()}
        entry["boot"] = psutil.boot_time()
        (tmp_path / "leaders" / "s3").write_text(json.dumps(entry) + "\n")
        old = "sun.gc.generation.1.space.0."
        named = {f"{old}used": used, f"{old}maxCapacity": 100}
        named["sun.gc.collector.1.invocations"] = collections
        numbers = ((name, "J", 0, struct.pack("<q", value)) for name, value in named.items())
        (tmp_path / "hsperfdata_me" / str(pid)).write_bytes(hsperfdata("<", *numbers))
        heaps.collect(figures)
        assert (
            figures.registry.get_sample_value("feira_jvm_old_limit_bytes", {"service": "s3"}) == 100
        )
        return figures.registry.get_sample_value("feira_jvm_old_used_bytes", {"service": "s3"})

    # When the last collection was is not known, nor what it left.
    assert [left(used, 3) for used in (91, 95, 99)] == [None] * 3
    # The first look after it may come late; a part that is collected later was garbage.
    assert [left(used, 4) for used in (40, 60, 30, 99)] == [40, 40, 30, 30]
    # Two between two looks.
    assert [left(used, 6) for used in (93, 97)] == [93, 93]
    # Another process of the service.
    assert [left(96, 7, os.getppid()), left(50, 8, os.getppid())] == [None, 50]
    # One whose number is the same and whose collections begin anew.
    assert [left(60, 0, os.getppid()), left(70, 0, os.getppid())] == [None, None]
    assert left(20, 1, os.getppid()) == 20


@pytest.mark.parametrize("order", ["<", ">"])
def test_counters_are_the_numbers_of_the_file_and_none_of_one_that_is_cut_off(order: str) -> None:
    two = (struct.pack(f"{order}q", value) for value in (7, 2**40))
    whole = hsperfdata(
        order,
        ("sun.gc.used", "J", 0, next(two)),
        ("java.version", "B", 8, b"17.0.19\0"),
        ("sun.gc.limit", "J", 0, next(two)),
    )
    assert counters(whole) == {"sun.gc.used": 7, "sun.gc.limit": 2**40}
    for length in range(len(whole)):
        assert counters(whole[:length]) == {}
    assert counters(b"\xca\xfe\xba\xbe" + whole[4:]) == {}
    # One that is being made has lengths of 0.
    assert counters(whole[:32] + bytes(len(whole))) == {}
