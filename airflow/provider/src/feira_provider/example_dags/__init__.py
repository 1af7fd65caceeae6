"""A short DAG for each reusable part, to be read and copied; none of them runs unless triggered."""
