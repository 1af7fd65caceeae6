"""Statements that are no query: transactions, settings, LOCK, TRUNCATE, VACUUM, cursors, and COPY's door."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from redshift_local.translation.dialect import postgres
from redshift_local.translation.errors import NotImitated, RedshiftError
from redshift_local.translation.grammar import words_of
from redshift_local.translation.words import Words, quoted

# Settings that PostgreSQL has too.
_SHARED = words_of(
    """
    application_name client_encoding datestyle extra_float_digits search_path statement_timeout timezone
    client_min_messages
    """
)
# Settings that change nothing here and are kept, so that SHOW answers.
_KEPT = {
    "analyze_threshold_percent": "10",
    "auto_analyze": "on",
    "enable_result_cache_for_session": "on",
    "enable_vacuum_boost": "off",
    "mv_enable_aqmv_for_session": "on",
    "query_group": "default",
    "wlm_query_slot_count": "1",
}
_FIXED = {
    "enable_case_sensitive_identifier": ("off", "false"),
    "downcase_delimited_identifier": ("on", "true"),
    "describe_field_name_in_uppercase": ("off", "false"),
}

Command = Callable[[Words], list[str]]


def _begin(words: Words) -> list[str]:
    if words.take("START"):
        words.need("TRANSACTION")
    else:
        words.need("BEGIN")
        words.take("TRANSACTION") or words.take("WORK")
    mode = ""
    while words.left:
        words.take(",")
        if words.take("READ", "ONLY"):
            mode = " READ ONLY"
        elif words.take("READ", "WRITE"):
            mode = " READ WRITE"
        elif words.take("ISOLATION", "LEVEL"):
            # All of them are what the database has: one level for each transaction.
            if not (words.take("SERIALIZABLE") or words.take("REPEATABLE", "READ")):
                words.need("READ")
                words.one_of("COMMITTED", "UNCOMMITTED")
        else:
            raise words.refusal()
    return [f"BEGIN{mode}"]


def _end(words: Words) -> list[str]:
    ends = words.one_of("COMMIT", "END", "ROLLBACK", "ABORT")
    words.take("TRANSACTION") or words.take("WORK")
    if words.word() == "TO":
        raise words.refusal("Redshift has no savepoints: the transaction is rolled back whole")
    words.end()
    return ["COMMIT" if ends in ("COMMIT", "END") else "ROLLBACK"]


def _savepoint(words: Words) -> list[str]:
    raise RedshiftError(
        f'SQL command "{words.word()}" is not supported',
        hint="Redshift has no savepoints: the transaction is rolled back whole",
    )


def _lock(words: Words) -> list[str]:
    words.need("LOCK")
    words.take("TABLE")
    tables = [words.table()]
    while words.take(","):
        tables.append(words.table())
    words.end()
    return [f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE"]


def _truncate(words: Words) -> list[str]:
    words.need("TRUNCATE")
    words.take("TABLE")
    table = words.table()
    words.end()
    # It commits the transaction that it stands in, and nothing takes it back.
    return [f"TRUNCATE TABLE {table}", "COMMIT"]


def _vacuum(words: Words) -> list[str]:
    words.need("VACUUM")
    for kind in (("FULL",), ("SORT", "ONLY"), ("DELETE", "ONLY"), ("REINDEX",), ("RECLUSTER",)):
        if words.take(*kind):
            break
    table = ""
    if words.left and words.word() not in ("TO", "BOOST"):
        table = f" {words.table()}"
    if words.take("TO"):
        words.number()
        words.need("PERCENT")
    words.take("BOOST")
    words.end()
    return [f"VACUUM{table}"]


def _analyze(words: Words) -> list[str]:
    words.need("ANALYZE")
    if words.word() == "COMPRESSION":
        raise NotImitated("ANALYZE COMPRESSION")
    words.take("VERBOSE")
    if not words.left:
        return ["ANALYZE"]
    table = words.table()
    columns = words.columns()
    words.take("PREDICATE", "COLUMNS") or words.take("ALL", "COLUMNS")
    words.end()
    listed = f" ({', '.join(quoted(each) for each in columns)})" if columns else ""
    return [f"ANALYZE {table}{listed}"]


def _refresh(words: Words) -> list[str]:
    words.need("REFRESH", "MATERIALIZED", "VIEW")
    view = words.table()
    words.take("RESTRICT") or words.take("CASCADE")
    words.end()
    return [f"REFRESH MATERIALIZED VIEW {view}"]


def is_utf8(encoding: str) -> bool:
    """Whether the name is one of Redshift's only encoding of clients."""
    return encoding.lower().replace("-", "").replace("_", "") in ("utf8", "unicode")


def _setting(name: str) -> str:
    """PostgreSQL's name of a setting; refuses one that Redshift may have and this package does not know."""
    if name in _SHARED:
        return name
    if name in _KEPT:
        return f"redshift.{name}"
    raise NotImitated(f"the setting {name}")


def _set(words: Words) -> list[str]:
    words.need("SET")
    if words.take("SESSION", "AUTHORIZATION"):
        raise NotImitated("SET SESSION AUTHORIZATION")
    scope = "LOCAL " if words.take("LOCAL") else ""
    words.take("SESSION")
    name = words.identifier()
    if name == "time" and words.take("ZONE"):
        name = "timezone"
    else:
        words.one_of("TO", "=")
    values = [(words.is_string(), words.any_text())]
    while words.take(","):
        values.append((words.is_string(), words.any_text()))
    words.end()
    if name in _FIXED:
        if values[0][1].lower() not in _FIXED[name]:
            raise NotImitated(f"{name} = {values[0][1]}")
        # What every session has; kept, since a statement has to be something.
        return [f"SET redshift.{name} TO {postgres(exp.Literal.string(values[0][1]))}"]
    for is_text, text in values if name == "client_encoding" else ():
        if not is_utf8(text) and (is_text or text.upper() != "DEFAULT"):
            raise NotImitated(f"client_encoding {text}", "texts are in UTF8")
    listed = ", ".join(
        "DEFAULT"
        if text.upper() == "DEFAULT" and not is_text
        else postgres(exp.Literal.string(text))
        for is_text, text in values
    )
    return [f"SET {scope}{_setting(name)} TO {listed}"]


def _show(words: Words) -> list[str]:
    words.need("SHOW")
    if words.word() in ("TABLES", "SCHEMAS", "DATABASES", "COLUMNS", "GRANTS", "TABLE", "VIEW"):
        raise NotImitated(f"SHOW {words.word()}")
    name = words.identifier()
    words.end()
    if name in _KEPT:
        value = postgres(exp.Literal.string(_KEPT[name]))
        setting = postgres(exp.Literal.string(f"redshift.{name}"))
        return [
            f"SELECT coalesce(nullif(current_setting({setting}, true), ''), {value}) AS {quoted(name)}"
        ]
    if name in _FIXED:
        return [f"SELECT {postgres(exp.Literal.string(_FIXED[name][0]))} AS {quoted(name)}"]
    if name == "server_version":
        return ["SELECT '8.0.2' AS server_version"]
    if name in ("transaction_isolation", "all"):
        raise NotImitated(f"SHOW {name}")
    return [f"SHOW {_setting(name)}"]


def _reset(words: Words) -> list[str]:
    words.need("RESET")
    name = words.identifier()
    words.end()
    return ["RESET ALL" if name == "all" else f"RESET {_setting(name)}"]


def _fetch(words: Words) -> list[str]:
    words.need("FETCH")
    how = "NEXT"
    if words.take("ALL"):
        how = "ALL"
    elif words.take("FORWARD"):
        how = (
            "ALL"
            if words.take("ALL")
            else "NEXT"
            if words.word() == "FROM"
            else str(words.number())
        )
        how = f"FORWARD {how}" if how not in ("NEXT",) else how
    else:
        words.take("NEXT")
    words.need("FROM")
    cursor = words.identifier()
    words.end()
    return [f"FETCH {how} FROM {quoted(cursor)}"]


def _close(words: Words) -> list[str]:
    words.need("CLOSE")
    cursor = words.identifier()
    words.end()
    return [f"CLOSE {quoted(cursor)}"]


def _deallocate(words: Words) -> list[str]:
    words.need("DEALLOCATE")
    words.take("PREPARE")
    name = words.identifier()
    words.end()
    return ["DEALLOCATE ALL" if name == "all" else f"DEALLOCATE {quoted(name)}"]


def create_schema(words: Words) -> list[str]:
    words.need("CREATE", "SCHEMA")
    exists = "IF NOT EXISTS " if words.take("IF", "NOT", "EXISTS") else ""
    schema = words.identifier()
    if words.take("AUTHORIZATION"):
        raise NotImitated("CREATE SCHEMA … AUTHORIZATION: all users are one")
    if words.take("QUOTA") and not words.take("UNLIMITED"):
        words.number()
        words.one_of("MB", "GB", "TB")
    words.end()
    return [f"CREATE SCHEMA {exists}{quoted(schema)}"]


COMMANDS: dict[str, Command] = {
    "ABORT": _end,
    "ANALYSE": _analyze,
    "ANALYZE": _analyze,
    "BEGIN": _begin,
    "CLOSE": _close,
    "COMMIT": _end,
    "DEALLOCATE": _deallocate,
    "END": _end,
    "FETCH": _fetch,
    "LOCK": _lock,
    "REFRESH": _refresh,
    "RELEASE": _savepoint,
    "RESET": _reset,
    "ROLLBACK": _end,
    "SAVEPOINT": _savepoint,
    "SET": _set,
    "SHOW": _show,
    "START": _begin,
    "TRUNCATE": _truncate,
    "VACUUM": _vacuum,
}
