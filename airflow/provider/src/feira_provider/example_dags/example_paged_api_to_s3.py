"""
### Land a paged API on S3

Reads every page of `orders` from the connection `http_default`, and leaves gzip NDJSON and
`manifest.json` below the prefix. Trigger it with the prefix; a second run with the same one finds the
manifest and asks nothing.
"""

from __future__ import annotations

from airflow.sdk import Param, dag

from feira_provider.hooks.paging import CursorPaging
from feira_provider.operators.paged_api_to_s3 import PagedApiToS3Operator


@dag(
    schedule=None,
    doc_md=__doc__,
    tags=["example"],
    default_args={"owner": "orders-data"},
    params={"prefix": Param("s3://lake/landing/orders", type="string")},
)
def example_paged_api_to_s3() -> None:
    PagedApiToS3Operator(
        task_id="land_orders",
        endpoint="orders",
        request_params={"limit": "500"},
        paging=CursorPaging(records_at="data.orders", cursor_at="data.next"),
        total_at="data.total",
        s3_prefix="{{ params.prefix }}",
    )


example_paged_api_to_s3()
