"""Operators: single steps that any DAG can take."""
