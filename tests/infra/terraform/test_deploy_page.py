"""docs/deploy.md leads through files and commands that are there; ArgoCD's files name roles that Terraform makes."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import botocore.session
import pytest
import yaml
from botocore import xform_name
from typer.testing import CliRunner

from feira.core.settings import repository_root
from terraform_tree import TREE, fill_secrets

PAGE = (repository_root() / "docs" / "deploy.md").read_text()
ROLES = (TREE / "modules" / "roles" / "main.tf").read_text()


def _lines(page: str) -> Iterator[tuple[Path, str]]:
    """The page's shell lines, whole and without comments, with the folder that each is in."""
    at = repository_root()
    for block in re.findall(r"```bash\n(.*?)```", page, re.S):
        block = re.sub(r"<<'PY'\n.*?\nPY\n", "\n", block, flags=re.S).replace("\\\n", " ")
        for line in re.sub(r"\s#.*", "", block).splitlines():
            if folder := re.match(r"cd (\S+)", line):
                at = (at / folder[1]).resolve()
            yield at, line.strip()


def _commands(page: str) -> Iterator[list[str]]:
    """Words of each command: of a line the parts of its pipe, and what a pod is to run by themselves."""
    for _, line in _lines(page):
        words = shlex.split(line.removeprefix("do "))
        for part in _parted(words, "|"):
            yield from _parted(part, "--")


def _parted(words: list[str], by: str) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for word in words:
        if word == by:
            found.append([])
        else:
            found[-1].append(word)
    return [part for part in found if part]


def _missing(page: str) -> set[str]:
    """What the page's shell lines name and is not there: files, and of programs their commands and options."""
    missing = set()
    for at, line in _lines(page):
        local = re.sub(r"https://\S+|infra/redshift\S+", "", line)
        named = re.findall(r"[\w./-]+\.(?:tfvars|tfbackend|yaml|py)\b|\S*/Dockerfile", local)
        missing |= {name for name in named if not (at / name).is_file()}
    for program, *words in _commands(page):
        if Path(program).name in CHECKS:
            missing |= _wrong(Path(program).name, *words)
        elif program not in SHELL and "=" not in program:
            missing.add(program)
    return missing


@cache
def _wrong(program: str, *words: str) -> set[str]:
    """What a program does not know of its words."""
    return {f"{program} {each}" for each in CHECKS[program](list(words))}


def _first(known: set[str]) -> Callable[[list[str]], set[str]]:
    """Held to a list of a program's commands, which stand first but for options with their values."""

    def check(words: list[str]) -> set[str]:
        while words and words[0] in ("-n", "--namespace"):
            words = words[2:]
        return set(words[:1]) - known

    return check


def _fill(words: list[str]) -> set[str]:
    program, *options = words
    text = (TREE / Path(program).name).read_text() if program.endswith("fill_secrets.py") else ""
    return {each for each in options if f'"{each}"' not in text} if text else {*words} - {"-"}


# Of the AWS CLI alone.
AWS_OWN = {
    ("eks", "update-kubeconfig"): {"name"},
    ("ecr", "get-login-password"): set[str](),
}
AWS_EVERY = {"region", "query", "output", "endpoint-url", "profile"}


def _aws(words: list[str]) -> set[str]:
    service, operation, *rest = words
    options = {word.removeprefix("--") for word in rest if word.startswith("--")} - AWS_EVERY
    if (service, operation) in AWS_OWN:
        return options - AWS_OWN[service, operation]
    session = botocore.session.get_session()
    if service not in session.get_available_services():
        return {service}
    model = session.get_service_model(service)
    names = {xform_name(name, "-"): name for name in model.operation_names}
    if operation not in names:
        return {f"{service} {operation}"}
    shape = model.operation_model(names[operation]).input_shape
    members = {} if shape is None else shape.members
    known = {xform_name(name, "-") for name in members}
    lacking = {xform_name(name, "-") for name in (shape.required_members if shape else ())}
    return (options - known) | (lacking - options)


def _airflow(words: list[str]) -> set[str]:
    from airflow.cli.cli_parser import get_parser

    try:
        get_parser().parse_args(words)
    except SystemExit:
        return {" ".join(words)}
    return set()


def _feira(words: list[str]) -> set[str]:
    from feira_local.cli import app

    # Asked for its help a command does nothing, and still refuses an option that it does not know.
    return set() if CliRunner().invoke(app, [*words, "--help"]).exit_code == 0 else {*words}


KUBECTL = {"apply", "create", "delete", "exec", "get", "patch", "port-forward"}
CHECKS: dict[str, Callable[[list[str]], set[str]]] = {
    "aws": _aws,
    "airflow": _airflow,
    "docker": _first({"build", "login", "push"}),
    "feira": _feira,
    "helm": _first({"repo", "upgrade"}),
    "kubectl": _first(KUBECTL),
    "python": _fill,
    "terraform": _first({"init", "plan", "apply", "destroy", "output", "providers"}),
}
SHELL = {"cd", "do", "done", "for", "set"}


def test_what_the_page_runs_is_there() -> None:
    assert _missing(PAGE) == set()
    run = {Path(words[0]).name for words in _commands(PAGE)}
    assert run & CHECKS.keys() == CHECKS.keys() - {"feira"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("environments/dev.tfvars -out", "environments/test.tfvars -out"),
        ("--manifests |", "--kubernetes |"),
        ("terraform plan", "terraform preview"),
        ("cd infra/terraform/state", "cd infra/terraform"),
        (
            "aws iam create-service-linked-role --aws-service-name spot",
            "aws iam make-role --aws-service-name spot",
        ),
        ("--aws-service-name autoscaling", "--service-name autoscaling"),
        (
            "aws sesv2 create-email-identity --email-identity",
            "aws sesv2 create-email-identity --email",
        ),
        ("aws eks update-kubeconfig --name", "aws eks update-kubeconfig --cluster"),
        ("get-login-password", "get-login"),
        ("kubectl get nodes", "kubectl show nodes"),
        ("airflow dags unpause sales_watch", "airflow dag unpause sales_watch"),
        ("docker push", "docker upload"),
        ("--file ../images/Dockerfile", "--file ../image/Dockerfile"),
        ("--patch-file ../argocd/health/argocd-cm.yaml", "--patch-file ../argocd/argocd-cm.yaml"),
    ],
)
def test_what_is_not_there_is_named(old: str, new: str) -> None:
    assert PAGE.count(old) == 1
    assert _missing(PAGE.replace(old, new))


def test_what_a_pod_is_to_run_is_python_and_imports_what_there_is() -> None:
    (program,) = re.findall(r"<<'PY'\n(.*?)\nPY\n", PAGE, re.S)
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            assert not [each.name for each in node.names if not hasattr(module, each.name)]


def test_what_the_page_names_of_the_laptop_is_there() -> None:
    makefile = (repository_root() / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.M))
    assert set(re.findall(r"`make ([a-z0-9-]+)`", PAGE)) <= targets
    lines = [each for text in re.findall(r"`(feira [^`]+)`", PAGE) for each in text.split(" && ")]
    assert len(lines) >= 3
    assert not set().union(*(_feira(shlex.split(line)[1:]) for line in lines))
    assert _feira(["run", "sales", "--date", "2010-12-01"])


def test_each_program_of_the_page_has_what_stands_for_it() -> None:
    table = PAGE.split("## What stands for each command")[1].split("##")[0]
    for words in _commands(PAGE):
        program = Path(words[0]).name
        if program in CHECKS:
            named = {"python": "fill_secrets.py"}.get(program, program)
            verb = words[1] if program == "kubectl" else ""
            verb = words[3] if verb in ("-n", "--namespace") else verb
            assert re.search(rf"`{named}\b", table), program
            assert f"{verb}`" in table or f"{verb}," in table, verb


def test_the_argocd_that_is_installed_is_the_one_whose_definitions_are_tested() -> None:
    definitions = (repository_root() / "infra" / "argocd" / "crds" / "application.json").read_text()
    (version,) = set(re.findall(r"argo-cd[ /](v[0-9.]+[0-9])", PAGE))
    assert f"/v3@{version}," in definitions


def test_the_page_names_every_variable_that_only_people_know() -> None:
    program = fill_secrets()
    named = set(re.findall(r"^FEIRA_SECRET_\w+", PAGE, re.M))
    assert named == {program.variable(conn_id) for conn_id in program.MUST_BE_GIVEN}


def test_the_page_has_every_service_account_that_a_role_is_for() -> None:
    for account in re.findall(r'"([a-z-]+:[a-z-]+)"', ROLES):
        if "service_accounts" not in account and not account.startswith(("s3:", "kms:")):
            name = (
                account.removeprefix("airflow:airflow")
                if account.startswith("airflow:airflow")
                else account
            )
            assert f"`{account}`" in PAGE or f"`{name}`" in PAGE, account


@pytest.mark.parametrize(
    "file",
    sorted((repository_root() / "infra" / "argocd").glob("*.yaml")),
    ids=lambda file: file.stem,
)
def test_argocd_gives_each_component_the_role_and_the_lake_that_terraform_makes(file: Path) -> None:
    values = yaml.safe_load(file.read_text())["spec"]["source"]["helm"]["valuesObject"]
    made = set(re.findall(r"^    (\w+) = \{\n      service_accounts", ROLES, re.M))
    assert made - {"autoscaler"} == set(values["roles"])
    for component, arn in values["roles"].items():
        assert arn == f"arn:aws:iam::123456789012:role/feira-{values['environment']}-{component}"
    assert values["lake"] == {
        "root": f"s3://feira-{values['environment']}-lake-123456789012",
        "region": "eu-central-1",
    }
