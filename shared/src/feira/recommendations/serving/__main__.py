"""The API as a program: `python -m feira.recommendations.serving`.

``FEIRA_VALKEY_URL`` says where the lists are, ``FEIRA_KAFKA`` (JSON of librdkafka's configuration) where posted
events go; a file in the lake is read with the settings in
``FEIRA_LAKE`` and ``FEIRA_LAKE_*``.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from feira.core.errors import PermanentError
from feira.recommendations.serving.app import SWAPPED, Recommendations
from feira.recommendations.serving.events import kafka_from_env, require_producer
from feira.recommendations.serving.looked_at import Lake
from feira.recommendations.serving.requests import LEAST_SWAPPED, MOST_SWAPPED
from feira.recommendations.serving.store import options_from_env
from feira.user_events import codec

_PATIENCE_SECONDS = 10
# uvicorn closes what was idle for 5 s, which is when clients such as httpx close it too: a request that is sent
# just then has no answer. So the client is to close first, and a load balancer of AWS does after 60 s.
KEEP_ALIVE_SECONDS = 75
EXAMPLE = """
Example:

  FEIRA_VALKEY_URL=valkey://127.0.0.1:6379 python -m feira.recommendations.serving --file served.json
"""


def main(
    file: Annotated[
        str, typer.Option(help="The file that is baked at publish: a path, or a URI in the lake.")
    ],
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 18040,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    swapped: Annotated[
        float,
        typer.Option(
            min=LEAST_SWAPPED,
            max=MOST_SWAPPED,
            help="The share of a shown list's places that are swapped at random.",
        ),
    ] = SWAPPED,
    ui: Annotated[
        bool, typer.Option(help="The page for people, which shows what a customer bought.")
    ] = True,
    ui_host: Annotated[
        list[str] | None,
        typer.Option(help="A name under which the page is asked for, once or more often."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of these draws; for a test.")] = None,
) -> None:
    """Answers with what is offered to a user, from the lists in Valkey."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        files, path = _place(file)
        valkey, kafka = options_from_env(), kafka_from_env()
        if kafka is not None:
            # The first event would wait for it otherwise, and a schema that is missing end the server with a trace,
            # as a property would that is none.
            codec.load()
            require_producer(kafka)
    except PermanentError as error:
        sys.exit(str(error))
    app = Recommendations(
        valkey,
        lambda: bytes(files.cat_file(path)),
        kafka,
        swapped,
        seed,
        Lake(files, path.rpartition("/")[0]) if ui else None,
        ui_host or (),
    )
    uvicorn.run(
        app,
        host=host,
        port=port,
        # An app that is made here cannot be shared out, as WEB_CONCURRENCY would have it.
        workers=1,
        access_log=False,
        log_level="info",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=2,
    )


def _place(file: str) -> tuple[AbstractFileSystem, str]:
    if "://" not in file:
        return LocalFileSystem(), str(Path(file).absolute())
    from feira.core.lake import lake_files
    from feira.core.settings import LakeSettings

    # A person waits for some of what is read.
    return lake_files(LakeSettings.from_env(), _PATIENCE_SECONDS), file


command = typer.Typer(add_completion=False, rich_markup_mode=None)
command.command(epilog=EXAMPLE)(main)

if __name__ == "__main__":
    command(prog_name="python -m feira.recommendations.serving")
