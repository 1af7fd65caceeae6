"""An error as Redshift words it, whoever raised it."""

from __future__ import annotations

import psycopg

from redshift_local.translation.errors import RedshiftError

# PostgreSQL's SQLSTATE and Redshift's words, where they are others and the difference is known.
_WORDS = {
    "21000": "Found multiple matches to update the same tuple.",
    "22001": "Value too long for character type",
}


def redshifts_words(sqlstate: str) -> str:
    """Redshift's words for an error of this class; "" where PostgreSQL's are the same or not known."""
    return _WORDS.get(sqlstate, "")


def worded(error: RedshiftError | psycopg.Error) -> str:
    """``ERROR: …``, with PostgreSQL's own words or the hint as a second line."""
    if isinstance(error, RedshiftError):
        return f"ERROR: {error}" + (f"\n  Hint: {error.hint}" if error.hint else "")
    primary = error.diag.message_primary or str(error).strip()
    known = redshifts_words(error.diag.sqlstate or "")
    return f"ERROR: {known}\n  Detail: {primary}" if known else f"ERROR: {primary}"
