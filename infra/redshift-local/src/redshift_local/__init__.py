"""A Redshift to test on, on the laptop: Redshift's SQL translated for PostgreSQL, or refused."""
