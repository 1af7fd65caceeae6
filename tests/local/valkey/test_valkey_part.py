"""The laptop's Valkey: on loopback, with a password that no command line has, keeping what it was given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import valkey

from feira.recommendations.serving.events import kafka_from_env
from feira.recommendations.serving.store import options_from_env
from feira_local.stack import airflow
from feira_local.stack.config import StackConfig
from feira_local.stack.secrets import load_secrets
from feira_local.stack.service import by_name
from feira_local.stack.services import services
from feira_local.valkey import local
from valkey_server import ValkeyServer


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    found = StackConfig.from_env({"FEIRA_HOME": str(tmp_path / "a,b c"), "FEIRA_PORT_OFFSET": "7"})
    found.make_folders()
    return found


def test_the_server_runs_with_its_password_on_loopback_bounded_and_without_eviction(
    tmp_path: Path,
) -> None:
    with ValkeyServer(tmp_path / "a, 'b' \"c\"") as server, server.client() as client:
        found = {
            name: client.config_get(name)[name]
            for name in (
                "bind",
                "appendonly",
                "appendfsync",
                "save",
                "maxmemory",
                "maxmemory-policy",
            )
        }
        assert found == {
            "bind": "127.0.0.1",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory": str(512 * 2**20),
            "maxmemory-policy": "noeviction",
        }
        assert (server.config.home / "valkey" / "appendonlydir").is_dir()
        with (
            valkey.Valkey(port=server.options["port"]) as stranger,
            pytest.raises(valkey.AuthenticationError),
        ):
            stranger.ping()


def test_what_it_was_given_is_there_after_it_was_killed(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path / "home") as server:
        with server.client() as client:
            client.mset({"a": b"\x00\xff" * 300, "b": b"1"})
        server.keep()
        server.kill()
        with server, server.client() as client:
            assert client.mget("a", "b") == [b"\x00\xff" * 300, b"1"]


def test_the_password_is_in_no_command_and_only_its_owner_reads_it(config: StackConfig) -> None:
    secrets = load_secrets(config.home)
    local.prepare(config, secrets)
    settings = config.home / "valkey" / "valkey.conf"
    assert settings.stat().st_mode & 0o077 == 0 and secrets.valkey in settings.read_text()
    defined = by_name(services(config, secrets))
    for name in ("valkey", "recommendations"):
        assert secrets.valkey not in json.dumps(defined[name].as_json())
        assert secrets.valkey not in repr(defined[name])


def test_the_api_reads_from_it_and_from_the_stacks_own_lake(config: StackConfig) -> None:
    secrets = load_secrets(config.home)
    api = by_name(local.services(config))["recommendations"]
    assert options_from_env(api.private_env) == {
        "host": "127.0.0.1",
        "port": 19101,
        "password": secrets.valkey,
        "db": 0,
    }
    assert api.command[-1] == f"{config.home}/lake/feira-lake/recommendations/served.json"
    assert api.ports == (18047,)


def test_the_api_reads_the_file_from_the_lake_of_connections_yaml(config: StackConfig) -> None:
    own = config.home / "connections.yaml"
    own.write_text(
        "lake_default: {conn_type: aws, login: k, password: s, "
        "extra: {service_config: {s3: {bucket_name: theirs}}}}\n"
    )
    own.chmod(0o600)
    api = by_name(local.services(config))["recommendations"]
    assert api.command[-1] == "s3://theirs/recommendations/served.json"
    assert api.private_env["FEIRA_LAKE"] == "s3://theirs"


def test_the_api_reads_where_lists_are_published_to(config: StackConfig) -> None:
    def served() -> dict[str, Any]:
        return options_from_env(by_name(local.services(config))["recommendations"].private_env)

    assert served() == local.valkey_options(config) | {"db": 0}
    own = config.home / "connections.yaml"
    own.write_text(
        "valkey_default: {conn_type: redis, host: theirs, port: 6380, login: api, password: 'p@ss/1',"
        " extra: {db: 2, ssl: true}}\n"
    )
    own.chmod(0o600)
    assert served() == {
        "host": "theirs",
        "port": 6380,
        "username": "api",
        "password": "p@ss/1",
        "db": 2,
        "ssl": True,
    }
    assert served() == local.valkey_options(config)
    for service in local.services(config):
        assert "p@ss/1" not in json.dumps(service.as_json()) + repr(service)


def test_events_that_are_posted_go_to_the_stacks_kafka_or_that_of_connections_yaml_or_nowhere(
    config: StackConfig, tmp_path: Path
) -> None:
    def kafka(config: StackConfig) -> dict[str, Any] | None:
        return kafka_from_env(by_name(local.services(config))["recommendations"].private_env)

    found = kafka(config)
    assert found is not None
    assert found["bootstrap.servers"] == f"127.0.0.1:{config.ports.own['kafka']}"
    without = StackConfig.from_env({"FEIRA_HOME": str(tmp_path / "h"), "FEIRA_WITHOUT": "kafka"})
    without.make_folders()
    assert kafka(without) is None
    own = config.home / "connections.yaml"
    own.write_text("kafka_default: {conn_type: kafka, extra: {bootstrap.servers: 'theirs:9092'}}\n")
    own.chmod(0o600)
    assert kafka(config) == {"bootstrap.servers": "theirs:9092"}


def test_its_connection_is_of_the_redis_providers_type(config: StackConfig) -> None:
    secrets = load_secrets(config.home)
    found = airflow.connections(config, secrets)["AIRFLOW_CONN_VALKEY_DEFAULT"]
    assert json.loads(found) == {
        "conn_type": "redis",
        "host": "127.0.0.1",
        "port": 19101,
        "password": secrets.valkey,
        "extra": {"db": 0},
    }


def test_without_it_the_stack_has_neither_server_nor_api(tmp_path: Path) -> None:
    env = {"FEIRA_HOME": str(tmp_path), "FEIRA_WITHOUT": "kafka,valkey"}
    config = StackConfig.from_env(env)
    secrets = load_secrets(config.home)
    assert not {"kafka", "valkey", "recommendations"} & by_name(services(config, secrets)).keys()
    assert "AIRFLOW_CONN_VALKEY_DEFAULT" not in airflow.connections(config, secrets)
