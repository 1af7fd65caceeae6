"""Feira's Airflow code: assets, hooks, sensors and the tasks of each DAG."""
