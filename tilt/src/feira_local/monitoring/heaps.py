"""What lives on in the heaps of the stack's JVMs, from the counters that HotSpot keeps in a file of each process.

The file is that which ``jstat`` reads (``hsperfdata``, version 2 of its form): nothing is asked of the JVM, and
it does no more than without.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from feira.monitoring.figures import Figures, Shown
from feira_local.stack.processes import Leader, leaders

_USED, _LIMIT = "sun.gc.generation.1.space.0.used", "sun.gc.generation.1.space.0.maxCapacity"
# Of full collections, in the serial collector and in G1.
_COLLECTIONS = "sun.gc.collector.1.invocations"
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


@dataclass(frozen=True)
class _Heap:
    """The old generation of a process: ``limit`` and ``left`` in bytes, the latter what its last full collection
    left, or None where none was seen."""

    pid: int
    collections: int
    limit: int
    left: int | None

    def after(self, before: _Heap | None) -> _Heap:
        """The same with what was left, of one whose ``left`` is what is used now. That holds garbage too: the
        least since the last full collection is the nearest to what it left."""
        if before is None or before.pid != self.pid or before.collections > self.collections:
            return replace(self, left=None)
        if before.collections < self.collections:
            return self
        if before.left is None or self.left is None:
            return replace(self, left=None)
        return replace(self, left=min(before.left, self.left))


@dataclass
class Heaps:
    """The JVMs among the services that a stack has started; ``run`` has the records of these."""

    run: Path
    name: str = field(default="heaps", init=False)
    _shown: Shown = field(default_factory=Shown, init=False)
    _last: dict[str, _Heap] = field(default_factory=dict, init=False)

    def collect(self, figures: Figures) -> None:
        """Sets the limit of each, and what lives on in it once a full collection was seen; a service that is no
        JVM, or has ended, has none.

        Raises NoHeapError where Spark's server lives and no JVM's heap was found.
        """
        living = _by_service(leaders(self.run))
        found = {name: heap.after(self._last.get(name)) for name, heap in _heaps(living)}
        self._last = found
        left = {name: heap.left for name, heap in found.items() if heap.left is not None}
        self._shown.replace(figures.heap_used, left)
        self._shown.replace(figures.heap_limit, {name: heap.limit for name, heap in found.items()})
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


def _heaps(living: Mapping[str, int]) -> Iterable[tuple[str, _Heap]]:
    folders = [each for folder in _folders() for each in folder.glob("hsperfdata_*")]
    for service, pid in living.items():
        for folder in folders:
            try:
                found = counters((folder / str(pid)).read_bytes())
            except OSError:
                continue
            if found.get(_LIMIT, 0) > 0 and _USED in found and _COLLECTIONS in found:
                yield service, _Heap(pid, found[_COLLECTIONS], found[_LIMIT], found[_USED])
