"""
### Merge Parquet files into a warehouse table

Reads the manifest of a set of Parquet files on S3, and brings `sales.orders` to what they say: one
transaction, on PostgreSQL or on Redshift as the connection `warehouse_default` is of type `postgres` or
`redshift`.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, get_current_context, task


@dag(
    schedule=None,
    doc_md=__doc__,
    tags=["example"],
    default_args={"owner": "orders-data"},
    params={"manifest": Param("s3://lake/staged/orders/manifest.json", type="string")},
)
def example_warehouse_load() -> None:
    # One load of a table at a time: the others would only wait for its lock.
    @task(max_active_tis_per_dag=1)
    def load_orders() -> dict[str, int]:
        from dataclasses import asdict

        from feira_provider.hooks.warehouse import Merge, WarehouseHook

        orders = Merge(
            table="sales.orders",
            key=("order_id",),
            columns=("order_id", "amount", "updated_at"),
            gone="absent",
        )
        manifest = get_current_context()["params"]["manifest"]
        return asdict(WarehouseHook("warehouse_default").load(orders, manifest))

    load_orders()


example_warehouse_load()
