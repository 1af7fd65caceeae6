"""
### Which lists are served, decided by a person

**Makes** what a person has decided of a version of the lists: `approve` records who approves of its method, and
why, and publishes it; `rollback` serves another version that is complete in Valkey, older or newer. It is what
`feira recommendations approve` and `rollback` do, for a deployment, where there is no such command. The page
`/ui` of the API shows the versions and the gate's figures, and the notice of a version that waits names it.

**Triggered** by a person alone, with the version's name. Who that was is recorded as Airflow knows them.

**When it fails** the message says why: the gate has not judged the version, no approval helps it, its lists were
removed or changed, Valkey does not have it whole, or there is neither its file for when Valkey is down nor the lists
to make that from. Then nothing is changed. Where Valkey or the lake ceased to answer, the approval may be recorded,
or the version served, while the API's file is still of the one before: clear the task, which ends what was begun and
takes no decision twice.

**To run it again** trigger it anew. An approval emits no event: where it was given after the gate had failed a run
of `recommendations`, clear that run's `gate`.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, task

from feira_airflow.core.defaults import deadlines, default_args
from feira_airflow.recommendations import tasks
from feira_airflow.recommendations.pipeline import PIPELINE


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    # A run that a person has triggered is to be made, and not to wait for a second click.
    is_paused_upon_creation=False,
    default_args=default_args(PIPELINE.owner),
    deadline=deadlines(),
    doc_md=__doc__,
    tags=["recommendations", "manual"],
    params={
        "action": Param("approve", type="string", enum=["approve", "rollback"]),
        # Required of a rollback too: "the one before" would be another one at the second try.
        "version": Param(
            type="string",
            pattern=r"^\d{4}-\d{2}-\d{2}-\d{3}$",
            description="The version of the lists, as 2010-12-01-001.",
        ),
        "why": Param(
            "",
            type="string",
            maxLength=1000,
            description="The reason, which is recorded; an approval needs one.",
        ),
    },
)
def recommendations_serve() -> None:
    task(max_active_tis_per_dag=1)(tasks.serve)()


recommendations_serve()
