"""User events: what is known of them alone, beside Airflow and Spark."""
