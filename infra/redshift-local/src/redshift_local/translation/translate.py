"""``translate``: Redshift's SQL in, PostgreSQL's out, or Redshift's refusal."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlglot import exp
from sqlglot.errors import ErrorLevel, ParseError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from redshift_local.translation import functions, queries, tables
from redshift_local.translation.commands import COMMANDS, create_schema
from redshift_local.translation.copying import Copy, read_copy
from redshift_local.translation.dialect import LocalRedshift, postgres, written
from redshift_local.translation.errors import NotImitated, RedshiftError, syntax_error
from redshift_local.translation.grammar import refuse_unknown_syntax
from redshift_local.translation.names import (
    refuse_bare_labels,
    refuse_correlations,
    refuse_names,
)
from redshift_local.translation.refusals import refuse
from redshift_local.translation.unloading import Unload, read_unload
from redshift_local.translation.words import Words

_DIALECT = LocalRedshift()
# A limit of Redshift's, of one statement.
MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Translated:
    """One statement: as it was written, and what PostgreSQL is to run for it.

    ``kind`` is its first word or two (``SELECT``, ``CREATE TABLE``); ``statements`` run in their order, and
    the first that returns rows has the result; ``parameters`` are the names behind ``$1``, ``$2``, …:
    one for each place of a ``:name``. A COPY or UNLOAD is in ``transfer``, which ``redshift_local.loading``
    runs; of UNLOAD the statement is its query.
    """

    # It may hold keys.
    source: str = field(repr=False)
    kind: str
    statements: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    transfer: Copy | Unload | None = None


def translate(sql: str) -> list[Translated]:
    """The statements of ``sql``, in their order; none of an empty text.

    Raises RedshiftError for the first that Redshift refuses, and NotImitated, which is one, for the first
    that this package does not know. No statement is then to be run.
    """
    if len(sql.encode()) > MAX_BYTES:
        raise RedshiftError("Statement is too large. Statement limit: 16 MB", sqlstate="54001")
    try:
        return [_statement(part, sql) for part in _split(_tokens(sql))]
    except RecursionError:
        raise RedshiftError("statement is too complex: nested too deep", sqlstate="54001") from None


def _tokens(sql: str) -> list[Token]:
    try:
        return _DIALECT.tokenize(sql)
    except TokenError as error:
        raise syntax_error(_last_word(sql), f"{error}".splitlines()[0]) from None


def _last_word(sql: str) -> str:
    words = sql.split()
    return words[-1][:40] if words else "end of input"


def _split(tokens: list[Token]) -> list[list[Token]]:
    parts: list[list[Token]] = [[]]
    for token in tokens:
        if token.token_type == TokenType.SEMICOLON:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


# Words that begin the same statement.
_SAME = {
    "ABORT": "ROLLBACK",
    "ANALYSE": "ANALYZE",
    "END": "COMMIT",
    "REFRESH": "REFRESH MATERIALIZED VIEW",
    "START": "BEGIN",
}


def _statement(tokens: list[Token], sql: str) -> Translated:
    source = sql[tokens[0].start : tokens[-1].end + 1]
    first = tokens[0].text.upper() if tokens[0].token_type != TokenType.STRING else ""
    second = tokens[1].text.upper() if len(tokens) > 1 else ""
    words = Words(tokens, sql)
    if first in COMMANDS:
        return Translated(source, _SAME.get(first, first), tuple(COMMANDS[first](words)))
    if (first, second) == ("CREATE", "SCHEMA"):
        return Translated(source, "CREATE SCHEMA", tuple(create_schema(words)))
    if first == "COPY":
        return Translated(source, "COPY", (), transfer=read_copy(words))
    if first == "UNLOAD":
        return _unload(read_unload(words), source)
    if first == "EXPLAIN":
        return _explained(tokens[1:], sql, source)
    if first == "DECLARE":
        return _cursor(words, sql, source)
    return _parsed(tokens, sql, source)


def _unload(order: Unload, source: str) -> Translated:
    parts = _split(_tokens(order.query))
    if len(parts) != 1:
        raise syntax_error("end of input" if not parts else ";", "UNLOAD takes one query")
    query = _parsed(parts[0], order.query, source)
    if query.kind != "SELECT" or query.parameters:
        raise syntax_error(query.kind, "UNLOAD takes a SELECT without parameters")
    tree = _tree(parts[0], order.query)
    if tree.args.get("limit") or tree.args.get("offset"):
        raise RedshiftError(
            "Limit clause is not supported", hint="SELECT * FROM (SELECT … LIMIT n)"
        )
    return Translated(source, "UNLOAD", query.statements, transfer=order)


def _explained(tokens: list[Token], sql: str, source: str) -> Translated:
    if tokens and tokens[0].text.upper() == "ANALYZE":
        raise syntax_error("ANALYZE", "EXPLAIN shows the plan and runs nothing")
    if tokens and tokens[0].text.upper() == "VERBOSE":
        tokens = tokens[1:]
    inner = _parsed(tokens, sql, source)
    return Translated(source, "EXPLAIN", (f"EXPLAIN {inner.statements[0]}",), inner.parameters)


def _cursor(words: Words, sql: str, source: str) -> Translated:
    words.need("DECLARE")
    name = words.identifier()
    words.need("CURSOR")
    words.need("FOR")
    query = _parsed(words.rest, sql, source)
    if query.kind != "SELECT":
        raise syntax_error(query.kind, "a cursor reads a SELECT")
    declare = (
        f"DECLARE {postgres(exp.to_identifier(name, quoted=True))} CURSOR FOR {query.statements[0]}"
    )
    return Translated(source, "DECLARE", (declare,), query.parameters)


# What a statement may begin with, beside the commands.
_BEGINNINGS = frozenset(
    [
        "ALTER",
        "COMMENT",
        "CREATE",
        "DELETE",
        "DROP",
        "INSERT",
        "MERGE",
        "SELECT",
        "UPDATE",
        "WITH",
        "(",
    ]
)
_LATER = {
    "CALL": "stored procedures",
    "COPY": "COPY here",
    "EXECUTE": "PREPARE and EXECUTE by SQL",
    "GRANT": "GRANT: all users are one",
    "PREPARE": "PREPARE and EXECUTE by SQL",
    "REVOKE": "REVOKE: all users are one",
    "USE": "USE",
    "CANCEL": "CANCEL",
}


def _parsed(tokens: list[Token], sql: str, source: str) -> Translated:
    if not tokens:
        raise syntax_error("end of input")
    first = tokens[0].text.upper()
    words = [token.text.upper() for token in tokens]
    if first in _LATER:
        raise NotImitated(_LATER[first])
    if tokens[0].token_type == TokenType.STRING or first not in _BEGINNINGS:
        raise syntax_error(tokens[0].text)
    duplicates = words[-2:] == ["REMOVE", "DUPLICATES"] and first == "MERGE"
    kind = words[3:4] if words[1:3] == ["OR", "REPLACE"] else words[1:2]
    if first == "CREATE" and kind and kind[0] in ("FUNCTION", "PROCEDURE", "LIBRARY", "MODEL"):
        # Before it is parsed: what is between dollars need not be SQL.
        raise NotImitated(f"CREATE {kind[0]}")
    tree = _tree(_with_whens(tokens) if duplicates else tokens, sql)
    refuse_bare_labels(tree, tokens)
    return _translated(tree, source, duplicates=duplicates)


def _with_whens(tokens: list[Token]) -> list[Token]:
    """MERGE … REMOVE DUPLICATES with clauses in the place of those words, for the parser to read."""
    clauses = "WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (a) VALUES (1)"
    return [*tokens[:-2], *_DIALECT.tokenize(clauses)]


def _tree(tokens: list[Token], sql: str) -> exp.Expr:
    parser = _DIALECT.parser(error_level=ErrorLevel.IMMEDIATE)
    try:
        trees = parser.parse(tokens, sql)
    except ParseError as error:
        found = error.errors[0] if error.errors else {}
        near = str(found.get("highlight") or "end of input")
        raise syntax_error(near, str(found.get("description") or error)) from None
    except (RedshiftError, RecursionError):
        raise
    except Exception as error:
        # Of what it cannot read the parser has errors that are no refusals of its own.
        raise syntax_error(tokens[0].text, f"{type(error).__name__}: {error}") from None
    if len(trees) != 1 or trees[0] is None:
        raise syntax_error(tokens[0].text)
    tree = trees[0]
    if isinstance(tree, exp.Command):
        raise NotImitated(written(tree)[:80])
    if isinstance(tree, exp.Merge):
        _values_of_merge(tree)
    return tree


def _values_of_merge(tree: exp.Merge) -> None:
    """``INSERT VALUES (…)`` without columns, which the parser reads as a call of VALUES."""
    for when in tree.args["whens"].expressions:
        insert = when.args["then"]
        columns = insert.this if isinstance(insert, exp.Insert) else None
        if isinstance(columns, exp.Tuple) and len(columns.expressions) == 1:
            call = columns.expressions[0]
            if isinstance(call, exp.Anonymous) and functions.name_of(call) == "values":
                insert.set("this", None)
                insert.set("expression", exp.Tuple(expressions=call.expressions))


_STATEMENTS = (
    exp.Alter,
    exp.Comment,
    exp.Create,
    exp.Delete,
    exp.Drop,
    exp.Insert,
    exp.Merge,
    exp.Query,
    exp.Update,
)


def _translated(tree: exp.Expr, source: str, *, duplicates: bool) -> Translated:
    if not isinstance(tree, _STATEMENTS):
        raise syntax_error(source.split()[0])
    refuse(tree)
    refuse_unknown_syntax(tree)
    refuse_names(tree)
    refuse_correlations(tree)
    kind = _kind(tree)
    parameters = _number(tree)
    tree = queries.rewrite(tree)
    try:
        statements = _generated(tree, duplicates=duplicates)
    except (RedshiftError, RecursionError):
        raise
    except Exception as error:
        # A tree that the generator cannot write is one that nobody has thought of.
        raise NotImitated(f"{source[:80]}: {type(error).__name__}: {error}") from None
    return Translated(source, kind, statements, parameters)


def _kind(tree: exp.Expr) -> str:
    if isinstance(tree, exp.Query):
        return "SELECT INTO" if tree.args.get("into") else "SELECT"
    if isinstance(tree, (exp.Create, exp.Drop, exp.Alter)):
        kind = str(tree.args.get("kind")).upper()
        if isinstance(tree, exp.Create) and kind == "TABLE" and tree.args.get("expression"):
            return "CREATE TABLE AS"
        materialized = any(tree.find_all(exp.MaterializedProperty)) or tree.args.get("materialized")
        return f"{tree.key.upper()} {'MATERIALIZED ' if materialized else ''}{kind}"
    return tree.key.upper()


def _number(tree: exp.Expr) -> tuple[str, ...]:
    """The names of ``:name``, each place of which becomes ``$1``, ``$2``, … in the tree.

    A name that is used twice gets two numbers, since its two places may need values of different types.
    """
    names: list[str] = []
    if tree.find(exp.Placeholder) and tree.find(exp.Parameter):
        raise syntax_error(":", "parameters are :name or $1, and not both")
    for placeholder in list(tree.find_all(exp.Placeholder, bfs=False)):
        name = placeholder.this
        if not isinstance(name, str):
            raise syntax_error("?")
        names.append(name)
        placeholder.replace(exp.Parameter(this=exp.Literal.number(len(names))))
    return tuple(names)


def _generated(tree: exp.Expr, *, duplicates: bool) -> tuple[str, ...]:
    if isinstance(tree, exp.Create):
        return (tables.create(tree),)
    if isinstance(tree, exp.Alter):
        return (tables.alter(tree),)
    if isinstance(tree, exp.Merge):
        return _merge(tree, duplicates=duplicates)
    if isinstance(tree, exp.Drop):
        kind = str(tree.args.get("kind")).upper()
        if kind not in ("TABLE", "VIEW", "SCHEMA"):
            raise NotImitated(f"DROP {kind}")
    if isinstance(tree, exp.Comment) and str(tree.args.get("kind")).upper() not in (
        "TABLE",
        "COLUMN",
        "VIEW",
        "SCHEMA",
        "DATABASE",
    ):
        raise NotImitated(f"COMMENT ON {tree.args.get('kind')}")
    if isinstance(tree, exp.Comment) and str(tree.args.get("kind")).upper() == "VIEW":
        return (_comment_on_view(tree),)
    return (postgres(tree),)


def _comment_on_view(tree: exp.Comment) -> str:
    """The comment for either kind of view: for PostgreSQL a materialized one is no VIEW."""
    view, text = postgres(tree.this), postgres(tree.expression)
    found = postgres(exp.Literal.string(view))
    block = (
        f"BEGIN IF (SELECT relkind FROM pg_class WHERE oid = CAST({found} AS regclass)) = 'm' "
        f"THEN COMMENT ON MATERIALIZED VIEW {view} IS {text}; "
        f"ELSE COMMENT ON VIEW {view} IS {text}; END IF; END"
    )
    return f"DO {postgres(exp.Literal.string(block))}"


def _merge(tree: exp.Merge, *, duplicates: bool) -> tuple[str, ...]:
    target, source, condition = (
        postgres(part) for part in (tree.this, tree.args["using"], tree.args["on"])
    )
    if duplicates:
        if not isinstance(tree.args["using"], exp.Table):
            raise syntax_error("REMOVE", "MERGE … REMOVE DUPLICATES has a table as its source")
        # In one statement: what matches gives way to the source's rows, each of them once.
        name = postgres(exp.to_identifier(tree.args["using"].alias_or_name, quoted=True))
        return (
            f"WITH _gone AS (DELETE FROM {target} USING {source} WHERE {condition}) "
            f"INSERT INTO {target} SELECT DISTINCT {name}.* FROM {source}",
        )
    matched, missing = (when.args["then"] for when in tree.args["whens"].expressions)
    if isinstance(matched, exp.Update):
        change = f"UPDATE SET {', '.join(_assigned(each) for each in matched.expressions)}"
    else:
        change = "DELETE"
    columns = f" {postgres(missing.this)}" if missing.this else ""
    return (
        f"MERGE INTO {target} USING {source} ON {condition} WHEN MATCHED THEN {change} "
        f"WHEN NOT MATCHED THEN INSERT{columns} VALUES {postgres(missing.expression)}",
    )


def _assigned(each: exp.Expr) -> str:
    """``column = value``; the column without its table, which PostgreSQL does not take there."""
    if not isinstance(each, exp.EQ) or not isinstance(each.this, exp.Column):
        raise syntax_error(written(each))
    return f"{postgres(each.this.this)} = {postgres(each.expression)}"
