"""``python -m feira_airflow.wiring DAGS_FOLDER``: the linter where there is no `feira` command."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from feira_airflow.wiring.home import airflow_home


def main(arguments: list[str] | None = None) -> int:
    """Prints the findings. Returns 0 where there are none, 1 where there are, 2 where it cannot look."""
    parser = argparse.ArgumentParser(
        prog="python -m feira_airflow.wiring",
        description="Report what silently never fires in a DAG folder.",
        epilog="Example: python -m feira_airflow.wiring dags --disable merged-events",
    )
    parser.add_argument("folder", type=Path, help="the DAG folder, or one DAG file")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.add_argument(
        "--disable",
        action="append",
        default=[],
        metavar="RULE",
        help="leave a rule out; repeatable",
    )
    asked = parser.parse_args(arguments)
    with airflow_home():
        # Not before: importing airflow makes its home.
        from feira_airflow.wiring.linting import lint
        from feira_airflow.wiring.loading import FolderUnreadable
        from feira_airflow.wiring.rendering import as_json, as_text
        from feira_airflow.wiring.rules import NoSuchRule

        try:
            report = lint(asked.folder, asked.disable)
        except (FolderUnreadable, NoSuchRule) as error:
            print(f"wiring: {error}", file=sys.stderr)
            return 2
    print(as_json(report) if asked.json else as_text(report))
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
