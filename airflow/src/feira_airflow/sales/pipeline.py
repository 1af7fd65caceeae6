"""Sales: from the shop's API to the fact, lake and warehouse alike."""

from __future__ import annotations

from feira_airflow.core.assets import announced
from feira_airflow.core.pipelines import Pipeline, Pool

SHOP_API = "shop_api"
API_POOL = Pool(
    "shop_api",
    slots=2,
    description="Landings at once. The shop's API is paged and not ours: two readers are polite, and as "
    "many days as sales_etl runs side by side.",
)

# Emitted by sales_etl.emit, after lake and warehouse agree.
FACT = announced("sales.fact", group="sales")

PIPELINE = Pipeline(
    name="sales",
    owner="sales-data",
    dags=("sales_etl", "sales_watch"),
    emits=(FACT,),
    tables=(
        "sales.landing",
        "sales.fx_rates",
        "sales.quarantine",
        "sales.order_lines",
        "sales.fact",
        "sales.load_ledger",
    ),
    pools=(API_POOL,),
    connections=((SHOP_API, "the shop's API, of type http or paged_api"),),
    producer="sales_etl",
)
