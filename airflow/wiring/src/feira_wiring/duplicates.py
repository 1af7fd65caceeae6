"""DAGs by their id, and those that are left out because another one has it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import DagBag

from feira_wiring.places import dag_line


@dataclass(frozen=True)
class Doubled:
    """A DAG of ``file`` that is left out, because one of ``other`` has its id; both are absolute.

    ``imported_from``: the file whose import makes it a DAG of both.
    """

    dag_id: str
    file: str
    other: str
    imported_from: str | None = None


class Bag(DagBag):
    """The DAGs of one file. Of several with one id Airflow keeps any; here it is always the same."""

    def __init__(self, folder: Path, top: Path) -> None:
        self.left: list[Any] = []
        super().__init__(dag_folder=str(folder.resolve()), bundle_path=top, collect_dags=False)

    def bag_dag(self, dag: Any) -> None:
        other = self.dags.pop(dag.dag_id, None)
        try:
            super().bag_dag(dag)
        except Exception:
            self.dags |= {} if other is None else {dag.dag_id: other}
            raise
        if other is not None and other is not dag:
            kept, left = sorted(
                (other, dag), key=lambda each: (each.fileloc, sorted(each.task_ids))
            )
            self.dags[dag.dag_id] = kept
            self.left.append(left)


class Dags:
    """The DAGs of a deployment, file by file. ``kept``: one of each id; ``bagged``: how many came."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.bagged = 0
        self._left: list[Any] = []
        self._imports: dict[str, frozenset[str]] = {}

    def take(self, bag: Bag, file: str, imported: Iterable[Path]) -> None:
        """The DAGs of a file, which imported these files beside it."""
        self._imports[file] = frozenset(map(str, imported))
        self.bagged += len(bag.dags)
        self._left += bag.left
        for dag_id, dag in bag.dags.items():
            other = self.kept.setdefault(dag_id, dag)
            if other is dag:
                continue
            # Where it is written it has its lines.
            at_home = dag.fileloc in self._imported(other)
            self.kept[dag_id] = dag if at_home else other
            self._left.append(other if at_home else dag)

    def doubled(self) -> Iterator[Doubled]:
        for dag in self._left:
            other = self.kept[dag.dag_id]
            yield Doubled(dag.dag_id, dag.fileloc, other.fileloc, self._source(dag, other))

    def _source(self, dag: Any, other: Any) -> str | None:
        if dag.fileloc == other.fileloc:
            return None
        if other.fileloc in self._imported(dag):
            return str(other.fileloc)
        common = sorted(self._imported(dag) & self._imported(other))
        written = (each for each in common if dag_line(Path(each), dag.dag_id) is not None)
        return next(written, None)

    def _imported(self, dag: Any) -> frozenset[str]:
        return self._imports.get(dag.fileloc, frozenset())
