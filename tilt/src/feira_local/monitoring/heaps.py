"""What lives on in the heaps of the stack's JVMs, from the counters that HotSpot keeps in a file of each process.

The file is that which ``jstat`` reads (``hsperfdata``, version 2 of its form): nothing is asked of the JVM, and
it does no more than without.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from feira.monitoring.figures import Figures, Shown
from feira_local.stack.processes import Leader, leaders

_USED, _LIMIT = "sun.gc.generation.1.space.0.used", "sun.gc.generation.1.space.0.maxCapacity"
_MAGIC = b"\xca\xfe\xc0\xc0"


def counters(data: bytes) -> dict[str, int]:
    """The counters that are numbers, by name. Empty for what is no such file, or one that is being made."""
    if len(data) < 32 or data[:4] != _MAGIC:
        return {}
    order = "<" if data[4] == 1 else ">"
    offset, entries = struct.unpack_from(f"{order}ii", data, 24)
    found: dict[str, int] = {}
    for _ in range(entries):
        if offset + 20 > len(data):
            return {}
        length, name_at, vector, kind, _, _, _, at = struct.unpack_from(
            f"{order}iiibbbbi", data, offset
        )
        if length <= 0 or offset + at + 8 > len(data):
            return {}
        # A long that is no array.
        if kind == ord("J") and vector == 0:
            name = data[offset + name_at : data.index(b"\0", offset + name_at)]
            (value,) = struct.unpack_from(f"{order}q", data, offset + at)
            found[name.decode("ascii", "replace")] = value
        offset += length
    return found


class NoHeapError(RuntimeError):
    """A JVM lives and its counters are not found; the message names it and where they were looked for."""


def _folders() -> set[Path]:
    """Where HotSpot keeps its files: in /tmp on Linux, whatever TMPDIR is, else where temporary files are."""
    return {Path("/tmp"), Path(tempfile.gettempdir())}


@dataclass
class Heaps:
    """The JVMs among the services that a stack has started; ``run`` has the records of these."""

    run: Path
    name: str = field(default="heaps", init=False)
    _shown: Shown = field(default_factory=Shown, init=False)

    def collect(self, figures: Figures) -> None:
        """Sets used and limit of each; a service that is no JVM, or has ended, has none.

        Raises NoHeapError where Spark's server lives and no JVM's heap was found.
        """
        living = _by_service(leaders(self.run))
        found = {service: heap for service, *heap in _heaps(living)}
        for at, family in enumerate((figures.heap_used, figures.heap_limit)):
            self._shown.replace(family, {service: heap[at] for service, heap in found.items()})
        if not found and (spark := living.get("spark")):
            places = " or ".join(sorted(f"{folder}/hsperfdata_*" for folder in _folders()))
            raise NoHeapError(
                f"spark runs as process {spark}, and {places} has no file of its counters. Is -XX:-UsePerfData "
                "set, or its file gone?"
            )


def _by_service(found: Iterable[Leader]) -> dict[str, int]:
    """Each service's last leader that lives, by its number."""
    living: dict[str, int] = {}
    for leader in found:
        try:
            if abs(psutil.Process(leader.pid).create_time() - leader.started) < 1:
                living[leader.service] = leader.pid
        except psutil.NoSuchProcess:
            continue
    return living


def _heaps(living: Mapping[str, int]) -> Iterable[tuple[str, int, int]]:
    folders = [each for folder in _folders() for each in folder.glob("hsperfdata_*")]
    for service, pid in living.items():
        for folder in folders:
            try:
                found = counters((folder / str(pid)).read_bytes())
            except OSError:
                continue
            if found.get(_LIMIT, 0) > 0 and _USED in found:
                yield service, found[_USED], found[_LIMIT]
