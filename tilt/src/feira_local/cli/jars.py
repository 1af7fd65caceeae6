"""`feira jars`: fetch the Java programs of the stack, or lock them anew."""

from __future__ import annotations

import time

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from feira_local.cli.output import AsJson, error_console, megabytes, print_json, print_line
from feira_local.stack import jars
from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="The Java programs of the stack.")
    group.command("fetch")(fetch)
    group.command("lock")(lock)
    app.add_typer(group, name="jars")


def ensure_jars(config: StackConfig, *, thorough: bool, quiet: bool = False) -> list[jars.Jar]:
    """Fetches what is missing with a progress bar; returns what was fetched."""
    wanted = jars.wanted_jars(config)
    missing = jars.missing_jars(wanted, config.jars, thorough=thorough)
    jars.remove_unmanaged(wanted, config.jars)
    if not missing:
        return []
    total = sum(jar.size for jar in missing)
    if jars.free_space(config.jars) < 3 * total:
        raise StackError(
            f"The jars need {megabytes(3 * total)} while they are fetched, and the disk of "
            f"{config.jars} has {megabytes(jars.free_space(config.jars))} free."
        )
    with Progress(
        TextColumn("Fetching {task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
        console=error_console,
        disable=quiet,
    ) as bar:
        task = bar.add_task(f"{len(missing)} jars", total=total)
        jars.fetch(missing, config.jars, on_progress=lambda done: bar.update(task, completed=done))
    return missing


def fetch(as_json: AsJson = False) -> None:
    """Fetch the jars that are missing or damaged, each checked against tilt/jars.lock.

    Example: [bold]feira jars fetch[/]
    """
    config = StackConfig.from_env()
    began = time.monotonic()
    fetched = ensure_jars(config, thorough=True, quiet=as_json)
    wanted = jars.wanted_jars(config)
    if as_json:
        print_json(
            {"jars": len(wanted), "fetched": [jar.file for jar in fetched], "folder": config.jars}
        )
        return
    size = sum(jar.size for jar in wanted)
    if fetched:
        print_line(
            f"Fetched {len(fetched)} jars in {time.monotonic() - began:.0f} s; "
            f"{len(wanted)} ({megabytes(size)}) are in {config.jars}."
        )
    else:
        print_line(f"All {len(wanted)} jars ({megabytes(size)}) are in {config.jars}.")


def lock(as_json: AsJson = False) -> None:
    """Resolve the jar sets anew and write tilt/jars.lock. Look at the difference before a commit.

    Example: [bold]feira jars lock && git diff tilt/jars.lock[/]
    """
    config = StackConfig.from_env()
    path = jars.lock_path(config.repository)
    before = {jar.coordinates for jar in jars.read_lock(path)} if path.is_file() else set()
    with error_console.status("Resolving the jars (about a minute)"):
        found = jars.resolve()
    jars.write_lock(path, found)
    after = {jar.coordinates for jar in found}
    if as_json:
        print_json(
            {"jars": len(found), "added": sorted(after - before), "removed": sorted(before - after)}
        )
        return
    for sign, names in (("+", after - before), ("-", before - after)):
        for name in sorted(names):
            print_line(f"{sign} {name}")
    print_line(f"{path} names {len(found)} jars, {megabytes(sum(jar.size for jar in found))}.")
