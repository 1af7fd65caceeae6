"""The summary: dbt marts over the whole fact."""
