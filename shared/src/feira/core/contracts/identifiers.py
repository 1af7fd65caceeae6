# ruff: noqa: SIM905  (lists of words are read and compared as text)
"""The column names that a contract may use, so that no statement needs quotes and none has two meanings.

The same names stand in Spark SQL, Iceberg, PostgreSQL and Redshift. A word that any of them reserves
is refused where the contract is read, long before a statement could fail on one side only.
"""

from __future__ import annotations

# tests/shared/core/test_identifiers.py and tests/spark/core/test_reserved_words.py hold these lists against the
# engines that run, and against sqlglot.
RESERVED: dict[str, frozenset[str]] = {
    "Spark": frozenset(
        """
        all and any as authorization both call case cast check collate collation column
        constraint create cross current_date current_time current_timestamp current_user
        distinct else end escape except execute false fetch filter for foreign from full grant
        group having in inner intersect into is join lateral leading left natural not null
        offset on only or order outer overlaps primary recursive references right select
        session_user some sql table then time to trailing union unique unknown user using when
        where with within
        """.split()
    ),
    "PostgreSQL": frozenset(
        """
        all analyse analyze and any array as asc asymmetric authorization binary both case
        cast check collate collation column concurrently constraint create cross
        current_catalog current_date current_role current_schema current_time
        current_timestamp current_user default deferrable desc distinct do else end except
        false fetch for foreign freeze from full grant group having ilike in initially inner
        intersect into is isnull join lateral leading left like limit localtime localtimestamp
        natural not notnull null offset on only or order outer overlaps placing primary
        references returning right select session_user similar some symmetric system_user
        table tablesample then to trailing true union unique user using variadic verbose when
        where window with
        """.split()
    ),
    "Redshift": frozenset(
        """
        aes128 aes256 all allowoverwrite analyse analyze and any array as asc authorization
        az64 backup between binary blanksasnull both bytedict bzip2 case cast check collate
        column constraint create credentials cross current_date current_time current_timestamp
        current_user current_user_id default deferrable deflate defrag delta delta32k desc
        disable distinct do else emptyasnull enable encode encrypt encryption end except
        explicit false for foreign freeze from full globaldict256 globaldict64k grant group
        gzip having identity ignore ilike in initially inner intersect interval into is isnull
        join leading left like limit localtime localtimestamp lun luns lzo lzop minus mostly16
        mostly32 mostly8 natural new not notnull null nulls off offline offset oid old on only
        open or order outer overlaps parallel partition percent permissions pivot placing
        primary raw readratio recover references rejectlog resort respect restore right select
        session_user similar snapshot some sysdate system table tag tdes text255 text32k then
        timestamp to top trailing true truncatecolumns type union unique unnest unpivot user
        using verbose wallet when where with without
        """.split()
    ),
}
# Every table of PostgreSQL and Redshift has these already.
SYSTEM_COLUMNS = frozenset(
    """
    tableoid xmin cmin xmax cmax ctid oid deletexid insertxid
    """.split()
)
# Names that the platform's own queries use beside the contract's, and the tables that declare them.
OWN: dict[str, frozenset[str]] = {
    "raw": frozenset({"sales.quarantine"}),
    "broken_rules": frozenset({"sales.quarantine"}),
    **dict.fromkeys(("shape_rules", "created_time", "updated_time"), frozenset()),
    **dict.fromkeys(("unit_price_decimal", "currency_quoted"), frozenset()),
    **dict.fromkeys(("change", "action", "row", "row_id", "page", "old", "new"), frozenset()),
}
# PostgreSQL cuts a longer name silently; all names here are ASCII.
LONGEST = 63


def reserved_by(name: str) -> str | None:
    """The engines that reserve a lower-case name; None where none does."""
    return " and ".join(engine for engine, words in RESERVED.items() if name in words) or None


def name_problem(name: str, table: str) -> str | None:
    """Why a lower_snake_case name cannot be a column of the table; None where it can.

    ``table`` is the name that the contract declares: a few names are the platform's own, and may
    stand in the tables that they are of.
    """
    if len(name) > LONGEST:
        return f"has {len(name)} characters; PostgreSQL holds {LONGEST}"
    if name in OWN:
        return None if table in OWN[name] else "is a name that the platform's own queries use"
    if engines := reserved_by(name):
        return f"is reserved by {engines}"
    if name in SYSTEM_COLUMNS:
        return "is a system column of PostgreSQL or Redshift"
    return None
