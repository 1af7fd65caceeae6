"""Lines of DAGs and tasks: the one that fits, and none where several do."""

from __future__ import annotations

from pathlib import Path

import pytest

from feira_wiring.places import dag_line, task_line

EMPTY = "from airflow.providers.standard.operators.empty import EmptyOperator\nfrom airflow.sdk import *\n"


@pytest.mark.parametrize(
    ("text", "dags", "tasks"),
    [
        pytest.param(
            "one = DAG('one')\nEmptyOperator(task_id='load', dag=one)\n"
            "two = DAG(dag_id='two')\nEmptyOperator(task_id='load', dag=two)\n",
            {"one": 3, "two": 5},
            {"one.load": 4, "two.load": 6},
            id="by the name of the DAG",
        ),
        pytest.param(
            "dag = DAG('one')\nEmptyOperator(task_id='load', dag=dag)\n"
            "dag = DAG('two')\nEmptyOperator(task_id='load', dag=dag)\n",
            {"one": 3, "two": 5},
            {"one.load": 4, "two.load": 6},
            id="a name that is used again",
        ),
        pytest.param(
            "one = DAG('one')\nwith one:\n    EmptyOperator(task_id='load')\n"
            "with DAG('two') as two:\n    EmptyOperator(task_id='load')\n",
            {"one": 3, "two": 6},
            {"one.load": 5, "two.load": 7},
            id="opened by its name",
        ),
        pytest.param(
            "ID = 'orders'\norders = Asset('orders')\nprint('orders')\nwith DAG(ID):\n    pass\n",
            {"orders": 6},
            {},
            id="no first argument of another call",
        ),
        pytest.param(
            "with make_dag('one'):\n    pass\nwith Own('two', schedule=None):\n    pass\n",
            {"one": 3, "two": 5},
            {},
            id="opened by another name than DAG",
        ),
        pytest.param(
            "@dag\ndef one():\n    @task(task_id='load')\n    def extract(): ...\n"
            "    @task.bash(task_id='store')\n    def store(): ...\n",
            {"one": 3},
            {"one.load": 5, "one.store": 7},
            id="a decorator with the task's id",
        ),
        pytest.param(
            "orders = Asset('orders')\nfor name in ('orders', 'rates'):\n    globals()[name] = DAG(name)\n",
            {"orders": None, "rates": None},
            {},
            id="none of a generated DAG",
        ),
        pytest.param(
            "def build(name):\n    made = DAG(name)\n    EmptyOperator(task_id='load', dag=made)\n"
            "build('one')\nbuild('two')\n"
            "with DAG('three'):\n    EmptyOperator(task_id='load')\n",
            {"one": None, "three": 8},
            {"one.load": 5, "two.load": 5, "three.load": 9},
            id="a factory's own line and not that of another DAG",
        ),
        pytest.param(
            "def build(name):\n    with DAG(name):\n        EmptyOperator(task_id='load')\n"
            "def other(name):\n    with DAG(name):\n        EmptyOperator(task_id='load')\n",
            {},
            {"one.load": None},
            id="two factories",
        ),
        pytest.param(
            "with DAG('one'):\n    with TaskGroup('a'):\n        EmptyOperator(task_id='load')\n"
            "    with TaskGroup('b'):\n        EmptyOperator(task_id='load')\n",
            {"one": 3},
            {"one.a.load": None, "one.b.load": None},
            id="two groups",
        ),
        pytest.param(
            "@task\ndef load(): ...\n@dag(dag_id='one')\ndef load_all():\n    load()\nload_all()\n",
            {"one": 5, "load": None, "load_all": None},
            {"one.load": 7},
            id="a task is no DAG, nor a function whose DAG has another id",
        ),
        pytest.param(
            "if True:\n    with DAG('one'):\n        pass\nelse:\n    with DAG('one'):\n        pass\n",
            {"one": None},
            {},
            id="either of two",
        ),
        pytest.param(
            "def load(): ...\none = DAG('one')\nPythonOperator(task_id='load', python_callable=load, dag=one)\n",
            {"one": 4},
            {"one.load": 5},
            id="the operator before the function that it calls",
        ),
    ],
)
def test_a_line_is_that_of_the_dag_or_task_or_none(
    tmp_path: Path, text: str, dags: dict[str, int | None], tasks: dict[str, int | None]
) -> None:
    file = tmp_path / "dags.py"
    file.write_text(EMPTY + text)
    assert {dag_id: dag_line(file, dag_id) for dag_id in dags} == dags
    lines = {each: task_line(file, *each.split(".", 1)) for each in tasks}
    assert lines == tasks
