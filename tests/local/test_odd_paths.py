"""A state folder whose path has spaces, quotes, percent signs and more than ASCII."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from feira_local.stack import spark
from feira_local.stack.config import StackConfig
from feira_local.stack.s3 import _escaped
from feira_local.stack.secrets import load_secrets
from feira_local.stack.services import services
from feira_local.stack.supervisor import render


@pytest.mark.parametrize("name", ["a b", "a 'b", 'a "b', "a %(x)s", "a $b ü", "a;b#c"])
def test_supervisord_reads_back_the_paths_of_any_folder(tmp_path: Path, name: str) -> None:
    config = StackConfig.from_env({"FEIRA_HOME": str(tmp_path / name)})
    config.make_folders()
    defined = services(config, load_secrets(config.home))
    file = tmp_path / "supervisord.conf"
    file.write_text(render(config, defined), encoding="utf-8")
    options = ServerOptions()
    options.realize(["-c", str(file)])
    assert options.configroot.supervisord.logfile == str(config.logs / "supervisord.log")
    groups = options.process_group_configs
    logs = {group.process_configs[0].stdout_logfile for group in groups}
    assert logs == {str(config.logs / f"{service.name}.log") for service in defined}


def test_spark_splits_no_option_at_a_space_of_the_clones_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = StackConfig.from_env({"FEIRA_HOME": str(tmp_path)})
    monkeypatch.setattr(spark, "__file__", str(tmp_path / "a 'b" / "spark.py"))
    lake = dataclasses.replace(config, home=tmp_path).lake_settings(load_secrets(tmp_path))
    options = spark.properties(config, lake)["spark.driver.extraJavaOptions"].split()
    assert all(option.startswith("-") for option in options)
    assert "'" not in " ".join(options)


def test_the_s3_servers_properties_hold_any_path() -> None:
    assert _escaped("/a b/ü\\x") == "/a b/\\u00fc\\\\x"
    assert _escaped("/😀") == "/\\ud83d\\ude00"
