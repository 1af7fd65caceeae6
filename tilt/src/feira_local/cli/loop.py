"""`feira attach`, `restart`, `test`, `open` and `shop faults`: what the Tiltfile runs, and a hand may."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Annotated, Any

import requests
import typer

from feira_local.cli.output import (
    AsJson,
    PlainTable,
    print_json,
    print_line,
    print_table,
    printable,
    shortened,
)
from feira_local.loop import empty_files, saved_tests
from feira_local.loop.attach import attach as follow
from feira_local.stack import lifecycle
from feira_local.stack.access import loopback_session
from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.state import running_config

Name = Annotated[str, typer.Argument(help="A service of `feira services`.")]


def register(app: typer.Typer) -> None:
    app.command(no_args_is_help=True)(attach)
    app.command(no_args_is_help=True)(restart)
    app.command("test")(run_tests)
    app.command("open", no_args_is_help=True)(open_page)
    faults = typer.Typer(
        help="The faults that the simulator shows on demand.", no_args_is_help=True
    )
    faults.command("list")(list_faults)
    faults.command("on", no_args_is_help=True)(fault_on)
    faults.command("off")(fault_off)
    shop = typer.Typer(help="Break the shop's API, and heal it.", no_args_is_help=True)
    shop.add_typer(faults, name="faults")
    app.add_typer(shop, name="shop")


def attach(name: Name) -> None:
    """Follow a service's log; starts the service if it is stopped, and ends with 1 once it stays down.

    Ctrl-C ends this command and not the service. Of a step it ends with 0 when the step is done.

    Example: [bold]feira attach shop[/]
    """
    follow(running_config(), name, lambda line: print(printable(line.expandtabs()), flush=True))


def restart(name: Name, as_json: AsJson = False) -> None:
    """Stop one service and start it; returns when it is healthy. A step is run again.

    Example: [bold]feira restart shop[/]
    """
    began = time.monotonic()
    lifecycle.restart(running_config(), name)
    seconds = round(time.monotonic() - began, 1)
    if as_json:
        print_json({"service": name, "seconds": seconds})
    else:
        print_line(f"{name} runs anew ({seconds:.1f} s).", style="green")


def run_tests(
    layer: Annotated[
        str | None, typer.Argument(help="A folder of tests/, as spark; without it they are listed.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All tests of the layer, whatever was saved.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the tests of what was saved in a layer since its tests passed. Exit code 1 if one fails.

    Example: [bold]feira test spark[/]   [bold]feira test shared --all[/]
    """
    repository = StackConfig.from_env().repository
    if layer is None:
        _list_layers(list(saved_tests.layers(repository).values()), as_json)
        return
    found = saved_tests.layer_named(repository, layer)
    began = time.time()
    saved = saved_tests.saved(repository, found)
    wanted = sorted(
        {test for path in saved for test in saved_tests.wanted_tests(found, path)}
        if not everything
        else set(found.test_files)
    )
    names = [str(path.relative_to(repository)) for path in wanted]
    code = _pytest(found.name, names) if names else 0
    # There are some in each file: one without any is an error.
    nothing_to_run = code == _NONE_LEFT
    if nothing_to_run:
        code = 0
    if code == 0:
        saved_tests.mark_passed(repository, found, began)
    if as_json:
        files = [str(path.relative_to(repository)) for path in saved]
        print_json({"layer": layer, "saved": files, "tests": names, "passed": code == 0})
    elif not names:
        print_line(f"Nothing was saved in {layer} since its tests passed; --all runs them all.")
    elif nothing_to_run:
        print_line(
            f"All tests of {', '.join(names)} are slow or need Terraform: `make test-slow` and "
            "`make test-terraform` run these."
        )
    if code:
        raise typer.Exit(1)


# pytest's exit code where none of the files' tests is to be run.
_NONE_LEFT = 5


def _pytest(layer: str, files: list[str]) -> int:
    """The exit code of the tests, whose output goes to standard error."""
    # Of two runs side by side each would prune the other's folder.
    folder = tempfile.mkdtemp(prefix=f"feira-test-{layer}-")
    options = ("-m", "not slow and not terraform", f"--basetemp={folder}/t", "--maxfail=10")
    plugin = ("-p", empty_files.__name__)
    command = (sys.executable, "-m", "pytest", *options, *plugin, *files)
    try:
        repository = StackConfig.from_env().repository
        return subprocess.run(command, cwd=repository, stdout=2, check=False).returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _list_layers(layers: list[saved_tests.Layer], as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "layers": [
                    {"name": layer.name, "deps": [str(path) for path in layer.watched]}
                    for layer in layers
                ],
                "ignore": list(saved_tests.TEMPORARY),
            }
        )
        return
    table = PlainTable("layer", "sources", "tests")
    for layer in layers:
        table.add_row(layer.name, *(path.name for path in (layer.root, layer.tests)))
    print_table(table)


# The newest mail of the inbox is the day's report.
PAGES: dict[str, Callable[[StackConfig], str]] = {
    "report": lambda config: f"{config.inbox_url}/?channel=mail",
    "inbox": lambda config: config.inbox_url,
    "assets": lambda config: f"{config.airflow_url}/assets",
    "airflow": lambda config: config.airflow_url,
    "shop": lambda config: f"{config.shop_url}/docs",
}


def open_page(
    what: Annotated[str, typer.Argument(help=f"One of {', '.join(PAGES)}.")],
    as_json: AsJson = False,
) -> None:
    """Open a page of the stack in the browser, and print its address.

    Example: [bold]feira open assets[/]
    """
    if what not in PAGES:
        raise StackError(f"There is no page {shortened(what)!r}; there are {', '.join(PAGES)}.")
    url = PAGES[what](running_config())
    if as_json:
        print_json({"page": what, "url": url})
    else:
        print_line(url)
    typer.launch(url)


def list_faults(as_json: AsJson = False) -> None:
    """Every fault with its options, and which are on.

    Example: [bold]feira shop faults list[/]
    """
    from feira_local.shop.faults import FAULTS, options

    try:
        found = _ask("GET", "")["faults"]
    except StackError:
        # What there is to choose from is known without the simulator; what is on is not.
        found = [
            {"name": name, "doc": (fault.__doc__ or "").strip(), "options": options(fault)}
            for name, fault in FAULTS.items()
        ]
    if as_json:
        print_json(found)
        return
    table = PlainTable("fault", "state", "what it does", "options")
    for fault in found:
        state = {True: "on", False: "off", None: "?"}[fault.get("on")]
        table.add_row(fault["name"], state, fault["doc"], ", ".join(fault["options"]))
    print_table(table)


def fault_on(
    name: Annotated[str, typer.Argument(help="A fault of `feira shop faults list`.")],
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="As status=503; a value may be JSON. Repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Break the API in one way until it is healed.

    Example: [bold]feira shop faults on server_error -o status=503 -o count=3[/]
    """
    from pydantic import ValidationError

    from feira_local.shop.faults import FAULTS

    state = dict(_parsed(each) for each in option or [])
    try:
        FAULTS[_known_fault(name)].model_validate(state)
    except ValidationError as error:
        reasons = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'options'}: {each['msg']}, and it is "
            f"{shortened(repr(each['input']))}"
            for each in error.errors()[:3]
        )
        raise StackError(
            f"The fault {name} cannot be so: {reasons}. `feira shop faults list` has its options."
        ) from None
    put = _ask("PUT", f"/{name}", json=state)
    if as_json:
        print_json(put)
    else:
        print_line(f"{name} is on: {put['doc']} `feira shop faults off {name}` heals it.")


def fault_off(
    name: Annotated[str | None, typer.Argument(help="A fault; without it, all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Heal the API of one fault, or of all.

    Example: [bold]feira shop faults off[/]
    """
    _ask("DELETE", f"/{_known_fault(name)}" if name is not None else "")
    if as_json:
        print_json({"off": name or "all"})
    else:
        print_line(f"{name or 'Every fault'} is off.", style="green")


def _known_fault(name: str) -> str:
    from feira_local.shop.faults import FAULTS

    if name not in FAULTS:
        raise StackError(f"There is no fault {shortened(name)!r}; there are {', '.join(FAULTS)}.")
    return name


def _parsed(option: str) -> tuple[str, Any]:
    name, equals, text = option.partition("=")
    if not equals or not name:
        raise StackError(f"{shortened(option)!r} is no option; write name=value, as status=503.")
    try:
        return name, json.loads(text)
    except (ValueError, RecursionError):
        return name, text


def _ask(method: str, path: str, **arguments: Any) -> Any:
    """Calls the simulator's /_faults; raises StackError when it does not answer, or refuses."""
    url = f"{running_config().shop_url}/_faults{path}"
    with loopback_session() as session:
        try:
            answer = session.request(method, url, timeout=10, **arguments)
        except (requests.RequestException, ValueError) as error:
            raise StackError(
                f"The shop simulator does not answer at {url} ({type(error).__name__}); "
                "`feira status` shows whether it runs."
            ) from None
    if not answer.ok:
        raise StackError(f"{method} {url} answered {answer.status_code}: {answer.text[:200]}")
    return answer.json() if answer.content else None
