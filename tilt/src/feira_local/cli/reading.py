"""What `feira sql` asks: one statement that reads tables, and whether of the lake or of the warehouse."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from feira.core.errors import first_line
from feira_local.cli.output import shortened
from feira_local.stack.errors import StackError

if TYPE_CHECKING:
    from sqlglot import Token, exp
    from sqlglot.errors import SqlglotError

_DIALECTS = {"spark": "Spark", "postgres": "PostgreSQL", "redshift": "Redshift"}
_EXPLAIN_MODE = re.compile(
    r"(?:\s*\((?!\s*(?:SELECT|WITH|VALUES|TABLE)\b)[^()]*\)"
    r"|\s+(?:EXTENDED|CODEGEN|COST|FORMATTED|ANALYZE|VERBOSE)\b)*",
    re.IGNORECASE,
)
# Spark on a laptop has no users, and its server holds the lake's keys.
_READS_FILES = "reads a file of Spark's server"
# By what a name is made of, so that a new member of a family is refused too.
_CALLS = {
    re.compile(r"\w*(java|reflect)\w*"): "runs any method of Spark's own process",
    # Their options name schemas, and XML a DTD, by path or URL.
    re.compile(
        r"\w+_(avro|protobuf|xml)|xpath\w*"
    ): "can read a file of Spark's server or fetch a URL",
    re.compile(r"\w*_logs"): "reads the logs of Spark's server",
    re.compile("identifier"): "hides the name that it stands for",
}
_NAMED_AFTER = ("AS", "WITH", "RECURSIVE")
# Those of Spark's functions that stand where a table does.
_MAKE_ROWS = (
    *("collations", "explode", "explode_outer", "inline", "inline_outer", "json_tuple"),
    *("posexplode", "posexplode_outer", "range", "sql_keywords", "stack"),
    *("variant_explode", "variant_explode_outer"),
)
_FILE = re.compile(r"[^\w-]")


def names_the_lake(query: str) -> bool:
    """Whether a table, a function or a namespace of the query is the lake's, in the first of the dialects that it is
    SQL of. Of what no parser looks into, such as what SHOW names, the words are searched."""
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    # It warns of each statement that it does not look into.
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    for dialect in _DIALECTS:
        try:
            _, asked = _below_explain(query, dialect)
            statements = _statements(asked, dialect)
        except (SqlglotError, RecursionError):
            continue
        if statements and not any(isinstance(each, exp.Command) for each in statements):
            return any(_is_of_the_lake(node) for each in statements for node in each.walk())
    return _has_a_word_of_the_lake(query)


def _is_of_the_lake(node: exp.Expr) -> bool:
    from sqlglot import exp

    if isinstance(node, exp.Table):
        # Only Spark describes, and what it describes may be a namespace.
        described = isinstance(node.parent, exp.Describe)
        first = node.parts[0].name if described else node.catalog
    elif isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func):
        leftmost = next(node.flatten())
        first = leftmost.name if isinstance(leftmost, exp.Identifier) else ""
    else:
        return False
    return first.lower() == "lake"


def _has_a_word_of_the_lake(query: str) -> bool:
    """Whether a name begins with the lake's outside texts and comments; of SHOW it may be the whole name."""
    import sqlglot
    from sqlglot import TokenType
    from sqlglot.errors import SqlglotError

    try:
        _, asked = _below_explain(query, "spark")
        kind = next(iter(sqlglot.tokenize(asked, read="spark")), None)
        # What follows SHOW is one token of its statement.
        words = sqlglot.tokenize(asked[kind.end + 1 :], read="spark") if kind else []
    except (SqlglotError, RecursionError):
        return False
    types = [*(each.token_type for each in words), None]
    names = [
        at
        for at, word in enumerate(words)
        if word.text.lower() == "lake"
        and types[at] in (TokenType.VAR, TokenType.IDENTIFIER)
        and types[at - 1] is not TokenType.DOT
    ]
    if kind and kind.text.upper() in ("SHOW", "DESCRIBE", "DESC"):
        return bool(names)
    return any(types[at + 1] is TokenType.DOT for at in names)


def reading(query: str, dialect: str) -> str:
    """The query as it is asked: of Spark's its comments and hints are blanks, since they end elsewhere for the
    parser than for Spark.

    Raises StackError for what is not one statement that reads. The warehouse's own role refuses the rest; on Spark
    nothing may run a program or a method of the server, or read its files.
    """
    from sqlglot.errors import SqlglotError

    if "\0" in query or any("\ud800" <= character <= "\udfff" for character in query):
        raise StackError("The query holds a NUL or half a character; write it as plain text.")
    # It warns of each statement that it does not look into.
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    try:
        return _reading(query, dialect)
    except SqlglotError as error:
        raise StackError(f"The query is no {_DIALECTS[dialect]} SQL: {_reason(error)}") from error
    except RecursionError as error:
        raise StackError("The query is nested too deeply; write it flatter.") from error


def _reading(query: str, dialect: str) -> str:
    import sqlglot
    from sqlglot import exp

    explain, query = _below_explain(query, dialect)
    tokens = sqlglot.tokenize(query, read=dialect)
    if dialect == "spark":
        _require_computing(tokens)
    statements = _statements(query, dialect)
    if len(statements) != 1:
        raise StackError(f"`feira sql` takes one statement; there are {len(statements)}.")
    statement = statements[0]
    writes = next(statement.find_all(exp.DDL, exp.DML, exp.Into), None)
    # The text after SHOW is not looked into: it names things, and computes nothing.
    shows = isinstance(statement, exp.Command) and statement.name.upper() == "SHOW"
    reads = shows or isinstance(statement, (exp.Query, exp.Values, exp.Describe, exp.Show))
    if writes is not None or not reads:
        kind = tokens[0].text if writes is None else writes.key
        raise StackError(
            f"`feira sql` only reads, and this is {kind.upper()}. Tables are changed by "
            "the pipelines and by `feira migrate`."
        )
    if dialect != "spark":
        return f"{explain}{query}"
    for node in statement.walk():
        _require_table(node)
    asked = query[tokens[0].start :] if shows else _without_comments(query, tokens)
    return f"{explain}{asked}"


def _statements(query: str, dialect: str) -> list[exp.Expr]:
    """What the query is made of; a comment behind its semicolon is no statement."""
    import sqlglot
    from sqlglot import exp

    parsed = sqlglot.parse(query, read=dialect)
    return [each for each in parsed if each is not None and not isinstance(each, exp.Semicolon)]


def _below_explain(query: str, dialect: str) -> tuple[str, str]:
    """EXPLAIN and its options, or nothing, and the statement below it."""
    import sqlglot
    from sqlglot import TokenType

    tokens = sqlglot.tokenize(query, read=dialect)
    explains = tokens and tokens[0].token_type is TokenType.COMMAND
    if not explains or tokens[0].text.upper() != "EXPLAIN":
        return "", query
    mode = _EXPLAIN_MODE.match(query, tokens[0].end + 1)
    assert mode is not None
    explain, statement = _below_explain(query[mode.end() :], dialect)
    return f"EXPLAIN{mode[0]}{explain}", statement


def _require_computing(tokens: list[Token]) -> None:
    """Raises StackError for what of Spark's SQL does more than compute."""
    from sqlglot import TokenType

    for before, token, following in zip(
        ["", *(it.text for it in tokens)], tokens, tokens[1:], strict=False
    ):
        name = token.text.lower()
        # After these comes the name of a table with those of its columns.
        calls = following.token_type is TokenType.L_PAREN and before.upper() not in _NAMED_AFTER
        if calls and (does := beside_computing(name)):
            raise StackError(f"`feira sql` only reads tables, and {shortened(name)} {does}.")
        # Of TRANSFORM, MAP and REDUCE; after that of a join comes a parenthesis.
        if name == "using" and following.token_type in (TokenType.STRING, TokenType.RAW_STRING):
            program = shortened(following.text)
            raise StackError(
                f"`feira sql` only reads tables, and USING {program!r} runs a program on Spark's server."
            )


def beside_computing(function: str) -> str | None:
    """What a function of Spark's does beside computing; None for one that only computes."""
    return next((does for names, does in _CALLS.items() if names.fullmatch(function)), None)


def _require_table(node: exp.Expr) -> None:
    """Raises StackError for what stands where a table of the lake does and is none."""
    from sqlglot import exp

    if isinstance(node, (exp.Table, exp.Lateral)) and isinstance(node.this, exp.Func):
        name = node.this.name if isinstance(node.this, exp.Anonymous) else node.this.sql_name()
        if name.lower() not in _MAKE_ROWS:
            raise StackError(
                f"`feira sql` only reads tables, and {shortened(name)} is none of Spark's functions that make "
                f"rows: {', '.join(_MAKE_ROWS)}."
            )
    elif isinstance(node, exp.Table) and any(_FILE.search(part.name) for part in node.parts):
        name = ".".join(part.sql("spark") for part in node.parts)
        raise StackError(f"`feira sql` only reads tables, and {shortened(name)} {_READS_FILES}.")


def _without_comments(query: str, tokens: list[Token]) -> str:
    from sqlglot import TokenType

    text = list(re.sub(r"\S", " ", query))
    for token in tokens:
        if token.token_type is not TokenType.HINT:
            text[token.start : token.end + 1] = query[token.start : token.end + 1]
    return "".join(text)


def _reason(error: SqlglotError) -> str:
    """Where a query stops being SQL, without the parser's own view of its tokens."""
    for found in getattr(error, "errors", []):
        what = str(found["description"]).partition(" but got <Token")[0].rstrip(".")
        if "<class" in what:
            what = "Something is missing"
        near = f" at {shortened(found['highlight'])!r}" if found.get("highlight") else ""
        return f"{what}{near}, line {found['line']}, column {found['col']}."
    return shortened(first_line(error), 300)
