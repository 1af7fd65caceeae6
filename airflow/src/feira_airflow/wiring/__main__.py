"""``python -m feira_airflow.wiring DAGS_FOLDER``: the linter where there is no `feira` command."""

from __future__ import annotations

import sys

from feira_airflow.wiring.command import main

if __name__ == "__main__":
    sys.exit(main())
