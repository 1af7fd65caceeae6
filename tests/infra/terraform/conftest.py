"""A Terraform with its provider, and a moto server to apply to. Where there is none, these tests are skipped with what
to do."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from temporary_postgres import free_port
from terraform_tree import Terraform, copied, environment

# The version that these tests were last run with, where a user's own programs are.
INSTALL = (
    "curl -fsSLo /tmp/terraform.zip "
    "https://releases.hashicorp.com/terraform/1.11.4/terraform_1.11.4_linux_amd64.zip && "
    "unzip -o /tmp/terraform.zip terraform -d ~/.local/bin   (Linux on x86-64), "
    "brew install hashicorp/tap/terraform   (macOS)"
)


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree after `terraform init`; its state is a local file."""
    if shutil.which("terraform") is None:
        pytest.skip(f"terraform is not on PATH, 1.11 or newer. Install it: {INSTALL}")
    tree = copied(tmp_path_factory.mktemp("terraform") / "tree")
    shutil.rmtree(tree / ".terraform", ignore_errors=True)
    (tree / "backend_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')
    done = subprocess.run(
        ["terraform", "init", "-no-color"],
        cwd=tree,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        if "query available provider packages" in done.stderr or "registry" in done.stderr:
            pytest.skip(
                "Terraform's AWS provider is not here: `terraform -chdir=infra/terraform init -backend=false` "
                "installs it (TF_PLUGIN_CACHE_DIR keeps it, TF_CLI_ARGS_init=-plugin-dir=FOLDER takes a mirror): "
                f"{done.stderr.strip().splitlines()[-1]}"
            )
        pytest.fail(f"terraform init:\n{done.stderr}")
    return tree


@pytest.fixture
def terraform(initialised: Path, tmp_path: Path) -> Terraform:
    """A copy of that for one test, to change and to run."""
    return Terraform(copied(tmp_path / "tree", initialised), environment())


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """The address of a moto server in a process of its own, so that nothing else's buckets are in it."""
    with _server([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p"], {}) as (url, _):
        yield url


@pytest.fixture(scope="module")
def ministack() -> Iterator[tuple[str, int]]:
    """The address of a ministack, and its process."""
    if (program := shutil.which("ministack")) is None:
        pytest.skip(
            "ministack is not on PATH; `make test-terraform` installs it in .cache/terraform-tools"
        )
    # It would bind every interface.
    env = {"BIND_HOST": "127.0.0.1", "MINISTACK_HOST": "127.0.0.1"}
    with _server([program], env, port_variable="GATEWAY_PORT") as server:
        yield server


@contextmanager
def _server(
    command: list[str], env: dict[str, str], port_variable: str | None = None
) -> Iterator[tuple[str, int]]:
    """Starts an emulator on a free port, which the command ends with or a variable names; its URL and process."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [*command, *([] if port_variable else [str(port)])],
        env=os.environ
        | {"MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}
        | env
        | ({port_variable: str(port)} if port_variable else {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 60
        while True:
            assert server.poll() is None, f"{command[0]} has ended."
            assert time.monotonic() < until, f"{command[0]} does not answer at {url}."
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield url, server.pid
    finally:
        server.terminate()
        server.wait(30)
