"""docs/deploy.md leads through files that are there, and ArgoCD's files name roles that Terraform makes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from feira.core.settings import repository_root
from terraform_tree import TREE, fill_secrets

PAGE = (repository_root() / "docs" / "deploy.md").read_text()
ROLES = (TREE / "modules" / "roles" / "main.tf").read_text()
COMMANDS = {"init", "plan", "apply", "destroy", "output", "providers"}


def _missing(page: str) -> set[str]:
    """Files, Terraform's commands and the program's options that the page's shell lines name and that are not there."""
    at, missing = repository_root(), set()
    for block in re.findall(r"```bash\n(.*?)```", page, re.S):
        for line in re.sub(r"\s#.*", "", block).splitlines():
            if folder := re.match(r"cd (\S+)", line):
                at = (at / folder[1]).resolve()
            named = re.findall(r"[\w./-]+\.(?:tfvars|tfbackend|yaml|py)\b", line)
            missing |= {name for name in named if not (at / name).is_file()}
            missing |= set(re.findall(r"\bterraform ([a-z]+)", line)) - COMMANDS
            if "fill_secrets.py" in line:
                options = set(re.findall(r"--\w+", line.split("fill_secrets.py")[1].split("|")[0]))
                missing |= {each for each in options if f'"{each}"' not in _program()}
    return missing


def _program() -> str:
    return (TREE / "fill_secrets.py").read_text()


def test_what_the_page_runs_is_there() -> None:
    assert _missing(PAGE) == set()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("environments/dev.tfvars -out", "environments/test.tfvars -out"),
        ("--manifests |", "--kubernetes |"),
        ("terraform plan", "terraform preview"),
        ("cd infra/terraform/state", "cd infra/terraform"),
    ],
)
def test_what_is_not_there_is_named(old: str, new: str) -> None:
    assert PAGE.count(old) == 1
    assert _missing(PAGE.replace(old, new))


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
