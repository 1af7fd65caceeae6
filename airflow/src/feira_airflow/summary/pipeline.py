"""The summary: marts over the whole fact, and the day's report to people."""

from __future__ import annotations

from feira_airflow.core.assets import announced
from feira_airflow.core.pipelines import Pipeline

# Emitted by sales_summary.build_marts, for all marts.
MARTS = announced("marts.month_summary", group="sales", people_read=True)

PIPELINE = Pipeline(
    name="summary",
    owner="sales-data",
    dags=("sales_summary",),
    emits=(MARTS,),
    tables=(
        "marts.month_summary",
        "marts.daily_revenue",
        "marts.product_performance",
        "marts.customer_lifetime_value",
        "sales.report_ledger",
    ),
)
