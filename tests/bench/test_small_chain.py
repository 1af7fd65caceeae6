"""Where a small day's time and CPU go, task by task."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import psutil
import pytest

from aims import small_aims
from figures import PATH, along_path, chain_of
from service_cpu import CpuOverTime


def day(*, each: float = 1.0, wait: float = 0.25) -> dict[str, Any]:
    """A day whose tasks all take as long, with one beside them that nothing waits for."""
    tasks = [
        {"task": task, "started_seconds": wait + (wait + each) * place, "seconds": each}
        for place, task in enumerate(PATH)
    ]
    beside = {"task": "drop_staging", "started_seconds": 1.0, "seconds": 9.0}
    cpu = {task: {"spark": 0.5, "airflow-scheduler": 0.25, "inbox": 0.125} for task in PATH}
    return {"tasks": [beside, *tasks], "cpu": cpu, "wall_seconds": (wait + each) * len(PATH)}


def test_waits_and_tasks_together_are_the_whole_way() -> None:
    path = along_path(day())
    assert list(path) == list(PATH)
    assert set(path.values()) == {(0.25, 1.0)}
    rows = chain_of(day())
    assert rows["publish"] == [0.25, 1.0, 0.25, 0.5, 0.0, 0.875]
    assert sum(rows["together"][:2]) == day()["wall_seconds"]
    assert rows["together"][-1] == 0.875 * len(PATH)


def test_the_aim_is_judged_by_the_middle_day() -> None:
    short, met = 13.5, 11.25
    for seconds, state in (((short, met, short), "short"), ((met, short, met), "met")):
        days = [{"wall_seconds": each} for each in seconds]
        (aim,) = small_aims({"lines": 10_000, "days": days})
        assert aim.state == state and "10,000 lines" in aim.aim
    assert [aim.state for aim in small_aims(None)] == ["not measured"]


def test_cpu_between_two_readings_is_even_and_none_is_lost() -> None:
    cpu = CpuOverTime(os.getpid(), {})
    cpu._times = [10.0, 12.0, 13.0]
    cpu._readings = [{"a": 1.0}, {"a": 3.0, "b": 1.0}, {"a": 4.0, "b": 5.0}]
    assert cpu.between(11.0, 12.5) == {"a": 1.5, "b": 2.5}
    parts = [cpu.between(began, began + 0.5) for began in (10.0, 10.5, 11.0, 11.5, 12.0, 12.5)]
    assert sum(each["a"] for each in parts) == pytest.approx(3.0)
    assert sum(each.get("b", 0.0) for each in parts) == pytest.approx(5.0)
    # What was before the first reading, or comes after the last, is not known.
    assert cpu.between(0.0, 99.0) == {"a": 3.0, "b": 5.0}


def test_what_a_services_children_have_used_is_its_own() -> None:
    worker = "sum(range(10**7))"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{worker}']); print(); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as service:
        assert service.stdout is not None
        cpu = CpuOverTime(os.getpid(), {service.pid: "service"})
        with cpu.sampling():
            service.stdout.readline()  # the child has ended
        children = psutil.Process(service.pid).cpu_times().children_user
        service.communicate(b"\n")
    assert cpu.between(0.0, time.time())["service"] >= children > 0
