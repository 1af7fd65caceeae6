"""A real Airflow for the wiring tests: its metadata database, its tasks, its scheduler's tick.

Nothing of Airflow is replaced. A run's tasks are executed as ``dag.test`` executes them, so events
are registered by Airflow's own code; a tick is the scheduler's own step that makes runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.executors.local_executor import LocalExecutor
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models.asset import AssetActive, AssetEvent
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.log import Log
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.trigger import Trigger
from airflow.sdk.definitions.dag import _run_task
from airflow.sdk.timezone import utcnow
from airflow.timetables.base import DataInterval
from airflow.triggers.base import TriggerEvent
from airflow.utils.session import create_session
from airflow.utils.sqlalchemy import prohibit_commit
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select

BUNDLE = "dags-folder"


@dataclass(frozen=True)
class Run:
    """A run as the scheduler made it: its key, and how many events it was given."""

    key: str | None
    events: int


class Deployment:
    """Airflow with the DAGs of one folder, all unpaused unless they say otherwise.

    ``airflows_default``: what does not say begins as Airflow is configured.
    """

    def __init__(self, folder: Path, *, airflows_default: bool = False) -> None:
        bag = DagBag(dag_folder=str(folder), bundle_path=folder, bundle_name=BUNDLE)
        self.folder = folder
        self.import_errors = bag.import_errors
        self.dags = bag.dags
        self.scheduler = SchedulerJobRunner(Job(), executors=[LocalExecutor()])
        for dag in self.dags.values():
            if dag.is_paused_upon_creation is None and not airflows_default:
                dag.is_paused_upon_creation = False
        sync_bag_to_db(bag, BUNDLE, None)
        # Assets are active once the scheduler has seen who refers to them.
        self.scheduler._update_asset_orphanage()
        # Watchers are attached to assets that are active, and so by the second parse.
        sync_bag_to_db(bag, BUNDLE, None)

    def parse_for_tasks(self) -> None:
        """Parse the files once more, as the process of each task does."""
        bag = DagBag(dag_folder=str(self.folder), bundle_path=self.folder, bundle_name=BUNDLE)
        self.dags = bag.dags

    def run(
        self,
        dag_id: str,
        key: str | None = None,
        after_each_task: Callable[[], None] = lambda: None,
    ) -> str:
        """Trigger a run as the REST API does, and execute its tasks; the state it ends in."""
        now = utcnow()
        with create_session() as session:
            dag = SerializedDagModel.get_dag(dag_id, session=session)
            assert dag is not None
            made = dag.create_dagrun(
                run_id=f"manual__{now.isoformat()}",
                logical_date=now,
                data_interval=DataInterval.exact(now),
                run_after=now,
                run_type=DagRunType.MANUAL,
                triggered_by=DagRunTriggeredByType.REST_API,
                state=DagRunState.RUNNING,
                partition_key=key,
                session=session,
            )
            session.flush()
            run_id = made.id
        return self._execute(run_id, after_each_task)

    def _execute(self, run_id: int, after_each_task: Callable[[], None] = lambda: None) -> str:
        with create_session() as session:
            run = session.get(DagRun, run_id)
            assert run is not None
            run.dag = SerializedDagModel.get_dag(run.dag_id, session=session)
            run.state = DagRunState.RUNNING
            while True:
                schedulable, _ = run.update_state(session=session)
                session.commit()
                if run.state in (DagRunState.SUCCESS, DagRunState.FAILED):
                    return str(run.state.value)
                assert schedulable, f"{run.dag_id} does not end"
                for instance in schedulable:
                    _run_task(ti=instance, task=self.dags[run.dag_id].task_dict[instance.task_id])
                    after_each_task()
                session.expire_all()

    def tick(self) -> None:
        """The scheduler's step that turns events into runs."""
        with create_session() as session, prohibit_commit(session) as guard:
            self.scheduler._create_dagruns_for_dags(guard, session)

    def finish(self) -> int:
        """Execute the runs that the scheduler has queued; how many there were."""
        with create_session() as session:
            queued = session.scalars(
                select(DagRun.id).where(DagRun.state == DagRunState.QUEUED)
            ).all()
        for run_id in queued:
            self._execute(run_id)
        return len(queued)

    def fire_watcher(self) -> None:
        """What the triggerer does when the one watched trigger fires."""
        with create_session() as session:
            trigger = session.scalars(select(Trigger)).one()
            Trigger.submit_event(trigger.id, TriggerEvent("arrived"), session=session)

    def watchers(self) -> int:
        """How many triggers Airflow has for the triggerer to run."""
        with create_session() as session:
            return len(session.scalars(select(Trigger)).all())

    def pause(self, dag_id: str, *, paused: bool) -> None:
        with create_session() as session:
            model = session.get(DagModel, dag_id)
            assert model is not None
            model.is_paused = paused

    def runs(self, dag_id: str) -> list[Run]:
        """The runs that events have made of a DAG, oldest first."""
        with create_session() as session:
            made = session.scalars(
                select(DagRun)
                .where(DagRun.dag_id == dag_id, DagRun.run_type == DagRunType.ASSET_TRIGGERED)
                .order_by(DagRun.id)
            )
            return [Run(run.partition_key, len(run.consumed_asset_events)) for run in made]

    def events(self) -> list[str | None]:
        """The keys of the events that were registered, oldest first."""
        with create_session() as session:
            return list(session.scalars(select(AssetEvent.partition_key).order_by(AssetEvent.id)))

    def audit_log(self) -> list[str]:
        """What Airflow noted about events that made no run."""
        noted = (
            "missing partition key",
            "failed to map partition_key",
            "partition fan-out exceeded",
        )
        with create_session() as session:
            return list(session.scalars(select(Log.event).where(Log.event.in_(noted))))

    def dag_ids(self) -> list[str]:
        """The DAGs that the metadata database knows."""
        with create_session() as session:
            return list(session.scalars(select(DagModel.dag_id).order_by(DagModel.dag_id)))

    def active_assets(self) -> list[tuple[str, str]]:
        """Name and URI of the assets whose events Airflow takes."""
        with create_session() as session:
            return [(each.name, each.uri) for each in session.scalars(select(AssetActive))]
