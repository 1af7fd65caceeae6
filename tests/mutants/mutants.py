"""`make mutants`: small faults planted one at a time, and whether the tests notice.

cosmic-ray makes the mutants and runs the tests. It was taken over mutmut since it changes what the code
does and not its texts, of which ours are messages; since its operators can be added to; and since its
session is a database, so that a run that was ended goes on where it was. A process that runs mutants
has a copy of the checkout, a PostgreSQL and a Spark server of its own, which outlive a mutant: only
the tests start anew, first those that run the changed statement, as coverage has seen. A mutant
survives when all tests of its module pass.

The sample is one mutant of each statement, chosen by its place, and every planted fault: that much fits
into an hour or two. The other mutants of the same statements follow when it is done.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import time
import tomllib
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import cosmic_ray.plugins
import typer
from cosmic_ray import mutating
from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkItem, WorkResult
from forked import ForkedTests, Trace
from operators import Provider
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from checkout import REPOSITORY, copy_checkout

HERE = Path(__file__).parent
STATE = REPOSITORY / ".mutants"
SOURCES = (
    "shared/src",
    "spark/src",
    "airflow/src",
    "airflow/provider/src",
    "airflow/wiring/src",
    "tilt/src",
)
SLOWEST = 900.0
# Without plugins that only collect garbage when all is over. A loop that does not end is ended by its test's
# limit, in seconds, long before the whole run's.
_OFF = ("cacheprovider", "unraisableexception", "threadexception", "anyio")
FLAGS = ["-x", "-q", "--no-header", "--tb=line", "--assert=plain", "--timeout=90"]
FLAGS += [f"-pno:{each}" for each in _OFF]
# An annotation is never evaluated here.
_IN_ANNOTATIONS = re.compile(r"ReplaceBinaryOperator_BitOr_")
# Guards against what nobody writes, memory, and what is imported for types: no result depends on them.
_NO_RESULT = re.compile(
    r"frozen=True|eq=False|repr=False|functools\.cache|lru_cache|\bdoc=|if TYPE_CHECKING:"
)
console = Console()
cosmic_ray.plugins.OPERATOR_PROVIDERS["feira"] = Provider()


@dataclass(frozen=True)
class Module:
    """A file to mutate, the tests that must notice, and faults that are planted beside the others.

    ``forked``: the tests run in a fork of a process that has Airflow imported too. ``planted_only``: no
    others than those faults.
    """

    path: str
    tests: tuple[str, ...]
    planted: tuple[tuple[str, str], ...] = ()
    forked: bool = False
    planted_only: bool = False

    @property
    def session(self) -> Path:
        """Its results so far; another text of the module has other mutants."""
        text = (REPOSITORY / self.path).read_bytes() + repr(self.planted).encode()
        digest = hashlib.sha256(text).hexdigest()[:12]
        name = self.path.replace("/src/", "/").replace("/", ".").removesuffix(".py")
        return STATE / "sessions" / f"{name}-{digest}.sqlite"

    @property
    def files(self) -> list[str]:
        """Of its tests."""
        return [each for each in self.tests if not each.startswith("-")]


@dataclass(frozen=True)
class Accepted:
    """A survivor that stays, with the reason: the change is in ``function`` of ``module``, and its
    new line holds ``change``."""

    module: str
    function: str
    change: str
    reason: str


def modules() -> list[Module]:
    """Those of ``modules.toml``."""
    written = tomllib.loads((HERE / "modules.toml").read_text())
    return [
        Module(
            each["path"],
            # A list, or the name of one that several have.
            tuple(written["tests"].get(str(each["tests"]), each["tests"])),
            tuple((fault["find"], fault["replace"]) for fault in each.get("planted", ())),
            each.get("forked", False),
            each.get("planted_only", False),
        )
        for each in written["modules"]
    ]


def accepted() -> list[Accepted]:
    """Those of ``survivors.toml``."""
    listed = tomllib.loads((HERE / "survivors.toml").read_text()).get("survivors", [])
    return [Accepted(**each) for each in listed]


def plan(module: Module) -> None:
    """Writes the session with one mutant of each kind for each place, chosen by the place alone."""
    if module.session.is_file():
        return
    module.session.parent.mkdir(parents=True, exist_ok=True)
    path = REPOSITORY / module.path
    lines = path.read_text().splitlines()
    exports = _exports(path.read_text())
    places: dict[tuple[Any, ...], list[MutationSpec]] = defaultdict(list)
    for name in () if module.planted_only else cosmic_ray.plugins.operator_names():
        operator_class = cosmic_ray.plugins.get_operator(name)
        if operator_class.arguments() or _IN_ANNOTATIONS.search(name):
            continue
        operator = operator_class()
        found = (
            place
            for node in ast_nodes(get_ast_from_path(path))
            for place in operator.mutation_positions(node)
        )
        for occurrence, (start, end) in enumerate(found):
            if _NO_RESULT.search(lines[start[0] - 1]) or start[0] in exports:
                continue
            spec = MutationSpec(Path(module.path), name, occurrence, start, end)
            # `<` becomes one of five others: which, is told by the place.
            family = re.sub(r"^(core/Replace(Binary|Comparison|Unary)Operator)_.*", r"\1", name)
            places[start, end, family].append(spec)
    chosen = [
        random.Random(f"{module.path}{place}").choice(specs) for place, specs in places.items()
    ]
    chosen += [_planted(module, find, replace) for find, replace in module.planted]
    with use_db(str(module.session), WorkDB.Mode.create) as database:
        database.add_work_items([WorkItem.single(uuid.uuid4().hex, each) for each in chosen])


def _exports(text: str) -> set[int]:
    """The lines of ``__all__``, which the type checker reads."""
    return {
        line
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def _planted(module: Module, find: str, replace: str) -> MutationSpec:
    lines = (REPOSITORY / module.path).read_text().split("\n")
    found = "\n".join(lines).count(find)
    if found != 1:
        raise typer.BadParameter(
            f"{module.path} holds {find!r} {found} times; a planted fault of modules.toml must be "
            "there once"
        )
    line = "\n".join(lines).split(find)[0].count("\n") + 1
    where = {"start_pos": (line, 0), "end_pos": (line, len(lines[line - 1]) + 1)}
    return MutationSpec(
        Path(module.path),
        "feira/Planted",
        0,
        operator_args={"find": find, "replace": replace},
        **where,
    )


def work_in_a_copy(to: Path) -> None:
    """Makes a copy of the checkout, with links to what is installed, the current folder."""
    shutil.rmtree(to, ignore_errors=True)
    copy_checkout(to)
    # A test that copies it in its turn asks git what belongs to it.
    subprocess.run(["git", "init", "--quiet", str(to)], check=True)
    for name in (".venv", ".cache"):
        (to / name).symlink_to((REPOSITORY / name).resolve())
    os.chdir(to)


_open = ExitStack()
_servers: dict[bool, ForkedTests] = {}


def start_worker(numbers: multiprocessing.Queue[int], with_servers: bool) -> None:
    """Gives this process its copy of the checkout, and a database and a Spark server if they are needed."""
    home = STATE / f"worker-{numbers.get()}"
    work_in_a_copy(home / "checkout")
    os.environ["PYTHONPATH"] = os.pathsep.join(str(Path.cwd() / each) for each in SOURCES)
    os.environ["FEIRA_TEST_STORE"] = "folder"
    multiprocessing.util.Finalize(None, _open.close, exitpriority=10)  # type: ignore[attr-defined]
    if with_servers:
        _start_servers(home)


def _start_servers(home: Path) -> None:
    from feira.core.settings import LakeSettings
    from spark_connect import connect_server
    from temporary_postgres import temporary_server

    for name in ("postgres", "spark"):
        shutil.rmtree(home / name, ignore_errors=True)
        (home / name).mkdir()
    (home / "spark" / "tables").mkdir()
    home.chmod(0o755)
    dsns = _open.enter_context(temporary_server(home / "postgres"))
    os.environ["FEIRA_TEST_POSTGRES"] = json.dumps(asdict(dsns))
    lake = LakeSettings(root=f"file://{home / 'spark'}", catalog="hadoop")
    os.environ["FEIRA_TEST_SPARK"] = _open.enter_context(connect_server(home / "spark", lake))


def _forks(with_airflow: bool) -> ForkedTests:
    if with_airflow not in _servers:
        _servers[with_airflow] = _open.enter_context(closing(ForkedTests(with_airflow)))
    return _servers[with_airflow]


def baseline(file: str, others: list[str], with_airflow: bool, paths: list[str]) -> Trace | str:
    """What the tests of a file take and run without a mutant, or their output where they fail.

    :param others: more arguments of pytest
    :param paths: of the modules whose lines count
    """
    arguments = [*FLAGS, *others, file]
    forks = _forks(with_airflow)
    forks.run(["--collect-only", *arguments], SLOWEST, bytecode=True)
    return forks.trace(arguments, SLOWEST, paths)


def traces(pool: ProcessPoolExecutor, chosen: list[Module], bar: Progress) -> dict[Module, Trace]:
    """Each module's baseline, from that of each test file, which is run once.

    :raises typer.BadParameter: where the tests of a file fail
    """
    listed = modules()
    named = {
        (file, module.forked): [each for each in listed if file in each.tests]
        for module in chosen
        for file in module.files
    }
    calls = [
        (
            file,
            [option for option in users[0].tests if option.startswith(f"--deselect={file}")],
            forked,
            [each.path for each in users],
        )
        for (file, forked), users in named.items()
    ]
    step = bar.add_task("test files without a mutant", total=len(calls))
    found = {}
    running = {pool.submit(baseline, *call): call for call in calls}
    for done in as_completed(running):
        file, _, forked, _ = running[done]
        trace = done.result()
        bar.advance(step)
        if isinstance(trace, str):
            raise typer.BadParameter(
                f"tests fail without any mutant: pytest {file}\n{trace[-1000:]}"
            )
        found[file, forked] = trace
    return {
        module: _merged([found[file, module.forked] for file in module.files], module.path)
        for module in chosen
    }


def _merged(found: list[Trace], path: str) -> Trace:
    lines: dict[str, list[str]] = defaultdict(list)
    for trace in found:
        for line, ids in trace.lines[path].items():
            lines[line] += ids
    seconds = {each: taken for trace in found for each, taken in trace.seconds.items()}
    return Trace(seconds, {path: lines})


def ordered(
    module: Module, mutation: MutationSpec, trace: Trace, noticed: Counter[str]
) -> list[str]:
    """The ids of the module's tests: first, file by file, those that run the statement of a mutation.

    Of these, those that have ``noticed`` mutants of the same function come first, then the quickest.
    The others may run it in what outlives a test, such as a fixture of all or a cache.
    """
    lines = trace.lines[module.path]
    telling = {each for line in _statement(module, mutation) for each in lines.get(str(line), ())}
    files: dict[tuple[bool, str], tuple[int, float]] = {}
    for each in trace.seconds:
        file = each not in telling, each.split("::")[0]
        best, seconds = files.get(file, (0, 0.0))
        files[file] = min(best, -noticed[each]), seconds + trace.seconds[each]

    def place(each: str) -> tuple[Any, ...]:
        file = each not in telling, each.split("::")[0]
        return file[0], files[file], file[1], -noticed[each], trace.seconds[each]

    return sorted(trace.seconds, key=place)


def _statement(module: Module, mutation: MutationSpec) -> range:
    """The lines of the innermost statement around a mutation; of one with a body, its head."""
    line = mutation.start_pos[0]
    planted = mutation.operator_args.get("find", "")
    last = max(mutation.end_pos[0], line + planted.count("\n"))
    for first, head in _statements(REPOSITORY / module.path):
        if first <= line <= head:
            return range(first, max(head, last) + 1)
    return range(line, last + 1)


@functools.cache
def _statements(path: Path) -> list[tuple[int, int]]:
    """First and last lines of all statements, inner ones first; of one with a body, those of its head."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            found.append((node.lineno, body[0].lineno - 1 if body else node.end_lineno or 0))
    return sorted(found, reverse=True)


def run_mutant(
    module: Module, item: WorkItem, ids: list[str], limit: float
) -> tuple[Module, WorkItem, WorkResult]:
    """The mutant's result; a run longer than ``limit`` seconds counts as noticed."""

    def run_tests(_: str, seconds: float) -> tuple[TestOutcome, str]:
        """In the place of cosmic-ray's own function, which starts Python anew."""
        code, output = _forks(module.forked).run([*FLAGS, *module.tests], seconds, only=ids)
        return TestOutcome.SURVIVED if code == 0 else TestOutcome.KILLED, output

    vars(mutating)["run_tests"] = run_tests
    return module, item, mutating.mutate_and_test(item.mutations, "", limit)


@dataclass(frozen=True)
class Survivor:
    """A mutant that no test noticed."""

    job: str
    module: str
    line: int
    function: str
    operator: str
    diff: str
    reason: str | None


def survivors(module: Module, known: list[Accepted]) -> list[Survivor]:
    """Of the results so far, in the order of lines."""
    if not module.session.is_file():
        return []
    found = []
    with use_db(str(module.session), WorkDB.Mode.open) as database:
        specs = {item.job_id: item.mutations[0] for item in database.work_items}
        for job, result in database.results:
            if result.test_outcome != TestOutcome.SURVIVED:
                continue
            spec, diff = specs[job], result.diff or ""
            changed = [
                text[1:].strip()
                for text in diff.splitlines()
                if text.startswith(("+", "-")) and not text.startswith(("+++", "---"))
            ]
            function = function_at(module, spec.start_pos[0])
            reason = next(
                (
                    each.reason
                    for each in known
                    if each.module == module.path
                    and each.function == function
                    and any(each.change in text for text in changed)
                ),
                None,
            )
            found.append(
                Survivor(
                    job,
                    module.path,
                    spec.start_pos[0],
                    function,
                    spec.operator_name,
                    " ⏵ ".join(changed),
                    reason,
                )
            )
    return sorted(found, key=lambda each: each.line)


def function_at(module: Module, line: int) -> str:
    """The name of the function or class around a line; empty at the module's level."""
    name = ""
    for node in ast.walk(ast.parse((REPOSITORY / module.path).read_text())):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            if first <= line <= (node.end_lineno or 0):
                name = node.name
    return name


def sample(module: Module) -> set[str]:
    """The jobs of the planted faults and of one mutant of each statement."""
    if not module.session.is_file():
        return set()
    with use_db(str(module.session), WorkDB.Mode.open) as database:
        items = sorted(database.work_items, key=lambda item: repr(item.mutations[0]))
    random.Random(module.path).shuffle(items)
    chosen = {_statement(module, item.mutations[0]).start: item.job_id for item in items}
    return {item.job_id for item in items if _is_planted(item)} | set(chosen.values())


def _is_planted(item: WorkItem) -> bool:
    return bool(item.mutations[0].operator_name == "feira/Planted")


def counts(module: Module, jobs: set[str] | None = None) -> tuple[int, int, int]:
    """Mutants that there are, that were run, and that were noticed; of these ``jobs`` or of all."""
    if not module.session.is_file():
        return 0, 0, 0
    with use_db(str(module.session), WorkDB.Mode.open) as database:
        there = {item.job_id for item in database.work_items}
        asked = there if jobs is None else there & jobs
        run = [
            result
            for job, result in database.results
            if job in asked and result.worker_outcome == WorkerOutcome.NORMAL
        ]
        return len(asked), len(run), sum(each.is_killed for each in run)


def forget_survivors(module: Module) -> set[str]:
    """Has the survivors without a reason run again, since the tests are now others; returns their jobs."""
    import sqlite3

    survived = {each.job for each in survivors(module, accepted()) if each.reason is None}
    if survived:
        with sqlite3.connect(module.session) as database:
            for job in survived:
                database.execute("DELETE FROM work_results WHERE job_id = ?", [job])
    return survived


def report(chosen: list[Module]) -> int:
    """Prints shares and survivors; returns the number of survivors without a reason."""
    known, unexplained = accepted(), 0
    sampled = total = (0, 0, 0)
    for module in chosen:
        found = counts(module)
        total = _sum(total, found)
        sampled = _sum(sampled, counts(module, sample(module)))
        listed = survivors(module, known)
        share = f"{100 * found[2] / found[1]:.0f} %" if found[1] else "–"
        console.print(
            f"{module.path}: {found[2]} of {found[1]} noticed ({share}), "
            f"{found[0] - found[1]} not run",
            highlight=False,
        )
        for each in listed:
            unexplained += each.reason is None
            console.print(
                f"    {each.line} {each.function}: {each.diff}\n"
                f"        {each.reason or 'NO REASON in survivors.toml'}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
    for name, (there, run, noticed) in (("of the sample", sampled), ("of all", total)):
        share = f"{100 * noticed / run:.1f} %" if run else "none run"
        console.print(
            f"{name}: {noticed} of {run} mutants noticed ({share}), {there - run} of {there} not run"
        )
    console.print(f"{unexplained} survivors without a reason")
    return unexplained


def _sum(one: tuple[int, int, int], other: tuple[int, int, int]) -> tuple[int, int, int]:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def interleaved(
    work: dict[Module, list[WorkItem]], survived: set[str]
) -> Iterator[tuple[Module, WorkItem]]:
    """All mutants in an order that is fair to each module: those that had survived, those that were
    written down, the rest of the sample, the others."""
    sampled = {job for module in work for job in sample(module)}
    queue = [(module, item) for module, items in work.items() for item in items]
    random.Random(7).shuffle(queue)
    queue.sort(
        key=lambda each: (
            each[1].job_id not in survived,
            not _is_planted(each[1]),
            each[1].job_id not in sampled,
        )
    )
    yield from queue


def main(
    minutes: Annotated[float, typer.Option(help="Starts no mutant after this time.")] = 55,
    only: Annotated[str, typer.Option(help="Regular expression on the module's path.")] = "",
    workers: Annotated[int, typer.Option(min=1, help="Mutants that run side by side.")] = 2,
    again: Annotated[bool, typer.Option(help="Run survivors without a reason again.")] = False,
    show: Annotated[bool, typer.Option(help="Only report what was found so far.")] = False,
) -> None:
    """Plant faults in the core and see whether the tests notice; goes on where it was ended.

    Example: make mutants MINUTES=20 ONLY=landing; AGAIN=1 where tests were added.
    """
    chosen = [module for module in modules() if re.search(only, module.path)]
    if not chosen:
        raise typer.BadParameter(f"no module of modules.toml matches {only!r}", param_hint="--only")
    if not show:
        run(chosen, minutes, workers, again)
    raise typer.Exit(1 if report(chosen) else 0)


def run(chosen: list[Module], minutes: float, workers: int, again: bool) -> None:
    """Runs what is pending until the time is up."""
    deadline = time.monotonic() + 60 * minutes
    work, survived = {}, set[str]()
    for module in chosen:
        if again:
            survived |= forget_survivors(module)
        plan(module)
        with use_db(str(module.session), WorkDB.Mode.open) as database:
            work[module] = list(database.pending_work_items)
    work = {module: items for module, items in work.items() if items}
    if not work:
        return
    context = multiprocessing.get_context("spawn")
    numbers = context.Queue()
    for number in range(workers):
        numbers.put(number)
    with (
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
        ) as bar,
        ProcessPoolExecutor(
            workers,
            mp_context=context,
            initializer=start_worker,
            initargs=(numbers, not all(module.forked for module in work)),
        ) as pool,
    ):
        baselines = traces(pool, list(work), bar)
        step = bar.add_task("mutants", total=sum(len(items) for items in work.values()))
        queue = interleaved(work, survived)
        running = set()
        noticed: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        while True:
            while len(running) < workers and time.monotonic() < deadline:
                module, item = next(queue, (None, None))
                if module is None or item is None:
                    break
                trace = baselines[module]
                spec = item.mutations[0]
                place = module.path, function_at(module, spec.start_pos[0])
                ids = ordered(module, spec, trace, noticed[place])
                limit = min(3 * sum(trace.seconds.values()) + 20, SLOWEST)
                running.add(pool.submit(run_mutant, module, item, ids, limit))
            if not running:
                return
            done = next(as_completed(running))
            running.discard(done)
            module, item, result = done.result()
            place = module.path, function_at(module, item.mutations[0].start_pos[0])
            noticed[place].update(
                each
                for each in baselines[module].seconds
                if f"FAILED {each} " in (result.output or "")
            )
            with use_db(str(module.session), WorkDB.Mode.open) as database:
                database.set_result(item.job_id, result)
            bar.advance(step)


if __name__ == "__main__":
    typer.run(main)
