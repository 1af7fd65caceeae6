"""A Terraform with its provider, and a moto server to apply to. Where there is none, these tests are skipped with what
to do."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from terraform_tree import Terraform, copied, environment


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree after `terraform init`; its state is a local file."""
    if shutil.which("terraform") is None:
        pytest.skip(
            "terraform is not on PATH: https://developer.hashicorp.com/terraform/install (1.11 or newer), "
            "then `make test-terraform`"
        )
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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env=os.environ | {"MOTO_IAM_LOAD_MANAGED_POLICIES": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 60
        while True:
            assert server.poll() is None, "moto's server has ended."
            assert time.monotonic() < until, f"moto's server does not answer at {url}."
            try:
                urllib.request.urlopen(f"{url}/moto-api/data.json", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(30)
