"""The broker of a laptop: on loopback, keeping whatever day is replayed, with the topics of the pipelines."""

from __future__ import annotations

import json
import subprocess
import uuid
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from feira_local.kafka import local, topics
from feira_local.stack import airflow
from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.local_parts import LocalPart, local_parts
from feira_local.stack.secrets import load_secrets


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    found = StackConfig.from_env({"FEIRA_HOME": str(tmp_path / "a,b c"), "FEIRA_PORT_OFFSET": "7"})
    found.make_folders()
    return found


def test_the_broker_listens_on_loopback_and_keeps_messages_of_any_day(config: StackConfig) -> None:
    stated = local.properties(config)
    assert stated["listeners"] == "PLAINTEXT://127.0.0.1:19099,CONTROLLER://127.0.0.1:19100"
    assert stated["advertised.listeners"] == "PLAINTEXT://127.0.0.1:19099"
    assert stated["controller.quorum.voters"] == "1@127.0.0.1:19100"
    assert stated["log.retention.ms"] == "-1"
    assert stated["auto.create.topics.enable"] == "false"
    # Kafka splits a list of folders at commas, and Java's properties take a backslash for an escape.
    assert not [value for value in stated.values() if str(config.home) in value or "\\" in value]


def test_its_connection_is_of_the_kafka_providers_type(config: StackConfig) -> None:
    found = airflow.connections(config, load_secrets(config.home))["AIRFLOW_CONN_KAFKA_DEFAULT"]
    assert json.loads(found) == {
        "conn_type": "kafka",
        "extra": {"bootstrap.servers": "127.0.0.1:19099", "group.id": "feira"},
    }


def test_its_folder_is_formatted_once(config: StackConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], cwd: Path, **_: Any) -> SimpleNamespace:
        ran.append(command)
        (cwd / "data").mkdir()
        (cwd / "data" / "meta.properties").touch()
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    for _ in range(2):
        local.prepare(config, load_secrets(config.home))
    assert len(ran) == 1
    settings = config.home / "kafka" / "server.properties"
    assert settings.stat().st_mode & 0o077 == 0
    assert "log.dirs=data\n" in settings.read_text()


def test_a_cluster_whose_id_begins_with_a_dash_is_formatted(
    config: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Kafka's own command."""
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(bytes=b"\xf8" * 16))
    local.prepare(config, load_secrets(config.home))
    found = (config.home / "kafka" / "data" / "meta.properties").read_text()
    assert "cluster.id=-Pj4" in found


def test_a_folder_that_cannot_be_formatted_is_named_with_the_cause(
    config: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = SimpleNamespace(returncode=1, stderr="No space left on device\n", stdout="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(StackError, match=r"kafka/data .*: No space left"):
        local.prepare(config, load_secrets(config.home))


class Admin:
    """A broker with some topics; it makes those that it is asked for, or fails."""

    def __init__(self, there: dict[str, int], error: KafkaException | None = None) -> None:
        self.there, self.error = there, error

    def list_topics(self, timeout: float) -> SimpleNamespace:
        found = {
            name: SimpleNamespace(partitions=dict.fromkeys(range(of)))
            for name, of in self.there.items()
        }
        return SimpleNamespace(topics=found)

    def create_topics(self, wanted: list[Any]) -> dict[str, Future[None]]:
        made: dict[str, Future[None]] = {}
        for topic in wanted:
            self.there[topic.topic] = topic.num_partitions
            made[topic.topic] = Future()
            if self.error:
                made[topic.topic].set_exception(self.error)
            else:
                made[topic.topic].set_result(None)
        return made


def test_topics_that_are_missing_are_made_and_the_others_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = Admin({"user_events": 8, "mine": 3})
    monkeypatch.setattr(topics, "AdminClient", lambda _: broker)
    assert topics.make_topics("127.0.0.1:1") == ["user_events.dead"]
    assert broker.there == {"user_events": 8, "mine": 3, "user_events.dead": 1}
    assert topics.make_topics("127.0.0.1:1") == []


def test_topics_are_those_of_every_part_and_each_has_one_owner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert topics.declared_topics() == {"user_events": 8, "user_events.dead": 1}
    baskets = LocalPart("baskets", topics={"baskets": 3})
    monkeypatch.setattr(topics, "local_parts", lambda: (*local_parts(), baskets))
    assert topics.declared_topics()["baskets"] == 3
    visits = LocalPart("visits", topics={"user_events": 8})
    monkeypatch.setattr(topics, "local_parts", lambda: (*local_parts(), visits))
    with pytest.raises(topics.TopicsError, match=r"web and visits .* user_events"):
        topics.declared_topics()


def test_a_topic_with_another_number_of_partitions_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topics, "AdminClient", lambda _: Admin({"user_events": 4}))
    with pytest.raises(topics.TopicsError, match=r"user_events at 127.0.0.1:1 has 4 .* not 8"):
        topics.make_topics("127.0.0.1:1")


def test_topics_that_another_start_makes_at_the_same_time_are_no_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = KafkaException(KafkaError(KafkaError.TOPIC_ALREADY_EXISTS, "it is there"))
    monkeypatch.setattr(topics, "AdminClient", lambda _: Admin({}, error))
    assert topics.make_topics("127.0.0.1:1") == []


def test_what_kafka_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    error = KafkaException(KafkaError(KafkaError.POLICY_VIOLATION, "no more topics"))
    monkeypatch.setattr(topics, "AdminClient", lambda _: Admin({}, error))
    with pytest.raises(topics.TopicsError, match=r"127\.0\.0\.1:1: no more topics"):
        topics.make_topics("127.0.0.1:1")
