"""The services as they are defined, and what is rendered from them."""

from __future__ import annotations

import configparser
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from feira_local.stack import airflow, spark, state
from feira_local.stack.config import StackConfig, WarehouseOn
from feira_local.stack.errors import StackError
from feira_local.stack.launch import environment
from feira_local.stack.lifecycle import Stack
from feira_local.stack.service import HttpCheck, Service, TcpCheck, by_name
from feira_local.stack.state import running_config
from feira_local.stack.supervisor import render


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """With all parts, those that are started on request among them."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("prometheus", "alertmanager"):
        (programs / name).touch(mode=0o755)
    found = {
        "FEIRA_HOME": str(tmp_path / "home"),
        "FEIRA_MONITORING": "on",
        "FEIRA_SPARK": "cluster",
        "FEIRA_WAREHOUSE_ON": "redshift",
        "FEIRA_MONITORING_BIN": str(programs),
    }
    return Stack.of(StackConfig.from_env(found))


def test_every_dependency_exists_and_comes_first(stack: Stack) -> None:
    seen: set[str] = set()
    for service in stack.services:
        assert set(service.depends_on) <= seen, service.name
        seen.add(service.name)
    assert len(seen) == len(stack.services)


def test_no_two_services_share_a_port(stack: Stack) -> None:
    ports = [port for service in stack.services for port in service.ports]
    assert sorted(ports) == sorted(set(ports))
    assert set(ports) == set(stack.config.ports.named().values())


def test_what_stays_up_says_how_its_health_is_asked(stack: Stack) -> None:
    for service in stack.services:
        completes = service.health.kind == "completion"
        assert completes == (service.kind != "service"), service.name


def test_every_address_is_loopback(stack: Stack) -> None:
    for service in stack.services:
        check = service.health
        if isinstance(check, HttpCheck):
            assert check.url.startswith("http://127.0.0.1:"), service.name
        if isinstance(check, TcpCheck):
            assert check.host == "127.0.0.1"
        texts = [*service.command, *service.env.values(), *(link.url for link in service.links)]
        assert not [text for text in texts if "0.0.0.0" in text or "localhost" in text]
    properties = spark.properties(stack.config, stack.config.lake_settings(stack.secrets))
    assert properties["spark.connect.grpc.binding.address"] == "127.0.0.1"
    assert properties["spark.driver.bindAddress"] == "127.0.0.1"
    listens = "listen_addresses=127.0.0.1"
    assert listens in by_name(stack.services)["postgres"].command


def test_no_secret_is_in_a_command_the_supervisor_configuration_or_the_json(stack: Stack) -> None:
    shown = render(stack.config, stack.services)
    shown += json.dumps([service.as_json() for service in stack.services])
    shown += repr(stack.services) + repr(stack.secrets) + repr(stack)
    for service in stack.services:
        shown += " ".join(service.command) + json.dumps(dict(service.env))
    assert not [secret for secret in stack.secrets.by_name().values() if secret in shown]


def test_the_supervisor_stops_every_service_with_its_children(stack: Stack) -> None:
    parser = configparser.RawConfigParser()
    parser.read_string(render(stack.config, stack.services))
    for service in stack.services:
        section = parser[f"program:{service.name}"]
        assert section["killasgroup"] == "true"
        assert section["stopwaitsecs"] == "10"
        assert section["autostart"] == "false"
        assert section["autorestart"] == ("true" if service.kind == "service" else "false")
    # The postmaster's children take some of its signals for other orders.
    assert parser["program:postgres"]["stopasgroup"] == "false"
    assert parser["program:airflow-scheduler"]["stopasgroup"] == "true"


def test_a_home_with_a_percent_sign_and_a_space_is_rendered_so_that_it_reads_back(
    tmp_path: Path,
) -> None:
    # Airflow's configuration refuses such a path, the supervisor's must not depend on that.
    config = replace(
        StackConfig.from_env({"FEIRA_HOME": str(tmp_path)}), home=tmp_path / "100% mine"
    )
    text = render(config, Stack.of(config).services)
    assert re.search(r"100%%%% mine/logs/spark\.log", text)


def test_the_callers_own_settings_do_not_reach_a_service(stack: Stack) -> None:
    caller = {
        "PATH": "/usr/bin",
        "LANG": "C.UTF-8",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AWS_PROFILE": "production",
        "FEIRA_CLOCK": "1",
        "PGPASSWORD": "theirs",
        "SPARK_HOME": "/opt/spark",
    }
    scheduler = environment(by_name(stack.services)["airflow-scheduler"], caller)
    assert scheduler["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert scheduler["LANG"] == "C.UTF-8"
    assert scheduler["FEIRA_CLOCK"] == "off"
    assert not {"AWS_PROFILE", "PGPASSWORD", "SPARK_HOME"} & scheduler.keys()
    assert scheduler["PATH"].endswith(":/usr/bin")


OF_THE_CALLER = {
    "AIOSMTPD_CONTROLLER_TIMEOUT": "now",
    "ARROW_PRE_0_15_IPC_FORMAT": "1",
    "BOTOCORE_EXPERIMENTAL__PLUGINS": "mine=plugin",
    "CONTAINER_ID": "my-distrobox",
    "DBT_PROFILES_DIR": "/home/me/.dbt",
    "DEV_MODE": "true",
    "FORWARDED_ALLOW_IPS": "*",
    "FSSPEC_S3_ENDPOINT_URL": "https://s3.example",
    "HADOOP_CONF_DIR": "/etc/hadoop",
    "HADOOP_TOKEN_FILE_LOCATION": "/gone",
    "JAVA_TOOL_OPTIONS": "-XX:+UseZGC",
    "LOCAL_DIRS": "/gone",
    "LOG4J_CONFIGURATION_FILE": "/gone.xml",
    "MATPLOTLIBRC": "/gone",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "OPENLINEAGE_DISABLED": "true",
    "OPENLINEAGE__TRANSPORT__URL": "https://marquez.example",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    "OTEL_SDK_DISABLED": "true",
    "PGSERVICE": "production",
    "PROMETHEUS_MULTIPROC_DIR": "/gone",
    "PSYCOPG_IMPL": "c",
    "PYICEBERG_HOME": "/home/me",
    "PYTHONHOME": "/opt/python",
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error",
    "WEB_CONCURRENCY": "2",
    "YARN_CONF_DIR": "/etc/hadoop",
    "_AIRFLOW__AS_LIBRARY": "1",
    "_JAVA_OPTIONS": "-Xmx64m",
    "prometheus_multiproc_dir": "/gone",
}
OF_THE_MACHINE = {
    "HTTPS_PROXY": "http://proxy:3128",
    "JAVA_HOME": "/opt/jdk",
    "JDK_JAVA_OPTIONS": "-Djavax.net.ssl.trustStore=/etc/ssl/java",
    "MALLOC_ARENA_MAX": "2",
    "SSL_CERT_FILE": "/etc/ssl/company.pem",
}


def test_no_library_of_a_service_is_set_by_the_caller_but_what_the_machine_needs_stays(
    stack: Stack,
) -> None:
    path = {"PATH": "/usr/bin"}
    for service in stack.services:
        clean = environment(service, path | OF_THE_MACHINE)
        assert environment(service, path | OF_THE_MACHINE | OF_THE_CALLER) == clean
        assert OF_THE_MACHINE.items() <= (clean | {"HTTPS_PROXY": "http://proxy:3128"}).items()


def test_what_the_stack_sets_reaches_a_service_whatever_the_caller_sets(stack: Stack) -> None:
    for service in stack.services:
        stated = {**service.env, **service.private_env}
        caller = dict.fromkeys(stated, "theirs") | {"PATH": "/usr/bin"}
        assert stated.items() <= environment(service, caller).items()
    scheduler = by_name(stack.services)["airflow-scheduler"]
    assert {"OTEL_METRIC_EXPORT_INTERVAL", "PYTHONPATH"} <= scheduler.env.keys()


def test_airflow_gets_every_connection_and_the_lake(stack: Stack) -> None:
    config = replace(stack.config, warehouse_on=WarehouseOn.POSTGRES)
    private = airflow.private_settings(config, stack.secrets)
    connections = {
        name.removeprefix("AIRFLOW_CONN_").lower(): json.loads(value)
        for name, value in private.items()
        if name.startswith("AIRFLOW_CONN_")
    }
    types = {name: value["conn_type"] for name, value in connections.items()}
    # A part may bring more.
    assert (
        types.items()
        >= {
            "shop_api": "http",
            "lake_default": "aws",
            "spark_default": "spark_connect",
            "warehouse_default": "postgres",
            "warehouse_reader": "postgres",
            "warehouse_dbt": "postgres",
            "smtp_default": "smtp",
            "slack_default": "slackwebhook",
        }.items()
    )
    # Both lead to the inbox, and nowhere else.
    ports = stack.config.ports
    mail = connections["smtp_default"]
    assert (mail["host"], mail["port"]) == ("127.0.0.1", ports.smtp)
    assert connections["slack_default"]["host"] == f"http://127.0.0.1:{ports.inbox}/slack"
    assert connections["warehouse_default"]["login"] == "warehouse_loader"
    assert private["FEIRA_LAKE"] == "s3://feira-lake"


def test_a_proxy_of_the_caller_is_not_asked_for_loopback(stack: Stack) -> None:
    caller = {"HTTP_PROXY": "http://proxy:3128", "https_proxy": "http://proxy:3128"}
    scheduler = environment(by_name(stack.services)["airflow-scheduler"], caller)
    assert {scheduler[name] for name in caller} == {""}


def test_a_killed_task_is_seen_and_retried_within_thirty_seconds(stack: Stack) -> None:
    settings = airflow.settings(stack.config)
    seconds = [
        float(settings[f"AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_{name}"])
        for name in ("TIMEOUT", "TIMEOUT_DETECTION_INTERVAL")
    ]
    assert sum(seconds) + float(settings["AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY"]) <= 30


def test_the_shop_draws_sales_as_it_is_told_and_replays_files_when_a_folder_is_named(
    tmp_path: Path,
) -> None:
    def shop(**env: str) -> Service:
        config = StackConfig.from_env({"FEIRA_HOME": str(tmp_path / "home")} | env)
        return by_name(Stack.of(config).services)["shop"]

    assert "generated" in shop().command
    drawn = shop(FEIRA_SHOP_SEED="8", FEIRA_SHOP_CLUSTERS="4", FEIRA_SHOP_LINES="700").command
    at = [drawn.index(option) for option in ("--seed", "--clusters", "--lines-per-day")]
    assert [drawn[it + 1] for it in at] == ["8", "4", "700"]
    replay = shop(FEIRA_SHOP_DATA=str(tmp_path)).command
    assert "replay" in replay
    assert str(tmp_path) in replay


def test_further_dags_the_clock_and_lineage_reach_airflow_and_are_kept_while_the_stack_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = {"FEIRA_HOME": str(tmp_path / "home")}
    (tmp_path / "mine").mkdir()
    asked = StackConfig.from_env(
        home
        | {
            "FEIRA_EXTRA_DAGS": str(tmp_path / "mine"),
            "FEIRA_CLOCK": "on",
            "FEIRA_LINEAGE": "off",
        }
    )
    settings = airflow.settings(asked)
    folders = json.loads(settings["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    assert [folder["kwargs"]["path"] for folder in folders] == [
        str(asked.repository / "airflow" / "dags"),
        str(tmp_path / "mine"),
    ]
    assert settings["FEIRA_CLOCK"] == "on"
    assert not any("OPENLINEAGE" in name for name in settings)
    asked.make_folders()
    state.save(asked)
    monkeypatch.setenv("FEIRA_HOME", home["FEIRA_HOME"])
    assert running_config() == asked
    assert airflow.settings(StackConfig.from_env(home))["FEIRA_CLOCK"] == "off"


def test_spark_works_in_its_server_unless_a_cluster_is_asked_for_which_is_kept_while_it_runs(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Stack.of(StackConfig.from_env({"FEIRA_HOME": str(tmp_path / "plain")}))
    assert not any(
        name.startswith("spark-w") for name in set(by_name(plain.services)) - {"spark-warmup"}
    )
    assert "spark-master" not in by_name(plain.services)
    assert not spark.on_cluster(plain.config, plain.secrets)
    lake = plain.config.lake_settings(plain.secrets)
    assert spark.properties(plain.config, lake)["spark.master"] == "local[2]"
    asked = spark.on_cluster(stack.config, stack.secrets)
    assert asked["spark.master"] == f"spark://127.0.0.1:{stack.config.ports.spark_master}"
    waits_for = by_name(stack.services)["spark"].depends_on
    assert {"spark-worker-1", "spark-worker-2"} < set(waits_for)
    stack.config.make_folders()
    state.save(stack.config)
    monkeypatch.setenv("FEIRA_HOME", str(stack.config.home))
    assert running_config() == stack.config
    # What an older stack has saved knows nothing of it.
    saved = stack.config.run / "config.json"
    older = json.loads(saved.read_text())
    del older["parts"]["spark_on"], older["ports"]["spark_master_ui"]
    del older["parts"]["warehouse_on"], older["ports"]["own"]["redshift"]
    saved.write_text(json.dumps(older))
    assert (running_config().spark_on, running_config().warehouse_on) == ("local", "postgres")


def test_the_readme_has_the_variable_of_every_port(stack: Stack) -> None:
    text = (stack.config.repository / "README.md").read_text()
    (line,) = (each for each in text.splitlines() if "FEIRA_PORT_AIRFLOW=" in each)
    named = {name.lower() for name in re.findall(r"`(?:FEIRA_PORT)?_([A-Z0-9_]+)(?:=\d+)?`", line)}
    assert named - {"offset"} == set(stack.config.ports.named())


def test_an_offset_moves_every_port(tmp_path: Path) -> None:
    home = {"FEIRA_HOME": str(tmp_path)}
    plain = StackConfig.from_env(home).ports.named()
    moved = StackConfig.from_env(home | {"FEIRA_PORT_OFFSET": "100"}).ports.named()
    assert {name: port - 100 for name, port in moved.items()} == plain
    one = StackConfig.from_env(home | {"FEIRA_PORT_S3": "20000"}).ports.named()
    assert one == plain | {"s3": 20000}


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"FEIRA_PORT_S3": "many"}, "FEIRA_PORT_S3 is 'many'"),
        ({"FEIRA_PORT_S3": "18080"}, "s3 and airflow both have port 18080"),
        ({"FEIRA_PORT_OFFSET": "59000"}, "plus FEIRA_PORT_OFFSET is 74432"),
        ({"FEIRA_SHOP_DATA": "/nowhere"}, "FEIRA_SHOP_DATA is '/nowhere'"),
        ({"FEIRA_SPARK": "yarn"}, "FEIRA_SPARK is 'yarn'; it must be local or cluster"),
        (
            {"FEIRA_WAREHOUSE_ON": "duckdb"},
            "FEIRA_WAREHOUSE_ON is 'duckdb'; it must be postgres or redshift",
        ),
        ({"FEIRA_SHOP_LINES": "0"}, "FEIRA_SHOP_LINES is '0'"),
        ({"FEIRA_SHOP_CLUSTERS": "401"}, "FEIRA_SHOP_CLUSTERS is '401'"),
        ({"FEIRA_EXTRA_DAGS": "/nowhere"}, "FEIRA_EXTRA_DAGS is '/nowhere'"),
        ({"FEIRA_CLOCK": "1"}, "FEIRA_CLOCK is '1'; it may be on or off"),
    ],
)
def test_an_illegal_setting_is_named_with_its_value(env: dict[str, str], named: str) -> None:
    with pytest.raises(StackError, match=re.escape(named)):
        StackConfig.from_env(env)


def test_a_long_home_still_gets_a_socket_that_fits(tmp_path: Path) -> None:
    config = StackConfig.from_env({"FEIRA_HOME": str(tmp_path / ("x" * 120))})
    assert len(str(config.socket)) <= 100
    assert config.socket != replace(config, home=tmp_path / ("y" * 120)).socket
