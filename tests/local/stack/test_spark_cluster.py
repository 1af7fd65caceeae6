"""Spark on a master and two workers: the same answers, nothing lost with a worker or the master, nobody else let in."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from feira.core.settings import LakeSettings, repository_root
from feira_local.stack import spark
from feira_local.stack.config import (
    DEFAULT_PORTS,
    Ports,
    ShopOptions,
    SparkOn,
    StackConfig,
)
from feira_local.stack.secrets import load_secrets
from feira_local.stack.service import Service
from feira_spark.core.session import connect
from running_server import wait_for
from temporary_postgres import free_port
from until import until

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow


@dataclass
class Cluster:
    """The stack's services for Spark, each started by the stack's own command."""

    config: StackConfig
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def services(self) -> dict[str, Service]:
        return {service.name: service for service in spark.cluster(self.config)}

    def start(self, name: str, command: tuple[str, ...], port: int) -> None:
        log = self.config.logs / f"{name}.log"
        env = spark.environment(self.config)
        if name in self.services:
            env = dict(self.services[name].env)
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                cwd=self.config.spark,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes[name] = process
        wait_for(process, port, log)

    def start_service(self, name: str) -> None:
        self.start(name, self.services[name].command, self.services[name].ports[-1])

    def kill(self, name: str) -> None:
        """With what it has started."""
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].wait()

    def executors(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                is_one = any("CoarseGrainedExecutorBackend" in part for part in process.cmdline())
                if is_one and process.cwd().startswith(str(self.config.spark)):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def stop(self) -> None:
        for process in reversed(self.processes.values()):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    # As a home of the README's: with a space and an apostrophe.
    home = tmp_path_factory.mktemp("it's a home")
    ports = Ports(**{name: free_port() for name in DEFAULT_PORTS})
    config = StackConfig(home, repository_root(), ports, ShopOptions(None, 7, 1))
    config = replace(config, spark_on=SparkOn.CLUSTER)
    config.make_folders()
    secrets = load_secrets(home)
    started = Cluster(config)
    lake = LakeSettings(root=(home / "tables").as_uri(), catalog="hadoop")
    spark.write_properties(config, lake, spark.on_cluster(config, secrets))
    spark.prepare_cluster(config, secrets)
    with ExitStack() as ended:
        ended.callback(started.stop)
        for name in started.services:
            started.start_service(name)
        started.start("spark", spark.command(config), ports.spark)
        yield started


@pytest.fixture
def session(cluster: Cluster) -> Iterator[SparkSession]:
    opened = connect(cluster.config.spark_url)
    yield opened
    opened.stop()


ROWS = 3_000_000
# Some ten seconds: a shuffle, and a table that is written.
WORK = f"""
CREATE OR REPLACE TABLE lake.default.worked USING iceberg AS
SELECT id % 1000 AS k, sum(length(sha2(cast(id AS string), 512))) AS total, count(*) AS n
FROM range(0, {ROWS}, 1, 24) GROUP BY k
"""


def worked(session: SparkSession) -> None:
    """The table that is to come of the work."""
    found = session.table("lake.default.worked").selectExpr("count(*)", "sum(n)", "sum(total)")
    assert tuple(found.collect()[0]) == (1000, ROWS, 128 * ROWS)


def test_the_work_is_done_by_one_executor_on_each_worker(
    cluster: Cluster, session: SparkSession
) -> None:
    session.sql(WORK).collect()
    worked(session)
    assert len(cluster.executors()) == 2
    parents = {executor.ppid() for executor in cluster.executors()}
    workers = {cluster.processes[name].pid for name in ("spark-worker-1", "spark-worker-2")}
    assert parents == workers


def in_mid_job(cluster: Cluster, session: SparkSession, act: Callable[[], None]) -> None:
    """The same work, in the middle of which something happens."""
    session.sql("DROP TABLE IF EXISTS lake.default.worked PURGE")
    failures: list[BaseException] = []

    def work() -> None:
        try:
            session.sql(WORK).collect()
        except BaseException as error:
            failures.append(error)

    before = {each.pid: sum(each.cpu_times()[:2]) for each in cluster.executors()}
    thread = threading.Thread(target=work)
    thread.start()
    # Both have begun.
    until(
        lambda: all(
            sum(each.cpu_times()[:2]) > before.get(each.pid, 0) + 1 for each in cluster.executors()
        ),
        poll=0.2,
    )
    assert thread.is_alive()
    act()
    thread.join(180)
    assert not thread.is_alive()
    assert not failures
    worked(session)


def test_a_worker_that_is_killed_in_mid_job_loses_nothing_and_works_again_when_it_is_back(
    cluster: Cluster, session: SparkSession
) -> None:
    in_mid_job(cluster, session, lambda: cluster.kill("spark-worker-1"))
    cluster.start_service("spark-worker-1")
    until(lambda: len(cluster.executors()) == 2, poll=0.2)
    session.sql(WORK).collect()
    worked(session)


def test_a_master_that_is_killed_in_mid_job_finds_workers_and_server_again(
    cluster: Cluster, session: SparkSession
) -> None:
    def kill() -> None:
        cluster.kill("spark-master")
        cluster.start_service("spark-master")

    in_mid_job(cluster, session, kill)
    # It knows both: what a worker loses now it replaces.
    time.sleep(5)
    cluster.executors()[0].kill()
    until(lambda: len(cluster.executors()) == 2, 120, 0.2)
    session.sql(WORK).collect()
    worked(session)


def test_everything_listens_on_loopback_alone(cluster: Cluster) -> None:
    pids = [each.pid for each in cluster.processes.values()]
    pids += [each.pid for each in cluster.executors()]
    listening = [
        found.laddr.ip
        for pid in pids
        for found in psutil.Process(pid).net_connections("tcp")
        if found.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 8
    assert {ip.removeprefix("::ffff:") for ip in listening} <= {"127.0.0.1"}


def test_who_does_not_know_the_secret_is_not_let_in(cluster: Cluster, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.properties"
    wrong.write_text("spark.authenticate true\nspark.authenticate.secret another\n")
    command = list(cluster.services["spark-worker-2"].command)
    command[command.index("--properties-file") + 1] = str(wrong)
    command[command.index("--webui-port") + 1] = str(free_port())
    command[command.index("--work-dir") + 1] = str(tmp_path / "work")
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, **cluster.services["spark-worker-2"].env},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until(
            lambda: (
                process.poll() is not None
                or "Mismatching" in log.read_text()
                or "SaslException" in log.read_text()
                or "authentication failed" in log.read_text().lower()
            ),
            poll=0.2,
        )
        assert "Successfully registered" not in log.read_text()
    finally:
        process.kill()
        process.wait()
