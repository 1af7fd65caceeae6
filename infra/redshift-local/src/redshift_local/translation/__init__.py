"""Redshift's SQL as PostgreSQL's: what is refused, what is rewritten, and the functions that stand behind it."""
