"""Fixtures that every test may use. Tests reach loopback only."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from feira.core.settings import LakeSettings
from feira_local.stack.postgres import Dsns
from temporary_postgres import temporary_server

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from valkey_server import ValkeyServer

REPOSITORY = Path(__file__).resolve().parents[1]

# How long an example takes is the machine's, and other tests are at work beside.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


# Where tests may use the fixture ``spark``, whose session takes a quarter of a minute to start.
SPARK = (
    "tests/spark/",
    "tests/local/cli/test_sql_results.py",
    "tests/local/cli/test_tables.py",
    "tests/shared/core/test_rule_sql.py",
)

# The tests end before the optimising compiler has paid for itself, and before a heap of 2 GB is full; a
# collector of several threads takes the cores of other tests. Hadoop starts chmod for each file it makes:
# VFORK is Java's shortest way to start a process.
TEST_JVM_OPTIONS = (
    "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmn800m -Djdk.lang.Process.launchMechanism=VFORK"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first.

    Raises UsageError for a test of ``make test`` that would start a session of Spark beside that of the
    others.
    """
    for item in items:
        uses_it = "spark" in getattr(item, "fixturenames", ())
        if uses_it and not item.nodeid.startswith(SPARK) and not item.get_closest_marker("slow"):
            raise pytest.UsageError(
                f"{item.nodeid} uses Spark: add its file to SPARK in tests/conftest.py, and it runs in the "
                "worker that has a session."
            )
    items.sort(key=lambda item: not item.nodeid.startswith(SPARK))


def pytest_collection_finish() -> None:
    """From here on no bytecode is kept, here or in what is started.

    A test that writes a module twice within a second, as long as before, would be given the first's: Python
    knows of a source no more than its size and the second in which it was written.
    """
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips",
        action="store_true",
        help="fail where a test was skipped: for a target that is asked for these tests alone",
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("no_skips") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """What the marks leave out is not among what was skipped, and would go unseen."""
    if config.getoption("no_skips") and terminalreporter.stats.get("skipped"):
        terminalreporter.write_line(
            "failed: tests were skipped (--no-skips), for the reasons below"
        )
    for mark in config.getini("markers"):
        if f"not {mark.partition(':')[0]}" in config.getoption("markexpr"):
            terminalreporter.write_line(f"not run, {mark}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Has all tests of Spark in one worker, and of the others each file in one, with ``--dist=loadfile``.

    In a second session Spark's code would be loaded and compiled once more.
    """
    from xdist.scheduler import LoadFileScheduling

    class SparkTogether(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "spark" if nodeid.startswith(SPARK) else str(super()._split_scope(nodeid))

    return SparkTogether(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session", autouse=True)
def _no_inherited_settings() -> None:
    """A shell that has evaluated `feira env` must not change what the tests do."""
    for name in list(os.environ):
        # Tests talk to loopback; a client that knows no exceptions would ask the proxy for that.
        proxy = name.lower() in ("http_proxy", "https_proxy")
        if proxy or name.startswith(
            ("FEIRA_LAKE", "FEIRA_SPARK", "FEIRA_VALKEY", "FEIRA_WAREHOUSE", "AIRFLOW_CONN_")
        ):
            del os.environ[name]


@pytest.fixture(scope="session")
def spark_jars() -> str:
    """Spark's extra jars as `make install` fetches them, comma-separated."""
    folder = REPOSITORY / ".cache" / "jars" / "spark"
    jars = sorted(str(path) for path in folder.glob("*.jar"))
    assert jars, f"No jars in {folder}; run `make install`."
    return ",".join(jars)


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> LakeSettings:
    """A lake in a local folder, its Iceberg catalog a folder too."""
    root: Path = tmp_path_factory.mktemp("lake")
    (root / "tables").mkdir()
    return LakeSettings(root=f"file://{root}", catalog="hadoop")


@pytest.fixture(scope="session")
def spark(lake: LakeSettings, request: pytest.FixtureRequest) -> Iterator[SparkSession]:
    """The one Spark session of all tests, on that lake.

    ``FEIRA_TEST_SPARK`` names a running Spark Connect server to take instead of a JVM of its own: a
    mutant's run is then a few seconds shorter.
    """
    from feira_spark.core.session import CATALOG, connect

    running = os.environ.get("FEIRA_TEST_SPARK")
    if running is None:
        session = _own_spark(lake, request.getfixturevalue("spark_jars"))
    else:
        session = connect(running)
        # Before the catalog's first use it can still be moved, for this session alone.
        session.conf.set(f"spark.sql.catalog.{CATALOG}.warehouse", lake.tables_root)
    yield session
    session.stop()


def _own_spark(lake: LakeSettings, jars: str) -> SparkSession:
    from pyspark.sql import SparkSession

    from feira_spark.core.session import FOR_FEW_ROWS, JVM_OPTIONS, spark_conf

    # A test that has used Spark Connect in this process leaves pyspark in that mode.
    for name in ("SPARK_CONNECT_MODE_ENABLED", "SPARK_REMOTE"):
        os.environ.pop(name, None)
    builder = SparkSession.builder.master("local[2]").config("spark.jars", jars)
    for name, value in (spark_conf(lake) | FOR_FEW_ROWS).items():
        builder = builder.config(name, value)
    session = (
        builder.config("spark.driver.extraJavaOptions", f"{TEST_JVM_OPTIONS} {JVM_OPTIONS}")
        .config("spark.driver.memory", "2g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        # Each call on a column or a frame would ask the JVM some four times where it comes from.
        .config("spark.python.sql.dataFrameDebugging.enabled", "false")
        .config("spark.sql.ui.explainMode", "simple")
        .getOrCreate()
    )
    _keep_classes(session)
    session.sparkContext.setLogLevel("ERROR")
    # Its connections close after pytest has closed the output, and would log an error.
    logging.getLogger("py4j").setLevel(logging.WARNING)
    return session


def _keep_classes(session: SparkSession) -> None:
    """Has pyspark find at once what it asks the JVM for with each function of a column.

    The JVM looks for each name in all jars, under each of nine packages, every time: six thousand times
    in eleven publishes.
    """
    jvm: Any = session.sparkContext._jvm
    for name in (
        "functions",
        "org.apache.spark.sql.functions",
        "org.apache.spark.sql.classic.SparkSession",
        "py4j",
        "PythonErrorUtils",
        "PythonSQLUtils",
        "PythonUtils",
    ):
        setattr(jvm, name, getattr(jvm, name))


@pytest.fixture
def empty_lake(spark: SparkSession) -> SparkSession:
    """The session, with no table in the lake."""
    for (namespace,) in spark.sql("SHOW NAMESPACES").collect():
        for row in spark.sql(f"SHOW TABLES IN {namespace}").collect():
            if not row["isTemporary"]:
                # Without PURGE: the catalog removes the folder, and does not look for each file of each snapshot.
                spark.sql(f"DROP TABLE {namespace}.{row['tableName']}")
    return spark


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A Valkey of the module's own, as the stack runs it."""
    from valkey_server import ValkeyServer

    with ValkeyServer(tmp_path_factory.mktemp("valkey") / "home") as server:
        yield server


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dsns]:
    """The one PostgreSQL of all tests, with the stack's databases, roles and privileges.

    ``FEIRA_TEST_POSTGRES`` holds the DSNs of a running one as JSON.
    """
    running = os.environ.get("FEIRA_TEST_POSTGRES")
    if running is not None:
        yield Dsns(**json.loads(running))
        return
    with temporary_server(tmp_path_factory.mktemp("postgres")) as dsns:
        yield dsns


@pytest.fixture
def empty_warehouse(postgres: Dsns) -> Dsns:
    """That server, with no table in the schema ``sales``, nor a view that reads one."""
    import psycopg

    with psycopg.connect(postgres.warehouse_loader) as loader:
        tables = loader.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'sales'")
        for (name,) in tables.fetchall():
            loader.execute(f"DROP TABLE IF EXISTS sales.{name} CASCADE")
    return postgres


@pytest.fixture(scope="session")
def dbt_scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where dbt writes, in a home of a stack: a project that was parsed there is not parsed again."""
    return tmp_path_factory.mktemp("home") / "dbt"


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """A moto server with the bucket ``lake``; its address."""
    from moto import backends
    from moto.server import ThreadedMotoServer

    services = list(backends.list_of_moto_modules())
    with pytest.MonkeyPatch.context() as patch:
        # It would list its own package's folders at each request, a quarter of what a request takes.
        patch.setattr(backends, "list_of_moto_modules", lambda: services)
        _share_among_sessions(patch)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        _s3_client(endpoint).create_bucket(Bucket="lake")
        yield endpoint
        server.stop()


def _share_among_sessions(patch: pytest.MonkeyPatch) -> None:
    """Has all sessions of boto share what each would find out anew, and find alike.

    A connection of Airflow is a session of its own: S3's model takes a tenth of a second to read, and a
    session as long to name all services and to look at each of its two hundred handlers.
    """
    from botocore import hooks, loaders

    def once(of: Any, name: str, key: Callable[..., Any]) -> None:
        find = getattr(of, name)
        found: dict[Any, Any] = {}

        def known(*asked: Any, **named: Any) -> Any:
            by = key(*asked, **named)
            if by not in found:
                found[by] = find(*asked, **named)
            return found[by]

        patch.setattr(of, name, known)

    once(loaders.JSONFileLoader, "load_file", lambda _, file_path: file_path)
    once(hooks.EventAliaser, "_alias_event_name", lambda _, event_name: event_name)
    once(
        loaders.Loader,
        "list_available_services",
        lambda loader, type_name: (type_name, *loader.search_paths),
    )
    # By its code, if it is of Python: a bound method would keep its client.
    once(hooks, "accepts_kwargs", lambda func: getattr(func, "__code__", func))


@pytest.fixture(scope="session")
def s3_client(s3_endpoint: str) -> Any:
    """boto3's client of that server."""
    return _s3_client(s3_endpoint)


def _s3_client(endpoint: str) -> Any:
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
