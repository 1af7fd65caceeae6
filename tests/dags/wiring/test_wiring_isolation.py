"""Whatever DAG files do to the process that loads them, there is a report, and the right exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from feira_wiring import isolation
from feira_wiring.isolation import Answer, Request, ToolFailed, run
from feira_wiring.report import Report

HEARS = (
    "from airflow.sdk import DAG, Asset\nwith DAG('hear', schedule=[Asset('orders')]):\n    pass\n"
)
ANY = "# airflow dag\n"


def linted(tmp_path: Path, *options: str, **files: str) -> subprocess.CompletedProcess[str]:
    """The module on a folder of these files and one with a known error; its standard output alone."""
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "zz_hears.py").write_text(HEARS)
    return subprocess.run(
        [sys.executable, "-m", "feira_wiring", str(tmp_path), "--json", *options],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def rules(done: subprocess.CompletedProcess[str]) -> list[tuple[str, str]]:
    return sorted((each["rule"], each["level"]) for each in json.loads(done.stdout)["findings"])


ENDS = {
    "a_exit": ("import os\nos._exit(0)", "exit code 0"),
    "b_signal": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
    "c_crash": ("import ctypes\nctypes.string_at(0)", "SIGSEGV"),
    "d_raise": ("import sys\nsys.exit(0)", "SystemExit"),
}


# After each of them the next process imports Airflow anew.
@pytest.mark.parametrize(
    "names",
    [("a_exit", "c_crash"), pytest.param(("b_signal", "d_raise"), marks=pytest.mark.slow)],
    ids=" ".join,
)
def test_files_that_end_the_process_are_named_and_the_others_linted(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    done = linted(tmp_path, **{name: ANY + ENDS[name][0] for name in names})
    assert (done.returncode, done.stderr) == (1, "")
    assert rules(done) == [*[("ends-process", "error")] * 2, ("no-emitter", "error")]
    found = {
        Path(each["places"][0]["file"]).stem: each["problem"]
        for each in json.loads(done.stdout)["findings"]
    }
    for name in names:
        assert ENDS[name][1] in found[name]


@pytest.mark.slow
def test_a_file_that_hangs_is_named_and_the_others_linted(tmp_path: Path) -> None:
    """Once where Airflow's alarm reaches it, once where nothing but an end of the process does."""
    stubborn = (
        "while True:\n    try:\n        time.sleep(9)\n    except BaseException:\n        pass"
    )
    done = linted(
        tmp_path,
        "--file-timeout",
        "1",
        a_sleeps=ANY + "import time\ntime.sleep(99)",
        b_stubborn=ANY + "import time\n" + stubborn,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert rules(done) == [*[("import-hangs", "error")] * 2, ("no-emitter", "error")]


def test_standard_output_is_json_whatever_dag_files_print(tmp_path: Path) -> None:
    done = linted(
        tmp_path,
        a_prints=ANY
        + "import atexit, logging, os, subprocess, sys, threading, time, warnings\n"
        + "print('1'); os.write(1, b'2'); os.write(2, b'2'); subprocess.run(['echo', '3'])\n"
        + "sys.__stdout__.write('4'); warnings.warn('5'); logging.basicConfig(stream=sys.__stdout__)\n"
        + "logging.getLogger().critical('6'); atexit.register(print, '7')\n"
        + "threading.Thread(target=lambda: [print('8'), time.sleep(60)]).start()\n"
        + "open('/dev/stdout', 'w').write('9')\n",
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert rules(done) == [("no-emitter", "error")]


def test_what_a_dag_file_does_to_the_process_does_not_hide_the_others(tmp_path: Path) -> None:
    done = linted(
        tmp_path,
        a_breaks=ANY
        + "import builtins, json, logging, os, pickle, signal, sys\n"
        + "sys.path.clear(); os.chdir('/'); os.environ.clear(); sys.stdout.close(); sys.stderr = None\n"
        + "json.dumps = pickle.dumps = os.write = os.replace = None; builtins.open = None\n"
        + "signal.signal(signal.SIGTERM, signal.SIG_IGN); os.closerange(3, 64)\n",
        b_forks=ANY + "import os\nos.fork()\n",
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert ("no-emitter", "error") in rules(done)


@pytest.mark.slow
def test_no_report_in_time_is_exit_code_3_and_names_the_file(tmp_path: Path) -> None:
    done = linted(tmp_path, "--timeout", "30", a_sleeps=ANY + "import time\ntime.sleep(99)")
    assert done.returncode == 3
    assert "a_sleeps.py" in json.loads(done.stdout)["error"]
    assert "30 s" in done.stderr
    assert "a_sleeps.py" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_linter_that_cannot_start_is_exit_code_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dags.py").write_text(HEARS)
    monkeypatch.setenv("AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACKS", "neither")
    monkeypatch.setenv("AIRFLOW__CORE__DAG_DISCOVERY_SAFE_MODE", "neither")
    with pytest.raises(ToolFailed, match="neither"):
        run(Request((tmp_path,)))


def test_the_home_of_a_process_that_is_ended_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made, and removed, by the process that starts the others."""
    monkeypatch.delenv("AIRFLOW_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    report = Report(("dags",), 1, 1, (), ())
    homes: list[Path] = []

    def attempt(*_: object) -> isolation._End:
        homes.append(Path(os.environ["AIRFLOW_HOME"]))
        assert homes[-1].is_dir()
        (homes[-1] / "airflow.cfg").write_text("")
        killed = isolation._End(None, "a.py", "ended", "was ended by SIGKILL")
        return killed if len(homes) == 1 else isolation._End(Answer(report))

    monkeypatch.setattr(isolation, "_attempt", attempt)
    assert run(Request((tmp_path,))) == report
    assert homes[0] == homes[1] and not homes[0].exists()
    assert "AIRFLOW_HOME" not in os.environ
