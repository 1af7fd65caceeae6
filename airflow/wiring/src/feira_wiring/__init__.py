"""The wiring linter: what in a DAG folder silently never fires.

It needs Airflow and nothing else. ``lint-assets DAGS_FOLDER`` runs it, and ``feira_wiring.linting.lint`` is
what a program calls.
"""
