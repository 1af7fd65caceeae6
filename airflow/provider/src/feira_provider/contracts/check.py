"""Runs a contract's rules over the files of a dataset, in DuckDB: counts, and the rows that broke one.

DuckDB reads no file but local copies, so it needs no extension, and nothing is downloaded at run time.
Rows are read once, into a database file: what does not fit into memory goes to disk.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feira.core.contracts.document import ContractError
from feira.core.contracts.model import DUPLICATE_KEY, SHAPE, UNREADABLE
from feira.core.landing.manifest import FileManifest, ListedFile
from feira.core.settings import SettingsError
from feira_provider.contracts.beside import Beside
from feira_provider.contracts.lines import LINE, Seen
from feira_provider.contracts.source import add_types, fits, read_source
from feira_provider.contracts.terms import Rule, RuleSet, literal
from feira_provider.datasets.files import DatasetError

if TYPE_CHECKING:
    import duckdb
    from fsspec import AbstractFileSystem

# Others read files, and some write: enable_profiling(save_location = …) does within a SELECT.
_TABLE_FUNCTIONS = frozenset({"generate_series", "json_each", "json_tree", "range", "unnest"})
# Of an SQL text: error, its message, statements, and the table functions wherever they stand.
_PARSED = """
SELECT tree ->> '$.error_type', tree ->> '$.error_message',
    json_array_length(tree -> '$.statements'),
    (SELECT list(value ->> '$.function.function_name') FROM json_tree(tree)
    WHERE type = 'OBJECT' AND (value ->> '$.type') = 'TABLE_FUNCTION')
FROM (SELECT json_serialize_sql(?) AS tree)
"""


@dataclass(frozen=True)
class RuleResult:
    """What became of a rule: ``count`` rows (or the number that a query gave) and its limit."""

    rule: str
    count: float
    limit: str
    kept: bool
    blocking: bool


@dataclass(frozen=True)
class CheckResult:
    """What validation found. ``failures`` are rules of the whole dataset that do not hold."""

    rows: int
    invalid: int
    rules: tuple[RuleResult, ...]
    unknown_columns: tuple[str, ...]

    @property
    def invalid_percent(self) -> float:
        """Invalid rows in a hundred; 0 for a dataset without rows."""
        return 100 * self.invalid / self.rows if self.rows else 0.0

    @property
    def failures(self) -> list[RuleResult]:
        """Blocking rules with a limit of their own that was not kept."""
        return [each for each in self.rules if each.blocking and each.limit and not each.kept]

    def broken(self) -> str:
        """``order_id.required 3, qty.type 1``: the row rules that were broken, most often first."""
        found = [each for each in self.rules if each.count and not each.limit and each.blocking]
        found.sort(key=lambda each: (-each.count, each.rule))
        return ", ".join(f"{each.rule} {each.count:,.0f}" for each in found)

    def as_dict(self) -> dict[str, Any]:
        """For the report: counts, and every rule with what became of it."""
        return {
            "rows": self.rows,
            "valid": self.rows - self.invalid,
            "invalid": self.invalid,
            "invalid_percent": round(self.invalid_percent, 4),
            "rules": [asdict(rule) for rule in self.rules],
            "unknown_columns": list(self.unknown_columns),
        }


def check(
    rules: RuleSet,
    dataset: Sequence[str | ListedFile],
    file_format: str,
    files: AbstractFileSystem,
    quarantine: Path,
    *,
    scratch: Path,
    manifest: FileManifest | None = None,
    delimiter: str = ",",
    memory_limit: str = "1GB",
) -> CheckResult:
    """Checks every row, and writes the invalid ones to ``quarantine``, a local Parquet file.

    The quarantine has ``file``, ``row_number`` (from 1, over all files), ``broken`` (names of rules),
    ``line`` (the text of an NDJSON line, or of a CSV line that could not be split) and ``row`` (the
    columns as they were read). There is no such file where no row is invalid.

    :param dataset: the files' URLs, or the files as a manifest lists them: then their size, SHA-256
        and rows are compared with what it states
    :param files: the filesystem that reads the URLs
    :param manifest: what the dataset was listed by; a landing's states what its rules need
    :param scratch: an empty folder for DuckDB's database and local copies
    :param memory_limit: what DuckDB may hold in memory before it writes to ``scratch``
    :raises DatasetError: where a file is not of the format, not whole, or not as it is listed; or needs
        more than ``memory_limit``, though DuckDB writes to ``scratch`` what it can
    :raises ContractError: where a rule's SQL is refused, or cannot be evaluated
    :raises SettingsError: where DuckDB does not know such a ``memory_limit``
    """
    import duckdb

    rules = _as_landed(rules, file_format, manifest)
    seen = Seen()
    connection = duckdb.connect(str(scratch / "rows.duckdb"))
    try:
        _refuse_unsafe_sql(connection, rules)
        _limit_memory(connection, memory_limit)
        connection.execute("SET autoinstall_known_extensions = false")
        # A time without a zone is one of UTC, wherever the worker is.
        connection.execute("SET TimeZone = 'UTC'")
        listed = [file if isinstance(file, ListedFile) else ListedFile(file) for file in dataset]
        columns = read_source(
            connection, listed, file_format, delimiter, files, scratch, rules.columns, seen
        )
        add_types(connection, rules, file_format, columns, Beside(manifest, files))
        _confine(connection, scratch, quarantine)
        return _judge(connection, rules, file_format, columns, quarantine)
    except duckdb.OutOfMemoryException as error:
        raise _needs_more(memory_limit, seen) from error
    finally:
        connection.close()


def _needs_more(memory_limit: str, seen: Seen) -> DatasetError:
    longest = f" Its longest line has {seen.longest:,} characters ({seen.longest_at})."
    return DatasetError(
        f"The dataset cannot be validated within memory_limit, which is {memory_limit}."
        f"{longest if seen.longest else ''} Raise memory_limit, or have its rows written shorter."
    )


def _limit_memory(connection: duckdb.DuckDBPyConnection, memory_limit: str) -> None:
    import duckdb

    try:
        connection.execute(f"SET memory_limit = {literal(memory_limit)}")
    except duckdb.Error as error:
        raise SettingsError(
            f"memory_limit is {memory_limit!r}; it must be a number with a unit, as 1GB or 512MiB."
        ) from error


def _as_landed(rules: RuleSet, file_format: str, manifest: FileManifest | None) -> RuleSet:
    """A landing's rules, without those that blame it for a field that the contract got later."""
    if not rules.landing:
        return rules
    if file_format != "ndjson":
        raise ContractError(f"{rules.schema} is a landing, which is NDJSON and not {file_format}.")
    landed = ((manifest.landing if manifest else None) or {}).get("fields")
    since = {each.name for each in rules.columns} - set(landed) if landed is not None else set()
    shape = {f"{name}_{suffix}" for name in since for suffix in SHAPE}
    return replace(rules, rules=tuple(each for each in rules.rules if each.name not in shape))


def _refuse_unsafe_sql(connection: duckdb.DuckDBPyConnection, rules: RuleSet) -> None:
    """A contract carries SQL: one SELECT a query, one expression a rule of a row, and no function
    that opens a file or changes DuckDB's settings.

    :raises ContractError: naming the first rule that is anything else
    """
    for rule in rules.rules:
        sql = f"SELECT {rule.broken_when}" if rule.query is None else rule.query
        (parsed,) = connection.execute(_PARSED, [sql]).fetchall()
        kind, message, statements, called = parsed
        if kind == "parser":
            raise _unusable(rule, message)
        if statements != 1:
            wanted = "one expression" if rule.query is None else "one SELECT"
            raise ContractError(f"Rule {rule.name} must be {wanted} and nothing else.")
        refused = sorted(set(called or ()) - _TABLE_FUNCTIONS)
        if refused:
            raise ContractError(
                f"Rule {rule.name} selects from {', '.join(refused)}(); of table functions it "
                f"may use {', '.join(sorted(_TABLE_FUNCTIONS))}."
            )


def _confine(connection: duckdb.DuckDBPyConnection, scratch: Path, quarantine: Path) -> None:
    """From here on DuckDB opens only what it writes itself: the dataset's rows are in tables."""
    folders = sorted({f"{scratch}/", f"{quarantine.parent}/"})
    listed = ", ".join(literal(folder) for folder in folders)
    connection.execute(f"SET allowed_directories = [{listed}]")
    connection.execute("SET enable_external_access = false")


def _judge(
    connection: duckdb.DuckDBPyConnection,
    rules: RuleSet,
    file_format: str,
    columns: dict[str, str],
    quarantine: Path,
) -> CheckResult:
    row_rules = [rule for rule in rules.rules if rule.broken_when is not None]
    unreadable = UNREADABLE if rules.landing else LINE
    # Each on a line of its own: a comment at the end of one rule must not reach into the next.
    flags = [f"CASE WHEN {rule.broken_when}\nTHEN {literal(rule.name)} END" for rule in row_rules]
    _evaluate(
        connection,
        row_rules,
        "CREATE TABLE __flagged AS SELECT __n AS n, "
        f"list_filter([{', '.join(flags) or 'NULL::VARCHAR'}], lambda flag: flag IS NOT NULL) AS flags "
        "FROM __typed",
    )
    # A line that is no row has no columns to judge: it is named once.
    connection.execute(
        f"INSERT INTO __flagged SELECT __n, [CASE fault WHEN '{LINE}' "
        f"THEN '{unreadable}' ELSE fault END] FROM __source WHERE fault IS NOT NULL"
    )
    total = _number(connection, "SELECT count(*) FROM __flagged")
    counts = dict(
        connection.execute(
            "SELECT flag, count(*) FROM (SELECT unnest(flags) AS flag FROM __flagged) GROUP BY flag"
        ).fetchall()
    )
    faults = (unreadable, DUPLICATE_KEY)
    readable = total - sum(counts.get(fault, 0) for fault in faults)
    results = [*_presence(rules, file_format, columns, readable)]
    for fault in {"ndjson": faults, "csv": (LINE,)}.get(file_format, ()):
        results.append(RuleResult(fault, counts.get(fault, 0), "", not counts.get(fault), True))
    for rule in rules.rules:
        results.append(_result(connection, rule, counts, total))
    naming = [r.rule for r in results if r.blocking and not r.kept]
    _write_quarantine(connection, naming, quarantine)
    invalid = _number(
        connection,
        f"SELECT count(*) FROM __flagged WHERE {_any([r.rule for r in results if r.blocking and not r.limit])}",
    )
    known = {column.name for column in rules.columns}
    unknown = tuple(name for name in columns if name not in known)
    return CheckResult(int(total), int(invalid), tuple(results), unknown)


def _evaluate(connection: duckdb.DuckDBPyConnection, rules: Sequence[Rule], statement: str) -> None:
    """Runs the statement that evaluates all row rules at once; where it fails, names the rule."""
    import duckdb

    try:
        connection.execute(statement)
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error:
        for rule in rules:
            try:
                connection.execute(f"SELECT count({rule.broken_when}\n) FROM __typed").fetchall()
            except duckdb.Error as error:
                # Rules with windows cannot be counted like this; they are not the contract's own.
                if " OVER (" not in str(rule.broken_when):
                    raise _unusable(rule, error) from error
        raise


def _unusable(rule: Rule, error: object) -> ContractError:
    return ContractError(f"Rule {rule.name} cannot be evaluated: {error}")


def _result(
    connection: duckdb.DuckDBPyConnection, rule: Rule, counts: dict[str, int], total: float
) -> RuleResult:
    import duckdb

    if rule.query is not None:
        try:
            rows = connection.execute(rule.query).fetchmany(2)
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            raise _unusable(rule, error) from error
        count = _one_number(rule, rows)
    else:
        count = counts.get(rule.name, 0)
    if rule.limit is None:
        return RuleResult(rule.name, count, "", count == 0, rule.blocking)
    measured = (100 * count / total if total else 0.0) if rule.limit.percent else count
    condition = rule.limit.condition.replace("{value}", repr(measured))
    kept = bool(connection.execute(f"SELECT {condition}").fetchall()[0][0])
    return RuleResult(rule.name, count, rule.limit.text, kept, rule.blocking)


def _one_number(rule: Rule, rows: Sequence[tuple[Any, ...]]) -> float:
    """What a rule's query gave; a null is no number that keeps to a limit."""
    value = rows[0][0] if len(rows) == 1 and len(rows[0]) == 1 else rows
    if isinstance(value, (bool, int)):
        return int(value)
    if isinstance(value, (float, Decimal)) and math.isfinite(value):
        return float(value)
    raise ContractError(
        f"Rule {rule.name} gave {value!r}, where one finite number was expected; write coalesce(…, 0) "
        "for a null that means none."
    )


def _presence(
    rules: RuleSet, file_format: str, columns: dict[str, str], readable: float
) -> list[RuleResult]:
    """Declared columns that no row has, and Parquet columns of another type: drift, not bad rows."""
    found: list[RuleResult] = []
    # Of a landing it was judged when it was landed. A file that has a header shows it without a row.
    for column in rules.columns if (readable or columns) and not rules.landing else ():
        if column.name not in columns:
            found.append(RuleResult(f"{column.name}.present", 0, "in some row", False, True))
        elif file_format == "parquet" and not fits(column, columns[column.name]):
            limit = f"{column.type}, found {columns[column.name]}"
            found.append(RuleResult(f"{column.name}.physical type", 0, limit, False, True))
    return found


def _write_quarantine(
    connection: duckdb.DuckDBPyConnection, rules: Sequence[str], quarantine: Path
) -> None:
    where = _any(rules)
    if not _number(connection, f"SELECT count(*) FROM __flagged WHERE {where}"):
        return
    connection.execute(
        "COPY (SELECT file, n AS row_number, flags AS broken, line, row FROM __flagged "
        f"JOIN __source ON __n = n WHERE {where} ORDER BY n) TO {literal(quarantine)} (FORMAT parquet)"
    )


def _any(rules: Sequence[str]) -> str:
    listed = ", ".join(literal(rule) for rule in rules)
    return f"list_has_any(flags, [{listed}])" if rules else "false"


def _number(connection: duckdb.DuckDBPyConnection, query: str) -> float:
    """The one number that a query gives, a count as an int; 0 for null."""
    rows = connection.execute(query).fetchall()
    value = rows[0][0] if rows else None
    if value is None:
        return 0
    return int(value) if isinstance(value, int) else float(value)
