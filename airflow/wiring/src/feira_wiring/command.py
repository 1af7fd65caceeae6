"""The linter's command line, the same for ``lint-assets``, ``python -m feira_wiring`` and `feira lint-assets`."""

from __future__ import annotations

import argparse
import contextlib
import operator
import os
import re
import signal
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from feira_wiring import config, isolation
from feira_wiring.isolation import Request
from feira_wiring.rendering import (
    as_github,
    as_json,
    as_sarif,
    as_text,
    failed_as_json,
    failed_as_sarif,
)
from feira_wiring.report import LEVELS, FolderUnreadable, Report, must_exist
from feira_wiring.suppression import BaselineUnreadable, as_baseline, without_known

CLEAN, FINDINGS, WRONG, FAILED = 0, 1, 2, 3
_DISTRIBUTION = "airflow-asset-wiring"  # its pyproject.toml alone says which Airflow it is for
_SIGNS = {">=": operator.ge, "<": operator.lt}
_FORMATS = {"text": as_text, "json": as_json, "sarif": as_sarif, "github": as_github}
_EPILOG = """\
examples:
  {prog} dags
  {prog} dags team_b/dags --fail-on warning
  {prog} dags --enable merged-events --ignore two-emitters,no-listener
  {prog} dags --format sarif > wiring.sarif
  {prog} dags --write-baseline wiring.json; {prog} dags --baseline wiring.json
  {prog} dags --graph > wiring.mmd

exit codes:
  0  no finding at or above --fail-on
  1  findings
  2  nothing to look at, or an option, a rule or a configuration that is wrong
  3  the linter failed, was not done in time, or is not for the Airflow that is installed: there is no report
"""


def main(
    arguments: Sequence[str] | None = None,
    prog: str = "lint-assets",
    own: Sequence[Path] = (),
) -> int:
    """Prints what is asked for, and returns the exit code. ``own``: the folders if none is named."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        # So that the process which loads the DAG files does not outlive this one.
        signal.signal(signal.SIGTERM, _terminated)
        return _main(arguments, prog, own)
    except KeyboardInterrupt:
        print(f"{prog}: interrupted, no report.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        print(
            f"{prog}: the linter failed, which is a bug in it: {type(error).__name__}: {error}",
            file=sys.stderr,
        )
        return FAILED
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminated(number: int, frame: object) -> None:
    sys.exit(128 + number)


def _main(arguments: Sequence[str] | None, prog: str, own: Sequence[Path]) -> int:
    try:
        asked = _parser(prog, own).parse_args(arguments)
    except SystemExit as ended:  # argparse has printed why
        return int(ended.code or 0)
    folders = tuple(asked.folders or own)
    try:
        _check_airflow(asked.any_airflow)
        must_exist(folders)
        file = asked.config or config.find(folders[0])
        settings = config.read(file) if file else config.Config()
        request = Request(
            folders=folders,
            select=_rules(asked.select) or settings.select,
            ignore=(*settings.ignore, *_rules(asked.ignore)),
            enable=(*settings.enable, *_rules(asked.enable)),
            patterns=settings.assets,
        )
        report = isolation.run(
            request,
            asked.file_timeout or settings.file_timeout or isolation.FILE_TIMEOUT,
            asked.timeout or settings.timeout or isolation.TIMEOUT,
        )
        if asked.write_baseline:
            _written(asked.write_baseline, as_baseline(report))
            print(
                f"{len(report.findings)} findings are in {asked.write_baseline}.", file=sys.stderr
            )
            return CLEAN
        if baseline := asked.baseline or settings.baseline:
            report = without_known(report, baseline)
    except (FolderUnreadable, config.ConfigWrong, BaselineUnreadable) as error:
        return _no_report(prog, asked.format, str(error), WRONG)
    except isolation.ToolFailed as error:
        return _no_report(prog, asked.format, str(error), FAILED)
    if asked.graph:
        _print(report.graph.rstrip("\n"))
        return CLEAN
    _print(_FORMATS[asked.format](report))
    return _code(report, asked.fail_on or settings.fail_on)


def _check_airflow(any_version: bool) -> None:
    """Raises ToolFailed on an Airflow that the linter's own distribution does not allow."""
    try:
        requires = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        requires = []
    bounds = [
        bound
        for each in requires
        if re.match(r"apache-airflow[^-\w]", each)
        for bound in re.findall(r"(>=|<)([\d.]+)", each)
    ]
    version = _airflow_version()
    if version is None:
        why = "no Airflow is installed here"
    elif any_version:
        return
    elif not bounds:
        why = f"{_DISTRIBUTION} is not installed here, and so its range of Airflow is not known"
    elif not all(_SIGNS[sign](_release(version), _release(bound)) for sign, bound in bounds):
        why = f"Airflow {version} is installed here"
    else:
        return
    allowed = ",".join(f"{sign}{bound}" for sign, bound in sorted(bounds, reverse=True))
    step = (
        f"Install the {_DISTRIBUTION} for it, or go on with --any-airflow"
        if version
        else "Install it"
    )
    raise isolation.ToolFailed(f"The linter is for apache-airflow{allowed}, and {why}. {step}.")


def _airflow_version() -> str | None:
    """What is installed, without an import of Airflow: Airflow 3 is apache-airflow-core."""
    for name in ("apache-airflow-core", "apache-airflow"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return None


def _release(version: str) -> tuple[int, ...]:
    """``3.3.2rc1`` as (3, 3, 2)."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def _no_report(prog: str, form: str, why: str, code: int) -> int:
    """Why, for people; and for programs in their format."""
    print(f"{prog}: {why}", file=sys.stderr)
    if form == "json":
        _print(failed_as_json(why))
    elif form == "sarif":
        _print(failed_as_sarif(why))
    return code


def _code(report: Report, fail_on: str) -> int:
    if fail_on == "never":
        return CLEAN
    failing = LEVELS[: [*LEVELS].index(fail_on) + 1]  # type: ignore[arg-type]
    return FINDINGS if any(each.level in failing for each in report.findings) else CLEAN


def _print(text: str) -> None:
    """A name that the terminal's encoding does not have is shown escaped; no output where none is due."""
    encoding = sys.stdout.encoding or "utf-8"
    if text:
        print(text.encode(encoding, errors="backslashreplace").decode(encoding), flush=True)


def _written(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BaselineUnreadable(f"The baseline {file} cannot be written: {error}.") from None


def _rules(given: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.strip() for each in given for name in each.split(",") if name.strip())


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 86_400:
        raise ValueError(text)
    return value


_seconds.__name__ = "seconds (over 0, under 86400)"  # argparse names it in its error


def _parser(prog: str, own: Sequence[Path]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Report what silently never fires in DAG folders.",
        epilog=_EPILOG.format(prog=prog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folders",
        nargs="*" if own else "+",
        type=Path,
        metavar="FOLDER",
        help="DAG folders or files, read as one deployment"
        + ("; Feira's own if none is named" if own else ""),
    )
    add = parser.add_argument
    add("--format", choices=[*_FORMATS], default="text", help="default: text")
    same = "the same as --format json"
    add("--json", dest="format", action="store_const", const="json", help=same)
    add("--graph", action="store_true", help="print a Mermaid flowchart instead")
    lowest = "the lowest level that makes exit code 1; default: error"
    add("--fail-on", choices=config.FAIL_ON, help=lowest)
    for names, what in (
        (["--select"], "run these rules alone"),
        (["--ignore", "--disable"], "leave these rules out"),
        (["--enable"], "run these rules too, which are off by default"),
    ):
        help_text = f"{what}; repeatable, or separated by commas"
        add(*names, action="append", default=[], metavar="RULES", help=help_text)
    for name, what in (
        ("--baseline", "report only what is not in it"),
        ("--write-baseline", "write all findings to it, and report none"),
        (
            "--config",
            "a TOML file with [tool.feira-lint]; default: the nearest pyproject.toml that has it, "
            "upward from the first folder",
        ),
    ):
        add(name, type=Path, metavar="FILE", help=what)
    other = "go on with a version of Airflow that the linter is not for"
    add("--any-airflow", action="store_true", help=other)
    for name, what, default in (
        ("--file-timeout", "for the import of one file", isolation.FILE_TIMEOUT),
        ("--timeout", "for everything", isolation.TIMEOUT),
    ):
        help_text = f"{what}; default: {default:g}"
        add(name, type=_seconds, metavar="SECONDS", help=help_text)
    return parser
