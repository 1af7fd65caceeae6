"""The Tiltfile, run with Tilt's built-ins stubbed: what it shows, starts, watches and runs."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tilt_builtins
import typer
from tilt_builtins import Loop, TiltError
from typer.testing import CliRunner

from feira.core.settings import repository_root
from feira_local.cli import app
from feira_local.loop import saved_tests
from feira_local.shop.faults import FAULTS
from feira_local.stack import services as defined
from feira_local.stack.config import StackConfig
from feira_local.stack.service import Service

pytestmark = pytest.mark.usefixtures("home")
TILTFILE = repository_root() / "tilt" / "Tiltfile"
TREE: Any = typer.main.get_command(app)
# Resources that a person starts, or a saved file.
BY_HAND = ("restart-", "test-")
# A stack as it is, and one with monitoring.
BOTH = pytest.mark.parametrize("home", ["plain", "watched"], indirect=True)


def feira(command: list[str]) -> str:
    """What `feira` prints, run in this process."""
    assert command[0].endswith("/.venv/bin/feira")
    return CliRunner().invoke(app, command[1:]).stdout


def loop(text: str | None = None, **more: Any) -> Loop:
    options = {"main_dir": TILTFILE.parent, "exists": lambda _: True} | more
    return tilt_builtins.evaluate(text or TILTFILE.read_text(), feira, **options)


def require_every_service(found: Loop, services: dict[str, Service]) -> None:
    for service in services.values():
        assert service.name in found.resources, f"{service.name} is missing"
        resource = found.resources[service.name]
        assert resource["resource_deps"] == ["stack", *service.depends_on]
        assert resource["labels"] == [service.label]
        key = "serve_cmd" if service.kind == "service" else "cmd"
        assert resource[key][1:] == ["attach", service.name]
        assert [(each["url"], each["name"]) for each in resource["links"]] == [
            (link.url, link.title) for link in service.links if link.url.startswith("http")
        ]
        # A file saved starts no service again: that is what the restarts below are for.
        assert resource["deps"] is None


@BOTH
def test_every_service_is_a_resource_after_what_it_depends_on(services: dict[str, Service]) -> None:
    found = loop()
    require_every_service(found, services)
    assert found.resources["stack"]["cmd"][1:] == ["up", "--as-is"]
    assert found.resources["stack"]["resource_deps"] == []


@BOTH
def test_a_service_that_stays_up_is_probed_and_a_step_is_not(services: dict[str, Service]) -> None:
    found = loop()
    probed = {
        name: resource["readiness_probe"]
        for name, resource in found.resources.items()
        if resource["readiness_probe"]
    }
    assert set(probed) == {name for name, each in services.items() if each.kind == "service"}
    assert probed["inbox"]["http_get"]["url"] == "http://127.0.0.1:20025/health"
    assert probed["airflow-scheduler"]["http_get"]["url"].endswith(":20080/api/v2/monitor/health")
    # Its answer without a key is 403, which is no readiness to Tilt.
    assert probed["s3"]["tcp_socket"]["address"] == "127.0.0.1:21000"
    assert probed["spark"]["tcp_socket"]["address"] == "127.0.0.1:17002"
    assert probed["postgres"]["exec"]["command"][0].endswith("pg_isready")


@BOTH
def test_what_a_service_read_at_its_start_restarts_that_service_alone(
    services: dict[str, Service],
) -> None:
    found = loop()
    restarts = {name: it for name, it in found.resources.items() if name.startswith("restart-")}
    assert set(restarts) == {f"restart-{name}" for name, it in services.items() if it.code}
    assert {"restart-shop", "restart-inbox"} <= set(restarts)
    for name, resource in restarts.items():
        service = services[name.removeprefix("restart-")]
        assert resource["cmd"][1:] == ["restart", service.name]
        assert resource["deps"] == [str(path) for path in service.code or ()]
        assert resource["resource_deps"] == ["stack"]


def test_each_layer_of_tests_runs_on_save_and_not_at_the_start() -> None:
    found = loop()
    layers = saved_tests.layers(repository_root())
    assert set(layers) == {"dags", "infra", "local", "shared", "spark"}
    for name, layer in layers.items():
        resource = found.resources[f"test-{name}"]
        assert resource["cmd"][1:] == ["test", name]
        assert resource["deps"] == [str(layer.root), str(layer.tests)]
        assert resource["labels"] == ["tests"]


def require_quiet(found: Loop) -> None:
    for name, resource in found.resources.items():
        assert resource["auto_init"] is not name.startswith(BY_HAND), f"{name} starts by itself"
        assert resource["trigger_mode"] == "auto", name


@BOTH
def test_nothing_starts_by_itself_but_the_stack_and_its_services() -> None:
    require_quiet(loop())


SAVED_BY_EDITORS = [
    *(".land.py.swp", ".land.py.swx", "land.py~", "4913", ".#land.py", "#land.py#"),
    *("land.py___jb_tmp___", "land.py___jb_old___", ".goutputstream-XB1", "land.py.XkQjfr"),
    *("land.pyAb3dEf.bck", "land.py.save", "fact.odcs.yaml.QwErTy"),
    *("land.py.bak", "sedYq3Kx9", "land.py.tmp", ".idea/workspace.xml", ".vscode/settings.json"),
    *("__pycache__/land.cpython-311.pyc", "feira.egg-info/PKG-INFO", ".pytest_cache/v/x"),
]
SAVED_BY_HAND = ["land.py", "sales.fact.odcs.yaml", "daily_revenue.sql", "inbox.html.j2", "Tiltfile",
                 "logback.xml", "log4j2.properties", "test_land.py", "jars.lock",
                 "sales.new.schema"]  # fmt: skip


@pytest.mark.parametrize("root", ["/home/me/feira", "/home/.me/a 'b[k]*/f?", "/srv/x.py.backup/f"])
def test_editors_temporary_files_trigger_nothing_and_sources_do(root: str) -> None:
    found = loop(main_dir=Path(root) / "tilt")
    for folder in ("", "/shared/src/feira/core/landing", "/tests/shared/core"):
        for name in SAVED_BY_EDITORS:
            assert tilt_builtins.ignores(found.ignored, f"{root}{folder}/{name}"), name
            assert any(saved_tests.is_temporary(part) for part in Path(name).parts), name
        for name in SAVED_BY_HAND:
            assert not tilt_builtins.ignores(found.ignored, f"{root}{folder}/{name}"), name
            assert not saved_tests.is_temporary(name), name


def test_no_file_of_the_checkout_is_taken_for_a_temporary_one() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=repository_root(), capture_output=True, text=True, check=True
    ).stdout.split("\0")
    layers = ("shared/", "spark/", "airflow/", "infra/", "tilt/", "tests/")
    for path in listed:
        if path.startswith(layers):
            assert not any(map(saved_tests.is_temporary, Path(path).parts)), path


def test_a_service_that_joins_appears_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    real = defined.services

    def more(config: StackConfig, secrets: Any) -> tuple[Service, ...]:
        found = real(config, secrets)
        shop = next(each for each in found if each.name == "shop")
        return (*found, replace(shop, name="geo", label="maps", depends_on=("shop",), links=()))

    monkeypatch.setattr("feira_local.stack.lifecycle.services", more)
    found = loop()
    assert found.resources["geo"]["resource_deps"] == ["stack", "shop"]
    assert found.resources["geo"]["labels"] == ["maps"]
    assert found.resources["restart-geo"]["cmd"][1:] == ["restart", "geo"]
    assert str(repository_root() / "tilt" / "src" / "feira_local") in found.watched


BUTTONS = {
    "run-day", "refetch-day", "backfill", "verify", "break-shop", "heal-shop", "open-report",
    "open-inbox", "open-assets", "reset-lake",
}  # fmt: skip


def test_there_is_a_button_for_each_thing_that_a_day_needs() -> None:
    found = loop()
    assert set(found.buttons) >= BUTTONS
    assert {name for name, button in found.buttons.items() if button["asks"]} == {"reset-lake"}
    for name, button in found.buttons.items():
        assert button["text"], name
        # A named icon loads a font from the net.
        assert not button["icon_name"], name
        assert button["icon_svg"].startswith("<svg "), name
    faults = next(iter(found.buttons["break-shop"]["inputs"]))
    assert faults["choices"] == list(FAULTS)
    assert found.buttons["heal-shop"]["inputs"][0]["choices"] == ["all", *FAULTS]


Recorder = Callable[[list[str], dict[str, str]], list[list[str]]]


@pytest.fixture
def record(tmp_path: Path) -> Recorder:
    """Runs a button's words with a `feira` that only notes what it is given."""
    bin_, log = tmp_path / "feira", tmp_path / "log"
    bin_.write_text(
        "#!/usr/bin/env python3\nimport json, sys\n"
        f"open({str(log)!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
    )
    bin_.chmod(bin_.stat().st_mode | stat.S_IXUSR)

    def ran(words: list[str], inputs: dict[str, str]) -> list[list[str]]:
        log.unlink(missing_ok=True)
        own = [str(bin_) if word.endswith("/.venv/bin/feira") else word for word in words]
        subprocess.run(own, env=os.environ | inputs, cwd=tmp_path, check=True, timeout=120)
        return [json.loads(line) for line in log.read_text().splitlines()]

    return ran


def parameters(words: list[str]) -> tuple[str, dict[str, Any]]:
    """The command's name and parameters as `feira` itself reads the words; fails where it refuses."""
    command, context, path = TREE, None, []
    while True:
        context = command.make_context(command.name, list(words), parent=context)
        if not hasattr(command, "commands"):
            return " ".join(path), context.params
        rest = [*context._protected_args, *context.args]
        name, command, words = command.resolve_command(context, rest)
        path.append(name)


def require_commands(found: Loop, services: dict[str, Service]) -> None:
    root = str(repository_root())
    for name, resource in found.resources.items():
        for key, folder in (("cmd", "dir"), ("serve_cmd", "serve_dir")):
            if words := resource[key]:
                command, given = parameters(words[1:])
                assert command in ("up", "attach", "restart", "test"), name
                if command in ("attach", "restart"):
                    assert given["name"] in services
                # The checkout, wherever the Tiltfile is.
                assert resource[folder] == root, f"{name} runs in {resource[folder]!r}"
    for name, command in found.commands.items():
        assert command["dir"] == root, f"{name} runs in {command['dir']!r}"


@BOTH
def test_every_command_of_a_resource_exists_and_takes_its_words(
    services: dict[str, Service],
) -> None:
    require_commands(loop(), services)


@pytest.mark.slow
def test_every_button_runs_commands_that_exist_with_its_inputs(record: Recorder) -> None:
    found, ran = loop(), {}
    for name, button in found.buttons.items():
        (words,) = (
            it["args"] for it in found.commands.values() if it["start_on"]["ui_buttons"] == [name]
        )
        inputs = {each["name"]: each["default"] for each in button["inputs"]}
        ran[name] = [parameters(each) for each in record(words, inputs)]
    day = {"pipeline": "sales", "day": "2010-12-01", "as_json": False}
    assert ran["run-day"] == [("run", day | {"refetch": False})]
    assert ran["refetch-day"] == [("run", day | {"refetch": True})]
    assert ran["verify"][0][0] == "verify"
    ((command, given),) = ran["reset-lake"]
    assert (command, given["yes"], given["restart"]) == ("clean", True, True)
    assert ran["break-shop"] == [
        ("shop faults on", {"name": "server_error", "option": (), "as_json": False})
    ]
    assert ran["heal-shop"] == [("shop faults off", {"name": None, "as_json": False})]
    for page in ("report", "inbox", "assets"):
        assert ran[f"open-{page}"] == [("open", {"what": page, "as_json": False})]
    for layer in saved_tests.layers(repository_root()):
        assert ran[f"test-{layer}-all"][0][1]["everything"] is True


@pytest.mark.parametrize("odd", ["", "; touch gone", "$(touch gone)", "--help", "a b", "*", "'\"`"])
def test_an_input_is_a_word_and_never_a_command(odd: str, tmp_path: Path, record: Recorder) -> None:
    found = loop()
    run, backfill, on, off = (
        found.commands[f"run-{name}"]["args"]
        for name in ("run-day", "backfill", "break-shop", "heal-shop")
    )
    given = dict.fromkeys(("PIPELINE", "DAY", "DAYS", "FAULT"), odd) | {
        "OPTIONS": "status=503 count=3"
    }
    assert record(run, given) == [["run", f"--day={odd}", "--", odd]]
    assert record(backfill, given) == [["backfill", "--", odd, odd]]
    options = ["-o", "status=503", "-o", "count=3"]
    assert record(on, given) == [["shop", "faults", "on", *options, "--", odd]]
    assert record(off, given) == [["shop", "faults", "off", "--", odd]]
    assert not (tmp_path / "gone").exists()


def test_the_flag_for_a_cluster_leads_to_what_a_cluster_is_given() -> None:
    with pytest.raises(TiltError, match=r"--k8s: .*docs/kubernetes.md"):
        loop(arguments={"k8s": True})
    with pytest.raises(TiltError, match="not defined"):
        loop(arguments={"k9s": True})


def test_words_after_the_dashes_are_resources_and_the_stack_comes_with_them() -> None:
    assert loop(arguments={"resources": ["shop", "inbox"]}).enabled == ["stack", "shop", "inbox"]
    with pytest.raises(TiltError, match="shp"):
        loop(arguments={"resources": ["shp"]})


def test_without_an_installation_the_first_command_is_named() -> None:
    with pytest.raises(TiltError, match="make install"):
        loop(exists=lambda _: False)


def test_no_extension_is_loaded_which_would_need_the_net() -> None:
    assert "ext://" not in TILTFILE.read_text()


# (find, in its place, what is said): the stubs must be as strict as Tilt, and a little more.
PLANTED = [
    ("resource_deps=['stack'],", "resource_deps=['stak'],", "depends on stak"),
    ("labels=['edits'],", "label=['edits'],", "unexpected keyword argument 'label'"),
    ("labels=['edits'],", "labels=['edits/'],", "no label"),
    ("auto_init=False,", "auto_init='no',", "auto_init"),
    ("'test-' + layer['name'],", "'test',", "defined multiple times"),
    ("'test-' + layer['name'],", "'test/' + layer['name'],", "is no name"),
    ("resource='stack',", "resource='lake',", "is at lake"),
    ("ui_buttons=[name]", "ui_buttons=[name + '1']", "starts 0 commands"),
    ("timeout_secs=20", "timeout_seconds=20", "timeout_seconds"),
    ("port=int(health['port'])", "port=health['port'] + 70000", "is no port"),
    ("links = [", "links = ['x'] + [", "links"),
    ("feira('verify')", "'feira verify'", "args"),
    ("return [FEIRA]", "return FEIRA", "not supported"),
    ("ask('services')", "ask('servces')", "Expecting value"),
    # What only the tests above see.
    ("for service in SERVICES:", "for service in SERVICES[:-1]:", "is missing"),
    ("cmd=feira('test', layer['name']),", "cmd=feira('tests', layer['name']),", "tests"),
    ("link(each['url'], each['title'])", "link(each['title'], each['url'])", "http://"),
    ("'labels': [service['label']],", "'labels': ['services'],", "services"),
    ("auto_init=False,", "auto_init=True,", "starts by itself"),
    ("serve_dir=ROOT,", "serve_dir='',", "runs in ''"),
    ("args=args,\n        dir=ROOT,", "args=args,", "runs in ''"),
]


def require_all(text: str, services: dict[str, Service]) -> None:
    found = loop(text)
    require_every_service(found, services)
    require_quiet(found)
    require_commands(found, services)


@pytest.mark.parametrize(("find", "instead", "said"), PLANTED, ids=[each[1] for each in PLANTED])
def test_a_planted_fault_is_found(
    find: str, instead: str, said: str, services: dict[str, Service]
) -> None:
    text = TILTFILE.read_text()
    assert find in text
    with pytest.raises(Exception, match=said):
        require_all(text.replace(find, instead), services)


@pytest.mark.skipif(shutil.which("tilt") is None, reason="tilt is not on PATH")
def test_tilt_itself_brings_the_loop_up_and_the_stack_outlives_it(home: Path) -> None:
    feira_ = str(repository_root() / ".venv" / "bin" / "feira")
    env = os.environ | {"FEIRA_HOME": str(home), "FEIRA_PORT_OFFSET": "2000"}
    try:
        words = ["tilt", "ci", "-f", str(TILTFILE), "--port", "10399"]
        ended = subprocess.run(words, env=env, capture_output=True, text=True, timeout=600)
        assert ended.returncode == 0, ended.stdout[-3000:]
        subprocess.run([feira_, "status"], env=env, check=True, timeout=120)
    finally:
        subprocess.run([feira_, "down"], env=env, check=False, timeout=120)
