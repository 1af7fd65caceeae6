"""Recommendations: from what was sold and looked at to features of users and products."""

from __future__ import annotations

from feira_airflow.core.pipelines import Pipeline

PIPELINE = Pipeline(
    name="recommendations",
    owner="sales-data",
    dags=("recommendations",),
    tables=(
        "recommendations.user_features",
        "recommendations.item_features",
        "recommendations.user_categories",
    ),
)
