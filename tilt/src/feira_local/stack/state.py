"""What is kept of a stack while it runs: the settings it was started with, and who is at work on it."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from feira_local.stack.config import (
    Monitoring,
    ShopOptions,
    SparkOn,
    StackConfig,
    WarehouseOn,
)
from feira_local.stack.errors import StackError
from feira_local.stack.secrets import write_private


def settings_path(config: StackConfig) -> Path:
    """The file of the settings; it is there from a start until the stack is stopped."""
    return config.run / "config.json"


def save(config: StackConfig) -> None:
    write_private(settings_path(config), json.dumps(as_json(config), indent=1) + "\n")


def forget(config: StackConfig) -> None:
    settings_path(config).unlink(missing_ok=True)


def as_json(config: StackConfig) -> dict[str, object]:
    shop = dataclasses.asdict(config.shop)
    shop["data"] = str(config.shop.data) if config.shop.data else None
    extra = str(config.extra_dags) if config.extra_dags else None
    return {
        "ports": dataclasses.asdict(config.ports),
        "shop": shop,
        "dags": {"extra": extra, "clock": config.clock, "lineage": config.lineage},
        "parts": {
            "without": list(config.without),
            "monitoring": config.monitoring and dataclasses.asdict(config.monitoring),
            "spark_on": config.spark_on,
            "warehouse_on": config.warehouse_on,
            "comet": config.comet,
        },
    }


def running_config() -> StackConfig:
    """The settings the stack in ``FEIRA_HOME`` was started with, else the environment's."""
    # The ports and options may be illegal in this shell while the running stack's are fine.
    home_only = {key: os.environ[key] for key in ("FEIRA_HOME",) if key in os.environ}
    config = StackConfig.from_env(home_only)
    saved = settings_path(config)
    if not saved.is_file():
        return StackConfig.from_env()
    try:
        return _restored(config, json.loads(saved.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StackError(
            f"{saved} does not hold a stack's settings ({type(error).__name__}: {error}). Remove that "
            "file; it is written anew by `feira up`."
        ) from error


def _restored(config: StackConfig, fields: dict[str, Any]) -> StackConfig:
    data, dags, parts = fields["shop"]["data"], fields["dags"], fields.get("parts", {})
    monitoring = parts.get("monitoring")
    # A part that joined since then has its default.
    own = dict(config.ports.own) | fields["ports"].pop("own", {})
    return dataclasses.replace(
        config,
        ports=dataclasses.replace(config.ports, **fields["ports"], own=own),
        shop=ShopOptions(**(fields["shop"] | {"data": Path(data) if data else None})),
        extra_dags=Path(dags["extra"]) if dags["extra"] else None,
        clock=dags.get("clock", False),
        lineage=dags.get("lineage", True),
        without=tuple(parts.get("without", ())),
        monitoring=Monitoring(**monitoring) if monitoring else None,
        spark_on=SparkOn(parts.get("spark_on", SparkOn.LOCAL)),
        warehouse_on=WarehouseOn(parts.get("warehouse_on", WarehouseOn.POSTGRES)),
        comet=parts.get("comet", False),
    )


def lock_path(config: StackConfig) -> Path:
    """The file that a command locks while it works on the stack. Who removes the folder removes it last."""
    return config.run / "lock"


# Homes whose lock this process has.
_held: set[Path] = set()


@contextmanager
def alone(config: StackConfig) -> Iterator[None]:
    """One `up`, `down` or `clean` at a time for a state folder; its own steps may ask for this again."""
    if config.home in _held:
        yield
        return
    with _lock_file(config):
        _held.add(config.home)
        try:
            yield
        finally:
            _held.remove(config.home)


def _lock_file(config: StackConfig) -> IO[str]:
    """The locked file, which is open. Raises StackError where another process has it."""
    path = lock_path(config)
    while True:
        with suppress(FileNotFoundError), ExitStack() as closing:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except FileExistsError:
                if path.parent.exists():
                    raise
                # It was there, and a `clean` has removed it since.
                continue
            file = closing.enter_context(path.open("w"))
            # Twice: who asks whether it is taken holds it for a moment.
            if not _locked(file, fcntl.LOCK_EX):
                time.sleep(0.1)
                if not _locked(file, fcntl.LOCK_EX):
                    raise StackError(
                        f"Another `feira up`, `feira down` or `feira clean` works on {config.home}; wait until it ends."
                    )
            # A `clean` may have removed it since it was opened: then it keeps nobody out.
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                closing.pop_all()
                return file


def _locked(file: IO[str], how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def busy(config: StackConfig) -> bool:
    """Whether an `up`, `down`, `restart` or `clean` is at work on the state folder."""
    try:
        with lock_path(config).open() as file:
            return not _locked(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False
