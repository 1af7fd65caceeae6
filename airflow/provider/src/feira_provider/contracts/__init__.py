"""Open Data Contracts read and run: what ``ValidateContractOperator`` does beside Airflow."""
