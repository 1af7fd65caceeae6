"""What a landing's rules name beside its lines: facts of the landing, and what was landed with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from feira.core.contracts.document import ContractError
from feira.core.contracts.model import Lookup, RuleInput
from feira.core.contracts.rule_sql import translate
from feira.core.landing.manifest import FileManifest
from feira_provider.contracts.terms import identifier, literal
from feira_provider.datasets.files import DatasetError, unpacked

if TYPE_CHECKING:
    import duckdb
    from fsspec import AbstractFileSystem


@dataclass
class Beside:
    """A landing's manifest, from which the inputs of its rules are taken; None where there is none."""

    manifest: FileManifest | None
    files: AbstractFileSystem
    _tables: dict[str, str] = field(default_factory=dict)

    def value(
        self, connection: duckdb.DuckDBPyConnection, each: RuleInput, names: Mapping[str, str]
    ) -> str:
        """SQL of an input for a row of ``l``, which has the columns ``names``.

        :raises ContractError: where the landing does not state what the contract leaves to it
        :raises DatasetError: where what was landed beside the lines cannot be read
        """
        if each.expression is not None:
            return translate(each.expression, names, "duckdb").text
        if each.lookup is None:
            return self._given(connection, each)
        return self._looked_up(connection, each, each.lookup)

    def _given(self, connection: duckdb.DuckDBPyConnection, each: RuleInput) -> str:
        stated = (self.manifest.landing or {}).get(each.name) if self.manifest else None
        if not isinstance(stated, (str, int)):
            raise ContractError(
                f"The contract's rules need {each.name}, which a landing's manifest states; name that as "
                "manifest."
            )
        value = f"CAST({literal(stated)} AS {each.type})"
        if connection.execute(f"SELECT TRY_{value}").fetchall() == [(None,)]:
            raise ContractError(
                f"The manifest's {each.name} is {stated!r}, which is no {each.type}."
            )
        return value

    def _looked_up(
        self, connection: duckdb.DuckDBPyConnection, each: RuleInput, lookup: Lookup
    ) -> str:
        there = self._table(connection, lookup)
        same = [f"r.{identifier(b)} = l.{identifier(a)}" for a, b in lookup.equal.items()]
        if lookup.value is None or lookup.newest is None or lookup.until is None:
            return f"EXISTS (SELECT 1 FROM {there} r WHERE {' AND '.join(same)})"
        day, until = f"CAST(r.{identifier(lookup.newest)} AS DATE)", f"l.{identifier(lookup.until)}"
        same.append(f"{day} BETWEEN {until} - {lookup.days} AND {until}")
        value = f"CAST(r.{identifier(lookup.value)} AS {each.type})"
        return f"(SELECT arg_max({value}, {day}) FROM {there} r WHERE {' AND '.join(same)})"

    def _table(self, connection: duckdb.DuckDBPyConnection, lookup: Lookup) -> str:
        """A companion of the landing as a table of texts, read once."""
        if lookup.companion in self._tables:
            return self._tables[lookup.companion]
        file = self.manifest.companions.get(lookup.companion) if self.manifest else None
        if file is None:
            raise ContractError(
                f"The contract's rules need {lookup.companion}, which is landed beside the lines; name "
                "the landing's manifest as manifest."
            )
        import pyarrow as pa

        columns = [*lookup.equal.values(), lookup.value, lookup.newest]
        try:
            rows = [orjson.loads(line) for line in unpacked(file, self.files, "ndjson")]
            texts = {name: [row[name] for row in rows] for name in columns if name}
            found = pa.table({name: pa.array(each, pa.string()) for name, each in texts.items()})
        except (ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise DatasetError(
                f"{file.url} cannot be read as {lookup.companion}: {error!r}."
            ) from error
        name = identifier(f"__beside_{lookup.companion}")
        connection.register("__batch", found)
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM __batch")
        connection.unregister("__batch")
        self._tables[lookup.companion] = name
        return name
