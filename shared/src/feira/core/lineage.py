"""What a step reads and writes, as OpenLineage names it: datasets, and from which columns each column comes.

The names follow OpenLineage's rules (https://openlineage.io/docs/spec/naming), so that what is reported
here, by Airflow and by Spark is one graph. They hold no login, no parameter and no value of a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from feira.core.contracts import Contract
from feira.core.contracts.rule_sql import named
from feira.core.published_table import PublishedTable
from feira.core.settings import LakeSettings

if TYPE_CHECKING:
    import psycopg
    from openlineage.client.event_v2 import InputDataset, OutputDataset


@dataclass(frozen=True)
class Dataset:
    """A dataset's name: ``namespace`` is the source, as ``s3://bucket``, ``name`` is unique in it."""

    namespace: str
    name: str


@dataclass(frozen=True)
class Source:
    """A column of a dataset that another column is computed from."""

    dataset: Dataset
    column: str


Columns = Mapping[str, Iterable[Source]]
"""Each column of a dataset, and those that it is computed from: none for a constant."""


@dataclass(frozen=True)
class Step:
    """What a step reads, and what it writes with the sources of its columns, where they are known."""

    inputs: tuple[Dataset, ...]
    outputs: Mapping[Dataset, Columns] = field(default_factory=dict)

    def events(self) -> tuple[list[InputDataset], list[OutputDataset]]:
        """Inputs and outputs as OpenLineage's client takes them, with the facets ``schema`` and
        ``columnLineage`` of outputs whose columns are known."""
        # Half a second of imports, which nobody pays for but who reports lineage.
        from openlineage.client.event_v2 import InputDataset

        return (
            [InputDataset(namespace=each.namespace, name=each.name) for each in self.inputs],
            [_output(dataset, columns) for dataset, columns in self.outputs.items()],
        )


def _output(dataset: Dataset, columns: Columns) -> OutputDataset:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import column_lineage_dataset, schema_dataset

    if not columns:
        return OutputDataset(namespace=dataset.namespace, name=dataset.name)
    fields = {
        name: column_lineage_dataset.Fields(
            inputFields=[
                column_lineage_dataset.InputField(
                    namespace=source.dataset.namespace,
                    name=source.dataset.name,
                    field=source.column,
                )
                for source in sources
            ]
        )
        for name, sources in columns.items()
    }
    return OutputDataset(
        namespace=dataset.namespace,
        name=dataset.name,
        facets={
            "schema": schema_dataset.SchemaDatasetFacet(
                fields=[schema_dataset.SchemaDatasetFacetFields(name=name) for name in columns]
            ),
            "columnLineage": column_lineage_dataset.ColumnLineageDatasetFacet(fields=fields),
        },
    )


def api_call(base_url: str, call: str) -> Dataset:
    """What an API answers to a call: its origin, and the path without a slash at the front."""
    parts = urlsplit(base_url)
    port = f":{parts.port}" if parts.port else ""
    return Dataset(
        f"{parts.scheme}://{_in_url(parts.hostname or '')}{port}",
        f"{parts.path.rstrip('/')}/{call}".strip("/"),
    )


def _in_url(host: str) -> str:
    """A host as a URL has it: an address of IPv6 is in brackets."""
    return f"[{host}]" if ":" in host else host


def in_store(uri: str) -> Dataset:
    """Files at a URI of the lake: ``s3://bucket`` and the key, or ``file`` and the path."""
    scheme, _, rest = uri.partition("://")
    if scheme == "file":
        return Dataset("file", rest.rstrip("/"))
    bucket, _, key = rest.partition("/")
    return Dataset(f"{scheme}://{bucket}", key.rstrip("/"))


def lake_table(lake: LakeSettings, table: str) -> Dataset:
    """An Iceberg table by where its catalog keeps it, as Spark's integration names it too."""
    schema, _, name = table.partition(".")
    folder = f"{schema}.db" if lake.catalog == "glue" else schema
    return in_store(f"{lake.tables_root}/{folder}/{name}")


def warehouse_table(warehouse: psycopg.Connection, table: str) -> Dataset:
    """A table of the database that a connection is open to."""
    # Only who reports lineage has a warehouse, and pays for its import.
    from feira.core.warehouse.side import side_of

    info = warehouse.info
    server = side_of(warehouse).lineage_server(_in_url(info.host))
    return Dataset(f"{server}:{info.port}", f"{info.dbname}.{table}")


def same_columns(declared: Contract, source: Dataset) -> Columns:
    """Each column of a contract, from the column of the same name."""
    return {name: (Source(source, name),) for name in declared.column_names}


def published(table: PublishedTable, lake: LakeSettings) -> Step:
    """A day of a published table, made from the extracts: its columns have the same names in them."""
    extracts = lake_table(lake, table.extracts)
    return Step(
        (extracts,), {lake_table(lake, table.table): same_columns(table.contract, extracts)}
    )


def loaded(table: PublishedTable, lake: LakeSettings, warehouse: psycopg.Connection) -> Step:
    """A published table's difference, brought to the warehouse, and the ledger of loads."""
    source = lake_table(lake, table.table)
    return Step(
        (source,),
        {
            warehouse_table(warehouse, table.table): same_columns(table.contract, source),
            warehouse_table(warehouse, table.ledger): {},
        },
    )


def landed_fields(landing: Contract, name: str) -> set[str]:
    """The landed fields that a field of a landing, or an input of its contract's rules, is computed from.

    Of what is looked up also the fields that say in which row; those of the document are
    ``<companion>.<column>``. Raises ContractError for a name that the contract does not know.
    """
    given = {each.name: each for each in landing.rule_inputs}.get(name)
    if given is None:
        return {landing.column(name).name}
    names: set[str] = set()
    found: set[str] = set()
    if given.expression is not None:
        names = named(given.expression)
    elif given.lookup is not None:
        lookup = given.lookup
        names = {*lookup.equal, *filter(None, [lookup.until])}
        there = (lookup.value, lookup.newest, *lookup.equal.values())
        found = {f"{lookup.companion}.{each}" for each in there if each}
    # An input without either, as the extract day, is given with the rows: no field holds it.
    return found | {each for needed in names for each in landed_fields(landing, needed)}
