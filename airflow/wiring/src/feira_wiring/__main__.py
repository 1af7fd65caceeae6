"""``python -m feira_wiring DAGS_FOLDER``: the linter where there is no `feira` command."""

from __future__ import annotations

import sys

from feira_wiring.command import main

if __name__ == "__main__":
    sys.exit(main())
