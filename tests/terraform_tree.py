"""The Terraform of ``infra/terraform`` as text, and copies of it with a fault."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from feira.core.settings import repository_root

TREE = repository_root() / "infra" / "terraform"


def copied(to: Path, tree: Path = TREE) -> Path:
    """A copy, with what `terraform init` has left in it, that may be changed."""

    def states(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if Path(folder) == tree and ".tfstate" in name]

    return shutil.copytree(tree, to, symlinks=True, ignore=states)


def changed(tree: Path, file: str, old: str, new: str) -> None:
    """Plants a fault. Fails where the text is not there, or not only once."""
    path = tree / file
    text = path.read_text()
    assert text.count(old) == 1, f"{file} has {old!r} {text.count(old)} times; the fault needs one."
    path.write_text(text.replace(old, new))


def connection_outputs(tree: Path = TREE) -> set[str]:
    """The ids of the connections that are outputs."""
    text = (tree / "connections.tf").read_text()
    return {name.lower() for name in re.findall(r'^output "AIRFLOW_CONN_(\w+)"', text, re.M)}


def variables(environment: str) -> str:
    """The file with an environment's own values."""
    return (TREE / "environments" / f"{environment}.tfvars").read_text()


def node_groups(environment: str) -> dict[str, tuple[str, int]]:
    """Of each group of nodes its first instance type, and how many always run."""
    groups = r'(\w+)\s*=\s*{ instance_types = \["([^"]+)".*least = (\d+)'
    return {
        name: (kind, int(least)) for name, kind, least in re.findall(groups, variables(environment))
    }


def node_gigabytes(name: str) -> int:
    """A number of the cluster's module: a node's ``disk``, or what of it is ``for_pods``."""
    text = (TREE / "modules" / "cluster" / "main.tf").read_text()
    (found,) = re.findall(rf"^\s+{name}\s*=\s*(\d+)", text, re.M)
    return int(found)


def words(name: str, file: str = "main.tf", tree: Path = TREE) -> set[str]:
    """The texts of the list that a local value of a file is."""
    text = (tree / file).read_text()
    found = re.search(rf"^\s+{name}\s*=\s*\[(.*?)\]", text, re.M | re.S)
    assert found, f"{file} has no list {name}."
    return set(re.findall(r'"([^"]+)"', found[1]))


def fill_secrets() -> ModuleType:
    """``fill_secrets.py``, which is a program and in no package."""
    spec = importlib.util.spec_from_file_location("fill_secrets", TREE / "fill_secrets.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def environment() -> dict[str, str]:
    """Nobody's own account, and no question to its servers whether there is a newer version."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    # Settings of its own may name a file that is not there.
    if not Path(env.get("TF_CLI_CONFIG_FILE", "/")).is_file():
        env.pop("TF_CLI_CONFIG_FILE", None)
    return env | {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "CHECKPOINT_DISABLE": "1",
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
    }


@dataclass(frozen=True)
class Terraform:
    """A tree after `terraform init`, and the environment that it is run in."""

    tree: Path
    env: dict[str, str]

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """What `terraform ARGUMENTS` answers, failed or not."""
        return subprocess.run(
            ["terraform", *arguments, "-no-color"],
            cwd=self.tree,
            env=self.env | env,
            capture_output=True,
            text=True,
            timeout=600,
        )

    def done(self, *arguments: str, **env: str) -> str:
        """What it prints; fails where it does."""
        answer = self.run(*arguments, **env)
        assert answer.returncode == 0, (
            f"terraform {' '.join(arguments)}:\n{answer.stdout}{answer.stderr}"
        )
        return answer.stdout

    def apply(self, *parts: str) -> None:
        """Applies parts of dev; what they are made of too."""
        self.done(
            "apply",
            "-auto-approve",
            "-var-file=environments/dev.tfvars",
            # A call that an emulator does not know is not to be repeated for half an hour.
            "-var=max_retries=1",
            *(f"-target={part}" for part in parts),
        )


def on_emulator(tree: Path, url: str) -> Terraform:
    """The tree, whose provider asks an emulator in the stead of AWS."""
    (tree / "emulator_override.tf").write_text(
        'provider "aws" {\n  s3_use_path_style       = true\n  skip_metadata_api_check = true\n}\n'
    )
    # ministack takes the account from the key.
    return Terraform(
        tree, environment() | {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "123456789012"}
    )
