"""DataFusion Comet for who asks for it: its jar, its settings and a look at a plan; nothing of it for who does not."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from feira.core.settings import repository_root
from feira_local.cli import app, doctor, stack
from feira_local.stack import jars, lifecycle, spark, state
from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.lifecycle import Stack
from feira_local.stack.report import ServiceReport, StackReport
from feira_local.stack.service import by_name
from feira_local.stack.state import running_config
from feira_spark.core.session import COMET


def stack_of(home: Path, **settings: str) -> Stack:
    return Stack.of(StackConfig.from_env({"FEIRA_HOME": str(home), **settings}))


def properties_of(of: Stack) -> dict[str, str]:
    """As ``prepare`` writes them, of a cluster too."""
    of.config.make_folders()
    spark.prepare(of.config, of.secrets)
    lines = (of.config.run / "spark.properties").read_text().splitlines()
    return dict(line.split(" ", 1) for line in lines)


@pytest.mark.parametrize("where", ["local", "cluster"])
def test_nothing_but_its_settings_its_jar_and_a_look_at_a_plan_comes_with_it(
    where: str, tmp_path: Path
) -> None:
    plain = stack_of(tmp_path, FEIRA_SPARK=where)
    asked = stack_of(tmp_path, FEIRA_SPARK=where, FEIRA_COMET="on")
    before, after = properties_of(plain), properties_of(asked)
    assert not COMET.keys() & before.keys()
    sides = ("driver", "executor") if where == "cluster" else ("driver",)
    folder = asked.config.jars
    class_paths = {f"spark.{it}.extraClassPath": f"{folder}/spark/*" for it in sides}
    assert class_paths.items() <= before.items()
    with_jar = {name: f"{value}:{folder}/comet/*" for name, value in class_paths.items()}
    assert after == before | COMET | with_jar
    services = by_name(asked.services)
    assert services.keys() - by_name(plain.services).keys() == {"spark-comet"}
    assert (services["spark-comet"].kind, services["spark-comet"].depends_on) == (
        "step",
        ("spark",),
    )


def test_its_jar_is_one_of_the_lock_and_wanted_by_who_asks_alone(tmp_path: Path) -> None:
    plain, asked = stack_of(tmp_path).config, stack_of(tmp_path, FEIRA_COMET="on").config
    every = jars.read_lock(jars.lock_path(repository_root()))
    assert jars.wanted_jars(asked) == every
    assert jars.wanted_jars(plain) == [jar for jar in every if jar.set != "comet"]
    assert "org.apache.datafusion:comet-spark-spark4.1_2.13:1.2.0" in {
        jar.coordinates for jar in every if jar.set == "comet"
    }


def test_it_is_fetched_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a stack that asks for it does not start without it."""
    wanted: list[set[str]] = []

    def missing(of: list[jars.Jar], *_: object, **__: object) -> list[jars.Jar]:
        wanted.append({jar.set for jar in of})
        return [jar for jar in of if jar.set == "comet"]

    monkeypatch.setattr(jars, "missing_jars", missing)
    monkeypatch.setattr(lifecycle, "missing_jars", missing)
    fetched: list[jars.Jar] = []
    monkeypatch.setattr(jars, "fetch", lambda of, *_, **__: fetched.extend(of))
    monkeypatch.setattr(jars, "remove_unmanaged", lambda *_: None)
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path))
    assert CliRunner().invoke(app, ["jars", "fetch"]).exit_code == 0
    assert not fetched
    monkeypatch.setenv("FEIRA_COMET", "on")
    assert CliRunner().invoke(app, ["jars", "fetch"]).exit_code == 0
    assert {jar.set for jar in fetched} == {"comet"}
    assert wanted[1] - wanted[0] == {"comet"}
    with pytest.raises(StackError, match="feira jars fetch"):
        lifecycle.up(StackConfig.from_env())


def test_the_option_is_the_variable_and_is_kept_while_the_stack_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[StackConfig] = []
    monkeypatch.setattr(stack, "ensure_jars", lambda *_, **__: None)
    monkeypatch.setattr(lifecycle, "up", lambda config, _: asked.append(config) or [])
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path))
    plain = StackConfig.from_env()
    shown = CliRunner().invoke(app, ["up", "--comet", "--json"]).stdout
    assert "Spark with Comet" in json.loads(shown)["links"]
    assert asked == [replace(plain, comet=True)]
    assert not plain.comet
    asked[0].make_folders()
    state.save(asked[0])
    assert running_config() == asked[0]
    saved = state.settings_path(plain)
    # What an older stack has saved knows nothing of it.
    older = json.loads(saved.read_text())
    del older["parts"]["comet"]
    saved.write_text(json.dumps(older))
    assert running_config() == plain


class Conf(dict[str, str]):
    set = dict.__setitem__


class Session:
    """Of a server whose plans are ``plan``."""

    def __init__(self, plan: str) -> None:
        self.plan, self.ran, self.stopped, self.conf = plan, list[str](), False, Conf()

    def sql(self, statement: str) -> Session:
        self.ran.append(statement)
        return self

    def first(self) -> tuple[str]:
        return (self.plan,)

    def collect(self) -> list[object]:
        return []

    def stop(self) -> None:
        self.stopped = True


@pytest.mark.parametrize(
    ("plan", "missing"),
    [
        ("HashAggregate\n+- Exchange\n   +- Range", "CometHashAggregate and CometExchange"),
        ("HashAggregate\n+- CometExchange\n   +- CometHashAggregate", ""),
        ("CometHashAggregate\n+- CometColumnarExchange", "CometExchange"),
    ],
)
def test_a_start_ends_where_spark_plans_without_it(
    plan: str, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, session = stack_of(tmp_path, FEIRA_COMET="on"), Session(plan)
    monkeypatch.setattr("feira_spark.core.session.connect", lambda url: session)
    running = ServiceReport("spark", "healthy", "", 1, 0.0, 0, None, 0, ())
    found = StackReport(running=True, services=(running,), supervisor_memory=0)
    monkeypatch.setattr(doctor, "report", lambda _: found)
    (comet,) = [it for it in doctor._services(asked) if it.what == "Comet"]
    assert comet.ok == (not missing)
    if missing:
        with pytest.raises(StackError, match=f"without {missing}") as error:
            spark.require_comet(asked.config)
        assert plan in str(error.value)
        assert "feira logs spark" in str(error.value)
    else:
        spark.require_comet(asked.config)
    assert session.stopped
    # Executors load its library where they do the work.
    assert session.ran[-1] == session.ran[-2].removeprefix("EXPLAIN ")
    assert not [it for it in doctor._services(stack_of(tmp_path)) if it.what == "Comet"]


def test_the_page_has_the_settings_that_a_cluster_needs() -> None:
    page = (repository_root() / "docs" / "comet.md").read_text()
    (block,) = re.findall(r"```properties\n(.*?)```", page, re.DOTALL)
    assert dict(line.split(" ", 1) for line in block.splitlines()) == COMET
