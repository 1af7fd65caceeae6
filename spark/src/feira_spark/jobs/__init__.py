"""Entry points for spark-submit: the same functions as the DAGs run, without Airflow."""
