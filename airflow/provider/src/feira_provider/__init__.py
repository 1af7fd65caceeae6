"""An Airflow provider: paged APIs, manifests on S3, data contracts, a warehouse by key, checks, notices."""
