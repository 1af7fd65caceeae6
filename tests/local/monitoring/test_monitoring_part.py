"""Monitoring is there for who asks for it, and a stack without it is as it was."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from feira.core.contracts import contracts
from feira.monitoring.endpoints import Endpoint
from feira.monitoring.exporter import collect
from feira.monitoring.figures import Figures
from feira.monitoring.postgres import Postgres
from feira.monitoring.tables import LakeTables
from feira.monitoring.topics import Topics
from feira.monitoring.warehouse import Warehouse
from feira_local.monitoring.__main__ import Disk, sources
from feira_local.stack import airflow, lifecycle, spark, state
from feira_local.stack.config import Monitoring, StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.secrets import load_secrets
from feira_local.stack.service import by_name
from feira_local.stack.services import services


def config_of(home: Path, **settings: str) -> StackConfig:
    found = StackConfig.from_env({"FEIRA_HOME": str(home), **settings})
    found.make_folders()
    return found


def named(config: StackConfig) -> dict[str, object]:
    return dict(by_name(services(config, load_secrets(config.home))))


def test_the_stack_has_an_exporter_only_where_it_is_asked_for(tmp_path: Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    on = {"FEIRA_MONITORING": "on", "FEIRA_MONITORING_BIN": str(empty)}
    without, watched = config_of(tmp_path), config_of(tmp_path, **on)
    assert named(watched).keys() - named(without).keys() == {"exporter"}
    for name in ("prometheus", "alertmanager"):
        program(empty, name)
    whole = config_of(tmp_path, **on)
    added = {"exporter", "prometheus", "alertmanager"}
    assert named(whole).keys() - named(without).keys() == added
    secrets = load_secrets(tmp_path)
    sent = airflow.settings(watched).items() - airflow.settings(without).items()
    assert {name for name, _ in sent} == {
        "AIRFLOW__METRICS__OTEL_ON",
        "AIRFLOW__METRICS__LEGACY_NAMES_ON",
        "AIRFLOW__METRICS__METRICS_ALLOW_LIST",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
        "OTEL_METRIC_EXPORT_INTERVAL",
    }
    assert airflow.settings(without).items() <= airflow.settings(watched).items()
    assert airflow.connections(without, secrets) == airflow.connections(watched, secrets)


def test_spark_shows_its_figures_only_where_they_are_asked_for_and_no_key_with_them(
    tmp_path: Path,
) -> None:
    without, watched = config_of(tmp_path), config_of(tmp_path, FEIRA_MONITORING="on")
    lake = watched.lake_settings(load_secrets(tmp_path))
    plain, shown = (spark.properties(each, lake) for each in (without, watched))
    assert plain["spark.ui.enabled"] == "false" and spark.ports(without) == (without.ports.spark,)
    assert (shown["spark.ui.enabled"], shown["spark.ui.port"]) == ("true", "18094")
    assert spark.ports(watched) == (watched.ports.spark, 18094)
    assert {name for name, value in shown.items() if plain.get(name) != value} == {
        "spark.ui.enabled",
        "spark.ui.port",
        "spark.ui.killEnabled",
        "spark.redaction.regex",
        "spark.metrics.namespace",
        "spark.metrics.appStatusSource.enabled",
        "spark.metrics.conf.*.sink.prometheusServlet.class",
        "spark.metrics.conf.*.sink.prometheusServlet.path",
    }
    assert plain.keys() <= shown.keys()
    # The page has every property of the server, by name; those with a secret are hidden.
    hidden = re.compile(shown["spark.redaction.regex"].removeprefix("(?i)"), re.IGNORECASE)
    secrets = {value for value in vars(load_secrets(tmp_path)).values() if isinstance(value, str)}
    found = {name for name, value in shown.items() if any(each in value for each in secrets)}
    assert found and all(hidden.search(name) for name in found)


def test_it_is_no_part_that_can_be_left_out_and_the_switch_is_on_or_off(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"monitoring.*kafka, shop, valkey"):
        config_of(tmp_path, FEIRA_WITHOUT="monitoring")
    with pytest.raises(StackError, match=r"FEIRA_MONITORING is 'yes'; .*on or off"):
        config_of(tmp_path, FEIRA_MONITORING="yes")


def program(folder: Path, name: str) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_programs_are_those_of_the_folder_that_is_named_else_of_the_path(tmp_path: Path) -> None:
    mine, debian = tmp_path / "mine", tmp_path / "debian"
    found = Monitoring(
        prometheus=program(mine, "prometheus"), alertmanager=program(mine, "alertmanager")
    )
    packaged = Monitoring(
        prometheus=program(debian, "prometheus"),
        alertmanager=program(debian, "prometheus-alertmanager"),
    )
    assert Monitoring.found({"FEIRA_MONITORING_BIN": str(mine), "PATH": str(debian)}) == found
    assert Monitoring.found({"PATH": os.pathsep.join((str(debian), str(mine)))}) == replace(
        packaged, alertmanager=found.alertmanager
    )
    assert Monitoring.found({"PATH": str(debian)}) == packaged
    assert Monitoring.found({"PATH": str(tmp_path)}) == Monitoring()
    paged = Monitoring.found({"PATH": str(tmp_path), "FEIRA_PAGES_URL": "https://x.example/a/"})
    assert paged == Monitoring(pages="https://x.example/a")
    for odd in ("x.example", "https://x.example/{{ 1 }}", 'https://x"y', "ftp://x.example"):
        with pytest.raises(StackError, match="FEIRA_PAGES_URL is"):
            Monitoring.found({"FEIRA_PAGES_URL": odd})
    with pytest.raises(StackError, match=r"FEIRA_MONITORING_BIN is '/nowhere'"):
        Monitoring.found({"FEIRA_MONITORING_BIN": "/nowhere"})


def test_a_running_stack_knows_whether_it_is_watched_and_by_which_programs(tmp_path: Path) -> None:
    plain = config_of(tmp_path)
    watched = replace(
        plain, monitoring=Monitoring("/usr/bin/prometheus", None, "https://x.example")
    )
    for config in (plain, watched):
        saved = json.loads(json.dumps(state.as_json(config)))
        assert state._restored(plain, saved) == config
    assert "parts monitoring: None" in lifecycle._difference(plain, watched)


def test_the_watch_has_a_login_of_its_own_that_only_reads(tmp_path: Path) -> None:
    config = config_of(tmp_path, FEIRA_MONITORING="on")
    secrets = load_secrets(config.home)
    users = airflow.settings(config)["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"]
    assert "monitor:viewer" in users.split(",")
    airflow.prepare(config, secrets)
    passwords = json.loads(airflow.passwords_file(config).read_text())
    assert passwords["monitor"] == secrets.airflow_monitor
    # A user without a password would be given one, in Airflow's log.
    assert passwords.keys() == {user.partition(":")[0] for user in users.split(",")}


def test_it_asks_what_the_stack_has_and_nothing_that_is_left_out_or_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path))

    def asked(config: StackConfig) -> list[str]:
        return [each.name for each in sources(config, Figures())]

    whole = [
        "disk",
        "heaps",
        "postgres",
        "catalog",
        "s3",
        "warehouse",
        "kafka",
        "shop_api",
        "airflow",
    ]
    assert asked(config_of(tmp_path, FEIRA_MONITORING="on")) == whole
    (s3,) = (
        it
        for it in sources(config_of(tmp_path, FEIRA_MONITORING="on"), Figures())
        if it.name == "s3"
    )
    # As it answers to who does not sign.
    assert isinstance(s3, Endpoint) and 403 in s3.statuses
    redshift = config_of(tmp_path, FEIRA_MONITORING="on", FEIRA_WAREHOUSE_ON="redshift")
    assert asked(redshift) == whole
    entered = {
        conninfo_to_dict(each.dsn)["dbname"]
        for each in sources(redshift, Figures())
        if isinstance(each, Postgres | Warehouse)
    }
    assert entered == {redshift.warehouse_database} != {"warehouse"}
    without = config_of(tmp_path, FEIRA_MONITORING="on", FEIRA_WITHOUT="kafka")
    assert asked(without) == [name for name in whole if name != "kafka"]
    own = tmp_path / "connections.yaml"
    own.write_text(
        "warehouse_default: {conn_type: postgres, host: theirs}\n"
        "shop_api: {conn_type: http, host: theirs}\n"
        "lake_default: {conn_type: aws, login: k, password: s, extra: {endpoint_url: 'http://s3', "
        "service_config: {s3: {bucket_name: b}}}}\n"
        "kafka_default: {conn_type: kafka, extra: {bootstrap.servers: 'theirs:9092'}}\n"
    )
    own.chmod(0o600)
    config = config_of(tmp_path, FEIRA_MONITORING="on")
    assert asked(config) == [name for name in whole if name not in ("warehouse", "shop_api", "s3")]
    (topics,) = (each for each in sources(config, Figures()) if isinstance(each, Topics))
    assert topics.options["bootstrap.servers"] == "theirs:9092"


def test_the_disk_is_that_of_the_folder_and_one_that_is_gone_is_an_error(tmp_path: Path) -> None:
    figures = Figures()
    Disk(tmp_path).collect(figures)
    size, free = (
        figures.registry.get_sample_value(f"feira_disk_{what}_bytes", {"folder": "state"})
        for what in ("size", "free")
    )
    assert size == shutil.disk_usage(tmp_path).total
    assert free is not None and 0 < free < size
    with pytest.raises(FileNotFoundError):
        Disk(tmp_path / "gone").collect(figures)


def test_every_table_whose_contract_promises_a_time_is_held_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path))
    config, figures = config_of(tmp_path, FEIRA_MONITORING="on"), Figures()
    # Promises are shown before anything is asked, and here nothing answers.
    asked = [each for each in sources(config, figures) if isinstance(each, LakeTables | Warehouse)]
    for each in asked:
        each.dsn = "host=127.0.0.1 port=1"
    collect(asked, figures)
    shown = {
        sample.labels["table"]: sample.value
        for family in figures.registry.collect()
        for sample in family.samples
        if sample.name == "feira_table_promised_latency_seconds"
    }
    assert shown == {
        name: each.latency.total_seconds()
        for name, each in contracts().items()
        if each.latency is not None
    }


def test_the_exporter_loads_nothing_that_reads_tables_and_no_client_of_s3(tmp_path: Path) -> None:
    """Each of these is 5 to 40 MiB of what being watched may take."""
    heavy = "numpy pandas pyarrow pyiceberg airflow pyspark s3fs fsspec aiobotocore botocore.client feira_local.cli"
    program = f"""
import sys
from feira.monitoring.endpoints import Endpoint
from feira.monitoring.exporter import collect
from feira.monitoring.figures import Figures
from feira_local.monitoring.__main__ import sources
from feira_local.stack.config import StackConfig

config, figures = StackConfig.from_env(), Figures()
config.make_folders()
# Nothing answers: what is asked has been imported by then.
collect([each for each in sources(config, figures) if each.name != "kafka"], figures)
print(*{{*{heavy.split()}}} & {{*sys.modules}})
"""
    found = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ
        | {"FEIRA_HOME": str(tmp_path), "FEIRA_MONITORING": "on", "FEIRA_PORT_OFFSET": "31000"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert found.stdout.split() == []
