"""``python -m feira_wiring DAGS_FOLDER``: the same as ``lint-assets``."""

from __future__ import annotations

import sys

from feira_wiring.command import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m feira_wiring"))
