"""
### Validate a dataset against its contract

Checks every row of the files that a manifest lists, and fails when more than one in a hundred breaks
the contract. Report and broken rows are below `report` either way.
"""

from __future__ import annotations

from airflow.sdk import Param, dag

from feira_provider.operators.validate_contract import ValidateContractOperator


@dag(
    schedule=None,
    doc_md=__doc__,
    tags=["example"],
    default_args={"owner": "orders-data"},
    params={
        "contract": Param("s3://lake/contracts/orders.odcs.yaml", type="string"),
        "manifest": Param("s3://lake/landing/orders/manifest.json", type="string"),
        "report": Param("s3://lake/reports/orders", type="string"),
    },
)
def example_validate_contract() -> None:
    ValidateContractOperator(
        task_id="validate_orders",
        contract="{{ params.contract }}",
        manifest="{{ params.manifest }}",
        report_prefix="{{ params.report }}",
        max_invalid_percent=1,
    )


example_validate_contract()
