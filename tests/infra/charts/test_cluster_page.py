"""docs/spark-cluster.md takes its figures from the benchmarks, reckons rightly, and says what the values are."""

from __future__ import annotations

import json
import re
from typing import Any

import botocore.session
import pytest
import yaml
from botocore.validate import validate_parameters

from checkout import REPOSITORY
from feira.core.settings import LakeSettings
from feira_spark.core.session import spark_conf

PAGE = (REPOSITORY / "docs" / "spark-cluster.md").read_text()
BENCHMARKS = (REPOSITORY / "docs" / "benchmarks.md").read_text()
APPLICATION = json.loads((REPOSITORY / "infra" / "emr-serverless" / "application.json").read_text())
_NUMBER = r"\d[\d,]*(?:\.\d+)?"
_TERM = rf"\(?{_NUMBER}\)?"
_REASON = re.compile(rf"({_TERM}(?: [×/+−] {_TERM})+) = (−?{_NUMBER})")


def reckonings(page: str) -> list[tuple[str, float, float]]:
    """Each sum of a page: as it is written, what it says, and what it is."""
    found = []
    for left, right in _REASON.findall(page):
        plain = left.replace("×", "*").replace("−", "-").replace(",", "")
        assert re.fullmatch(r"[\d.()*/+\- ]+", plain)
        found.append((left, float(right.replace("−", "-").replace(",", "")), float(eval(plain))))
    return found


def misreckoned(page: str) -> list[str]:
    """The sums that are off by more than their last digit."""
    return [
        f"{left} is {actual:.4f}, not {said}"
        for left, said, actual in reckonings(page)
        if abs(said - actual) > 0.0501 + 0.001 * abs(actual)
    ]


def test_every_sum_is_right() -> None:
    assert len(reckonings(PAGE)) > 20
    assert misreckoned(PAGE) == []
    assert misreckoned(PAGE.replace("50 × 4 = 200", "50 × 4 = 250")) == [
        "50 × 4 is 200.0000, not 250.0"
    ]


def test_its_measured_figures_are_those_of_the_benchmarks() -> None:
    (table,) = re.findall(r"\| of the benchmarks \|.*?\n\n", PAGE, re.DOTALL)
    figures = re.findall(_NUMBER, table)
    assert len(figures) >= 11
    for figure in figures:
        assert re.search(rf"(?<![\d.,]){re.escape(figure)}(?![\d])", BENCHMARKS), figure
    for figure in ("33.1", "94.7"):
        assert f"{figure} |" in BENCHMARKS


def test_the_values_are_those_that_were_worked_out() -> None:
    values = yaml.safe_load(
        (REPOSITORY / "infra" / "charts" / "spark-connect" / "values.yaml").read_text()
    )
    executors = values["executors"]
    assert (executors["min"], executors["max"], executors["cores"]) == (2, 50, 4)
    assert f"{executors['max']} × {executors['memory'] + executors['overhead']} = 650 GiB" in PAGE
    assert f"{executors['max']} × {executors['disk']} = 2,000 GiB" in PAGE
    assert f"= {values['shufflePartitions']}: 10,000,000" in PAGE
    assert f"10 × {executors['idleSeconds']} / 60" in PAGE


def violations(request: dict[str, Any]) -> str:
    model = botocore.session.get_session().get_service_model("emr-serverless")
    shape = model.operation_model("CreateApplication").input_shape
    assert shape is not None and shape.members.keys() >= request.keys(), request.keys()
    try:
        validate_parameters(request | {"clientToken": "x"}, shape)
    except Exception as error:
        return str(error)
    return ""


def test_aws_knows_the_request_for_emr_serverless() -> None:
    assert violations(APPLICATION) == ""
    assert "maximumCapacity" in violations(APPLICATION | {"maximumCapacity": {"cpu": "1 vCPU"}})
    with pytest.raises(AssertionError):
        violations(APPLICATION | {"maximumCapacities": {}})


def test_emr_serverless_has_the_platforms_settings_and_room_for_its_executors() -> None:
    (defaults,) = APPLICATION["runtimeConfiguration"]
    stated = defaults["properties"]
    lake = LakeSettings(root="s3://feira-lake", region="eu-central-1", catalog="glue")
    expected = spark_conf(lake, cores=200)
    del expected["spark.ui.enabled"]  # EMR shows it itself
    assert expected.items() <= stated.items()
    most = int(stated["spark.dynamicAllocation.maxExecutors"])
    cores = int(stated["spark.executor.cores"])
    memory = int(stated["spark.executor.memory"][:-1]) + int(
        stated["spark.executor.memoryOverhead"][:-1]
    )
    capacity = {name: int(text.split()[0]) for name, text in APPLICATION["maximumCapacity"].items()}
    # A worker of 4 vCPU may have 8 to 30 GB; the driver is one more.
    assert cores == 4 and 8 <= memory <= 30
    assert capacity == {
        "cpu": (most + 1) * cores,
        "memory": (most + 1) * memory,
        "disk": (most + 1) * 40,
    }
