"""What gates and ingests have left: a landing's manifest and validation in the lake, and what tasks returned."""

from __future__ import annotations

from datetime import date

from feira.core.contracts.registry import contract
from feira.core.landing.store import DamagedLandingError, LandingStore
from feira.monitoring.airflow import EndedTask
from feira.monitoring.figures import OUTCOMES, Figures
from feira.monitoring.tables import day_starts, show_promise
from feira.sales.landing import LANDED
from feira.user_events.codec import TOPIC

LISTS_GATE = "recommendations"
# DAG and task of each gate.
JUDGES = (("sales_etl", "validate"), ("recommendations", "gate"))
_MESSAGES = ("events", "repeated", "earlier", "dead")


class Judgements:
    """Takes in the tasks that judge, as each ends. ``landings`` are those of sales."""

    def __init__(self, landings: LandingStore, figures: Figures) -> None:
        self.landings = landings
        self.figures = figures
        self._judged_at: dict[str, float] = {}
        self._newest_is_known = False
        rules = contract(LANDED.table).row_rules
        show_promise(figures, LANDED.table)
        figures.expect_rules(LANDED.name, (rule.name for rule in rules))
        for outcome in _MESSAGES:
            figures.messages.labels(TOPIC, outcome)
        for gate in (LANDED.table, LISTS_GATE):
            for outcome in OUTCOMES:
                figures.judgements.labels(gate, outcome)

    def __call__(self, task: EndedTask, fresh: bool) -> None:
        """Takes a task in; of one that is not ``fresh`` nothing is counted, only how things stand."""
        landings, lists = JUDGES
        which = (task.dag, task.task)
        # Once at the start, whichever task is the first: a day may be late since none gets as far as `validate`.
        if not self._newest_is_known or which == landings:
            self._show_newest()
        if which == landings:
            self._landing(task, fresh)
        elif which == lists:
            verdict = task.xcom("gate") if task.state == "success" else None
            self._judged(LISTS_GATE, verdict["verdict"] if verdict else "failed", task, fresh)
        elif which == ("user_events", "ingest") and fresh and task.state == "success":
            found = task.xcom("ingest") or {}
            for outcome in _MESSAGES:
                self.figures.messages.labels(TOPIC, outcome).inc(found.get(outcome, 0))

    def _judged(self, gate: str, outcome: str, task: EndedTask, fresh: bool) -> None:
        # Days are judged side by side, and one may be heard of after another that was judged later.
        if task.at >= self._judged_at.get(gate, task.at):
            self.figures.judged(gate, outcome)
            self._judged_at[gate] = task.at
        if fresh:
            self.figures.judgements.labels(gate, outcome).inc()

    def _passed(self, day: date) -> bool:
        try:
            return self.landings.current(day) is not None
        except DamagedLandingError:
            # What a run of that day would report, and no other day's.
            return False

    def _show_newest(self) -> None:
        # Of all days, whichever was judged: a day of last year may be run again.
        newest = next(filter(self._passed, reversed(self.landings.days())), None)
        if newest is not None:
            self.figures.newest_partition.labels(LANDED.table).set(day_starts(newest))
        self._newest_is_known = True

    def _landing(self, task: EndedTask, fresh: bool) -> None:
        figures, dataset = self.figures, LANDED.name
        landed = task.xcom("land")
        try:
            manifest = self.landings.read_manifest(landed["manifest"]) if landed else None
            found = (
                None
                if manifest is None
                else self.landings.validation(manifest.extract_day, manifest.version)
            )
        except DamagedLandingError:
            # It stays so; the task's own message names the file.
            manifest = found = None
        if manifest is None or found is None:
            self._judged(LANDED.table, "failed", task, fresh)
            return
        self._judged(LANDED.table, "passed" if found.passed else "refused", task, fresh)
        if fresh:
            figures.landed_lines.labels(dataset).inc(found.total)
            figures.landed_bytes.labels(dataset).inc(sum(file.size or 0 for file in manifest.files))
            figures.valid_lines.labels(dataset).inc(found.valid)
            figures.quarantined_lines.labels(dataset).inc(found.quarantined)
            for rule, count in found.broken.items():
                figures.broken_lines.labels(dataset, rule).inc(count)
