"""Recommendations: from what was sold and looked at to features of users and products, and lists of what to
offer."""

from __future__ import annotations

from feira_airflow.core.assets import announced
from feira_airflow.core.pipelines import Pipeline
from feira_airflow.core.valkey import VALKEY

# Emitted by recommendations.emit. No DAG listens: people read the lists.
LISTS = announced("recommendations.lists", group="recommendations", people_read=True)

PIPELINE = Pipeline(
    name="recommendations",
    owner="sales-data",
    dags=("recommendations", "recommendations_serve"),
    emits=(LISTS,),
    tables=(
        "recommendations.user_features",
        "recommendations.item_features",
        "recommendations.user_categories",
        "recommendations.lists",
        "recommendations.list_versions",
        "recommendations.live_figures",
        "recommendations.gate_figures",
    ),
    connections=((VALKEY, "Valkey, of type redis: host, port, login, in the extra db and ssl…"),),
)
