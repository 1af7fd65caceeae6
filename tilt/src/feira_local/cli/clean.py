"""`feira clean`: what of a stack is removed, and what is not this stack's to remove."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Annotated

import typer

from feira_local.cli.output import AsJson, error_console, print_json, print_line, printable
from feira_local.cli.stack import start
from feira_local.stack import lifecycle, state
from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.local_parts import local_parts
from feira_local.stack.own_connections import FILE as CONNECTIONS
from feira_local.stack.secrets import FILE as SECRETS_FILE
from feira_local.stack.secrets import FILES as SECRETS
from feira_local.stack.state import running_config


def register(app: typer.Typer) -> None:
    app.command()(clean)


def clean(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    keep_settings: Annotated[
        bool,
        typer.Option("--keep-settings", help=f"Keep {CONNECTIONS} and the fetched jars."),
    ] = False,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart",
            help="Keep these, and start the stack afterwards with the settings that it ran with.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Stop the stack and remove its data, passwords and connections.yaml; the default stack's also the
    fetched jars. What a link leads to outside the stack's folder stays, and is named.

    Example: [bold]feira clean --yes[/]
    """
    config = running_config()
    kept = {config.home / CONNECTIONS} if keep_settings or restart else set[Path]()
    if restart:
        # Until the stack has come up they are nowhere else: whatever ends this, the next start has them.
        kept |= {state.settings_path(config), state.lock_path(config)}
    doomed = _doomed(config, kept)
    names = " and ".join(str(folder) for folder in doomed)
    if any(path.name == CONNECTIONS and path.exists() for path in kept):
        names += f" but {CONNECTIONS}"
    if doomed:
        _require_consent(names, yes)
    left = _left(doomed, kept)
    # Nobody starts the stack beside what is removed, nor before what is started with its settings.
    with state.alone(config) if doomed else nullcontext():
        if doomed:
            _remove_all(config, doomed, kept)
        if not as_json:
            print_line(f"Removed {names}." if doomed else "There is nothing to remove.")
        for link, target in left.items():
            error_console.print(
                printable(
                    f"{link} was a link to {target}, which is outside and stays; remove it by hand "
                    "if it was this stack's alone."
                ),
                soft_wrap=True,
            )
        if restart:
            start(config, as_json)
        elif as_json:
            print_json({"removed": doomed, "left": sorted(left.values())})


def _doomed(config: StackConfig, kept: set[Path]) -> list[Path]:
    """The folders to remove, or all in them but the files that are kept."""
    if kept and _holds_only(config.home, kept):
        return []
    _require_own_folder(config)
    own = config.home == config.repository / ".feira" and not kept
    # The jars are shared: a second stack that goes leaves them to the others.
    folders = (config.home, config.repository / ".cache") if own else (config.home,)
    return [folder for folder in folders if folder.exists()]


def _left(doomed: list[Path], kept: set[Path]) -> dict[Path, Path]:
    """What links in the folders lead to outside of them, by link: that is not removed."""
    left = {}
    for folder, folders, files in (found for each in doomed for found in os.walk(each)):
        for link in (Path(folder, name) for name in (*folders, *files)):
            if not link.is_symlink() or link in kept:
                continue
            target = Path(os.path.realpath(link))
            if target.exists() and not any(target.is_relative_to(each) for each in doomed):
                left[link] = target
    return left


def _require_consent(names: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise StackError(f"This removes {names}; repeat with --yes.")
    typer.confirm(f"Remove {names}, the lake and the warehouse with them?", abort=True)


def _remove_all(config: StackConfig, doomed: list[Path], kept: set[Path]) -> None:
    lifecycle.down(config)
    if state.settings_path(config) in kept:
        config.run.mkdir(exist_ok=True)
        state.save(config)
    lock = state.lock_path(config)
    # The home last: by it a clean that was ended is known, and done again.
    for folder in reversed(doomed):
        _remove(folder, kept | {lock})
    if config.socket.parent != config.run:
        shutil.rmtree(config.socket.parent, ignore_errors=True)
    if lock not in kept:
        lock.unlink(missing_ok=True)
        # Who starts the stack anew from here on may have them already.
        with suppress(OSError):
            config.run.rmdir()
            config.home.rmdir()


def _holds_only(folder: Path, kept: set[Path]) -> bool:
    """Whether all files in the folder are of these."""
    return folder.is_dir() and all(
        path in kept or (path.is_dir() and not path.is_symlink()) for path in folder.rglob("*")
    )


def _remove(path: Path, kept: set[Path]) -> None:
    """Removes the file or folder, or all in it but what is kept."""
    if path in kept:
        return
    if path.is_symlink() or not path.is_dir():
        path.unlink()
    elif any(each.is_relative_to(path) and each.exists() for each in kept):
        # By secrets.env the folder is known as a stack's: it goes last, so that a clean can be repeated.
        for each in sorted(path.iterdir(), key=lambda each: each.name == SECRETS_FILE):
            _remove(each, kept)
    else:
        shutil.rmtree(path)


# A state folder's own entries; with any other in it the folder is also somebody else's.
_OWN_ENTRIES = frozenset(
    [
        "airflow",
        CONNECTIONS,
        "dbt",
        "inbox",
        "lake",
        "logs",
        "postgres",
        "run",
        "spark",
        *SECRETS,
    ]
)


def _require_own_folder(config: StackConfig) -> None:
    """Raises StackError where removing the home would remove what no stack has made."""
    home, step = config.home, "Nothing was removed; set FEIRA_HOME to the stack's own folder."
    if not home.exists():
        return
    user = Path(os.environ.get("HOME") or "/").resolve()
    if home in (config.repository, user, *config.repository.parents, *user.parents):
        raise StackError(f"{home} is, or holds, the home folder or the checkout. {step}")
    # The settings are what a reset has left whose start came to nothing.
    marks = home / SECRETS_FILE, state.settings_path(config)
    if not any(mark.is_file() for mark in marks):
        raise StackError(
            f"{home} holds no secrets.env, so it is no state folder of a stack. {step}"
        )
    parts = {part.name for part in local_parts()}
    others = sorted(path.name for path in home.iterdir() if path.name not in _OWN_ENTRIES | parts)
    if others:
        raise StackError(
            f"{home} also holds {', '.join(others[:5])}, which no stack of this checkout has made; a "
            f"pipeline that is gone may have left it. Move it away first. {step}"
        )
