"""Assets whose name or URI is another one each time a DAG file is parsed.

Files whose text, or that of a module beside them, names what such a value comes from are loaded again:
once a minute later in the same hour, and once in another year.
"""

from __future__ import annotations

import builtins
import contextlib
import datetime
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from airflow.sdk.definitions.asset import BaseAsset
from airflow.serialization.encoders import coerce_to_core_timetable
from airflow.timetables.simple import AssetTriggeredTimetable

from feira_wiring.expressions import core
from feira_wiring.model import AssetId, Unstable
from feira_wiring.outlets import as_list, outlets_of

_CHANGING = re.compile(
    r"\b(uuid\w*|ulid|random\w*|secrets|urandom|tempfile|now|today|utcnow|time|time_ns|strftime"
    r"|localtime|gmtime|ctime|monotonic|perf_counter|getpid|hash|id)\b"
)
_LATER = datetime.timedelta(days=400, hours=5)  # another year, month, day, weekday and hour


def unstable(
    files: Iterable[str],
    dags: Mapping[str, Any],
    modules: Sequence[Path],
    reload: Callable[[str, Callable[[], None]], Iterable[Any]],
) -> Iterator[Unstable]:
    """What changes in these files. ``reload`` loads one again after the call that it is given."""
    by_file: dict[str, list[Any]] = {}
    for dag in dags.values():
        by_file.setdefault(dag.fileloc, []).append(dag)
    for file in _suspected([Path(file) for file in files], modules):
        known = _known(by_file.get(str(file), ()))
        for always, by in ((True, _a_minute()), (False, _LATER)):
            loaded = reload(str(file), partial(_shift, by))
            again = _known(dag for dag in loaded if dag.dag_id in known)
            # A DAG that is not there again is not known to have other assets.
            gone = {dag_id: known[dag_id] - assets for dag_id, assets in again.items()}
            for dag_id, assets in gone.items():
                yield from (Unstable(asset, dag_id, always) for asset in sorted(assets))


def _known(dags: Iterable[Any]) -> dict[str, set[AssetId]]:
    """Assets by DAG; without those that cannot be read, which are reported where they are read."""
    found: dict[str, set[AssetId]] = {}
    for dag in dags:
        with contextlib.suppress(Exception):
            found[dag.dag_id] = _assets(dag)
    return found


def _suspected(files: Sequence[Path], modules: Sequence[Path]) -> list[Path]:
    texts = {each: _text(each) for each in {*files, *modules}}
    found = {each for each, text in texts.items() if _CHANGING.search(text)}
    while True:
        names = {
            each.parent.name if each.stem == "__init__" else each.stem for each in found - {*files}
        }
        uses = re.compile(rf"\b({'|'.join(map(re.escape, sorted(names)))})\b") if names else None
        more = {each for each in texts if uses is not None and uses.search(texts[each])}
        if more <= found:
            return [each for each in files if each in found]
        found |= more


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def _assets(dag: Any) -> set[AssetId]:
    """Assets and aliases that a DAG names."""
    named: list[Any] = [
        each for task in dag.tasks for each in (*outlets_of(task)[0], *as_list(task.inlets))
    ]
    timetable = coerce_to_core_timetable(dag.timetable)
    if isinstance(timetable, AssetTriggeredTimetable):
        named.append(timetable.asset_condition)
    found: set[AssetId] = set()
    for each in named:
        if isinstance(each, BaseAsset):
            each = core(each)
        if hasattr(each, "iter_assets"):
            found |= {AssetId(asset.name, asset.uri) for _, asset in each.iter_assets()}
            found |= {AssetId(alias.name, kind="alias") for _, alias in each.iter_asset_aliases()}
    return found


def _a_minute() -> datetime.timedelta:
    """To a time of the same hour that has another minute and second."""
    minute = datetime.timedelta(minutes=1, seconds=1)
    return minute if datetime.datetime.now().minute < 58 else -minute


def _shift(by: datetime.timedelta) -> None:
    """Moves what a DAG file takes for now, and the process; whoever calls it undoes it."""
    real, day = datetime.datetime, datetime.date

    class AsReal(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, real)

    class Moved(datetime.datetime, metaclass=AsReal):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return real.now(tz) + by

        @classmethod
        def utcnow(cls) -> Any:
            return real.now(datetime.UTC).replace(tzinfo=None) + by

        @classmethod
        def today(cls) -> Any:
            return real.now() + by

    class AsDay(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, day)

    class MovedDay(datetime.date, metaclass=AsDay):
        @classmethod
        def today(cls) -> Any:
            return (real.now() + by).date()

    seconds = by.total_seconds()
    now, now_ns, local, gm = time.time, time.time_ns, time.localtime, time.gmtime
    form, text, pid, hashed = time.strftime, time.ctime, os.getpid(), builtins.hash
    vars(datetime).update(datetime=Moved, date=MovedDay)
    vars(time).update(
        time=lambda: now() + seconds,
        time_ns=lambda: now_ns() + int(seconds) * 10**9,
        localtime=lambda at=None: local(now() + seconds if at is None else at),
        gmtime=lambda at=None: gm(now() + seconds if at is None else at),
        strftime=lambda given, at=None: form(given, local(now() + seconds) if at is None else at),
        ctime=lambda at=None: text(now() + seconds if at is None else at),
    )
    vars(os).update(getpid=lambda: pid + 1)
    # Python's own for text is another one in each process.
    vars(builtins).update(
        hash=lambda of: hashed(of) ^ 1 if isinstance(of, str | bytes) else hashed(of)
    )


def beside(tops: Sequence[str], names: Iterable[str]) -> Iterator[str]:
    """The loaded modules among these that lie in these folders, where an import finds them."""
    for name in names:
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        for top in tops:
            at = Path(top, *name.split("."))
            # A folder without __init__.py has no file; it would keep what was imported from it.
            package = file is None and str(at) in [*getattr(module, "__path__", ())]
            if package or file in (f"{at}.py", str(at / "__init__.py")):
                yield name
                break
