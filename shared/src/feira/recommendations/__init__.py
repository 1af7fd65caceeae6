"""Recommendations: what is known of them without Airflow and Spark."""
