"""The exporter: one source that fails stops no other, and what is exported has bounded labels."""

from __future__ import annotations

import threading
import urllib.request
from dataclasses import dataclass, field

import psutil
import pytest

from feira.monitoring.exporter import collect, serve
from feira.monitoring.figures import OUTCOMES, Figures, Shown
from temporary_postgres import free_port

# Of all names: nothing that grows with customers, orders, days or runs.
LABELS = {
    "source", "dag", "task", "state", "asset", "component", "dataset", "rule", "gate", "outcome",
    "topic", "table", "channel", "partition", "folder", "service", "database",
}  # fmt: skip


@dataclass
class Answers:
    name: str
    asked: threading.Event = field(default_factory=threading.Event)

    def collect(self, figures: Figures) -> None:
        figures.held_days.set(3)
        self.asked.set()


@dataclass
class Refuses:
    name: str = "refuses"
    error: Exception = field(default_factory=lambda: ConnectionError("no route\nto it"))

    def collect(self, figures: Figures) -> None:
        raise self.error


def test_a_source_that_does_not_answer_is_shown_and_stops_no_other() -> None:
    figures = Figures()
    garbled = Refuses("garbled", KeyError("dags"))
    collect([Refuses(), garbled, Answers("answers")], figures)
    up = {
        name: figures.registry.get_sample_value("feira_source_up", {"source": name})
        for name in ("refuses", "garbled", "answers")
    }
    assert up == {"refuses": 0, "garbled": 0, "answers": 1}
    assert figures.registry.get_sample_value("feira_held_days") == 3


def test_how_old_the_figures_are_is_known_while_a_source_is_still_to_answer() -> None:
    figures = Figures()

    def last() -> float:
        found = figures.registry.get_sample_value("feira_exporter_last_poll_timestamp_seconds")
        assert found is not None
        return found

    seen: list[float] = []

    class Slow:
        name = "slow"

        def collect(self, figures: Figures) -> None:
            seen.append(last())

    begun = last()
    assert begun > 0
    collect([Slow(), Refuses()], figures)
    ended = last()
    collect([Slow()], figures)
    assert seen == [begun, ended] and begun < ended < last()


def test_it_is_served_on_the_address_it_was_given_until_it_is_stopped() -> None:
    figures, source, stop, port = Figures(), Answers("answers"), threading.Event(), free_port()
    thread = threading.Thread(
        target=serve,
        args=([source], figures),
        kwargs={"host": "127.0.0.1", "port": port, "seconds": 60, "stop": stop},
    )
    thread.start()
    try:
        assert source.asked.wait(20)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert "feira_held_days 3.0" in answer.read().decode()
        listening = {
            each.laddr.ip
            for each in psutil.Process().net_connections()
            if each.status == psutil.CONN_LISTEN and each.laddr.port == port
        }
        assert listening == {"127.0.0.1"}
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()


def test_labels_are_bounded() -> None:
    figures = Figures()
    used = {
        label for metric in vars(figures).values() for label in getattr(metric, "_labelnames", ())
    }
    assert used == LABELS


def test_a_gate_has_one_outcome_at_a_time() -> None:
    figures = Figures()
    for outcome in ("passed", "refused"):
        figures.judged("sales.landing", outcome)
    found = {
        each: figures.registry.get_sample_value(
            "feira_gate_outcome", {"gate": "sales.landing", "outcome": each}
        )
        for each in OUTCOMES
    }
    assert found == dict.fromkeys(OUTCOMES, 0.0) | {"refused": 1.0}
    with pytest.raises(ValueError, match="good"):
        figures.judged("sales.landing", "good")


def test_what_a_source_finds_no_more_has_no_figure_and_what_another_shows_stays() -> None:
    figures, one, other = Figures(), Shown(), Shown()

    def held(metric: str) -> dict[tuple[str, ...], float]:
        return {
            tuple(sample.labels.values()): sample.value
            for family in figures.registry.collect()
            for sample in family.samples
            if sample.name == metric
        }

    one.replace(figures.newest_partition, {"sales.fact": 1, "sales.landing": 2})
    other.replace(figures.newest_partition, {"web.user_events": 3})
    one.replace(figures.topic_end, {("user_events", "0"): 7})
    one.replace(figures.newest_partition, {"sales.landing": 4})
    expected = {("sales.landing",): 4.0, ("web.user_events",): 3.0}
    assert held("feira_table_newest_partition_timestamp_seconds") == expected
    assert held("feira_topic_end_offset") == {("user_events", "0"): 7.0}
    one.replace(figures.newest_partition, {})
    other.replace(figures.newest_partition, {"web.user_events": 5, "sales.fact": 6})
    expected = {("web.user_events",): 5.0, ("sales.fact",): 6.0}
    assert held("feira_table_newest_partition_timestamp_seconds") == expected
