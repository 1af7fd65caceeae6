"""The tasks of the sales_etl DAG."""
