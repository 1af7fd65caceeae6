"""XCom carries paths and counts, never data."""

from __future__ import annotations

import inspect
import re
from datetime import date
from decimal import Decimal
from types import NoneType, SimpleNamespace
from typing import Any, get_args, get_type_hints

import pandas as pd
import pytest
from airflow.sdk import XComArg
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.context import set_current_context

from feira_airflow.core.pipelines import pipelines
from feira_airflow.core.xcom import XComValueError, check, fields_of, result_of
from feira_spark.core.day import Loaded

LOADED = {
    "snapshot_id": "7",
    "landing_version": 1,
    "inserted": 2,
    "updated": 0,
    "deleted": 0,
    "day_rows": 2,
}


def test_a_result_is_read_whichever_release_has_written_it() -> None:
    older = Loaded("7", 1, 2, 0, 0, 2)
    assert result_of("load", Loaded, LOADED) == older
    newer = LOADED | {"staged": "lake.staging.x", "compressed": True}
    assert result_of("load", Loaded, newer) == Loaded("7", 1, 2, 0, 0, 2, "lake.staging.x")


@pytest.mark.parametrize(
    ("kept", "missing"),
    [(None, "snapshot_id, landing_version, .*day_rows")]
    + [({k: v for k, v in LOADED.items() if k != gone}, gone) for gone in LOADED],
)
def test_a_result_that_is_gone_is_named_with_the_task_to_clear(kept: Any, missing: str) -> None:
    with pytest.raises(
        AirflowFailException,
        match=rf"^XCom has no {missing} of load: .*Clear load and what follows",
    ):
        result_of("load", Loaded, kept)


@pytest.mark.parametrize("kept", [5, "manifest", ["manifest"], [], {}])
def test_a_result_that_is_no_dict_of_fields_has_none_of_them(kept: Any) -> None:
    with pytest.raises(AirflowFailException, match=r"^XCom has no manifest of land: "):
        fields_of("land", kept, "manifest")
    assert fields_of("land", {"a": None, "b": 2, "c": 3}, "b", "a") == [2, None]


class Kept(dict[str, Any]):
    """A result with every field."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return name


def before(task: Any) -> list[str]:
    """The tasks whose results it takes."""
    return [source.task_id for source, _ in XComArg.iter_xcom_references(task)]


def taken(task: Any) -> dict[str, str]:
    """Whose result each parameter of such a task is, unless it may be None."""
    given = inspect.signature(task.python_callable).bind(*task.op_args, **task.op_kwargs)
    types = get_type_hints(task.python_callable)
    return {
        name: source.task_id
        for name, value in given.arguments.items()
        for source, _ in XComArg.iter_xcom_references(value)
        if NoneType not in get_args(types[name])
    }


def told_to_clear(dag: Any, task: Any, given: dict[str, Any], lost: set[str]) -> tuple[str, str]:
    """Of a task in a run of which XCom has lost those results: which it lacks, and which task to clear."""
    ti = SimpleNamespace(xcom_pull=lambda task_ids: None if task_ids in lost else Kept(a=1))
    context: Any = {"dag": dag, "ti": ti}
    with set_current_context(context), pytest.raises(AirflowFailException) as failed:
        task.python_callable(**given)
    found = re.fullmatch(
        r"XCom has no .+ of (\w+): .* Clear (\w+) and what follows it\.", str(failed.value)
    )
    assert found is not None, str(failed.value)
    return found[1], found[2]


@pytest.mark.parametrize("dag_id", [each for found in pipelines() for each in found.dags])
def test_every_task_names_what_xcom_has_lost_and_the_first_task_to_clear(
    dags: dict[str, Any], dag_id: str
) -> None:
    dag = dags[dag_id]
    everything = {task.task_id for task in dag.tasks}
    for task in filter(before, dag.tasks):
        results = taken(task)
        given = dict.fromkeys(inspect.signature(task.python_callable).parameters, Kept())
        for name, source in results.items():
            assert told_to_clear(dag, task, given | {name: None}, {source}) == (source, source)
        if results:
            lacks, first = told_to_clear(dag, task, dict.fromkeys(given), everything)
            assert lacks in results.values()
            # Cleared it lacks nothing, and all that this task takes is made anew.
            assert before(dag.get_task(first)) == []
            after = dag.get_task(first).get_flat_relative_ids(upstream=False) | {first}
            assert set(results.values()) <= after


@pytest.mark.parametrize(
    "value",
    [
        None,
        "s3://feira-lake/landing/sales/2010-12-01/v0001/manifest.json",
        {"manifest": "s3://…", "lines": 3108},
        {"broken": {"sku_blank": 3}},
        ["a", "b"],
    ],
)
def test_paths_and_counts_pass(value: Any) -> None:
    check(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("x" * 2100, "2,102 bytes; XCom takes at most 2,048"),
        ([{"order_id": "1"}, {"order_id": "2"}], "returned 2 rows"),
        ({"rows": [[1, 2], [3, 4]]}, "returned 2 rows"),
        (pd.DataFrame({"a": [1]}), "pandas.*DataFrame"),
        ({"revenue": Decimal("1.10")}, "decimal.Decimal"),
        (date(2010, 12, 1), "datetime.date"),
        (b"bytes", "builtins.bytes"),
    ],
)
def test_data_is_refused_with_what_to_return_instead(value: Any, message: str) -> None:
    with pytest.raises(XComValueError, match=message) as refusal:
        check(value)
    assert "write" in str(refusal.value).lower()
