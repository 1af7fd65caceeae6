"""checkov finds nothing in production's values but what an exception in the code gives its reason for.

Run by `make test-terraform`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from terraform_tree import TREE, changed, copied

pytestmark = pytest.mark.terraform


def _found(tree: Path) -> set[tuple[str, str]]:
    """Failed checks by id and resource."""
    if (checkov := shutil.which("checkov")) is None:
        pytest.skip(
            "checkov is not on PATH; `make test-terraform` installs it in .cache/terraform-tools"
        )
    answer = subprocess.run(
        [
            *(
                checkov,
                "--directory",
                str(tree),
                "--framework",
                "terraform",
                "--quiet",
                "--compact",
            ),
            *("--var-file", str(tree / "environments" / "prod.tfvars"), "--output", "json"),
            # Else it asks its maker's server for guidelines, and registries for modules.
            *("--skip-download", "--download-external-modules", "false"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    report = json.loads(answer.stdout)
    assert report["summary"]["parsing_errors"] == 0 and report["summary"]["passed"] > 200
    return {(each["check_id"], each["resource"]) for each in report["results"]["failed_checks"]}


def test_production_breaks_no_check() -> None:
    assert _found(TREE) == set()


def test_each_exception_says_why() -> None:
    for file in TREE.rglob("*.tf"):
        for check, reason in re.findall(r"checkov:skip=(\w+)(.*)", file.read_text()):
            assert len(reason.removeprefix(":").split()) >= 6, f"{file.name}: {check}"


def test_a_public_bucket_is_noticed(tmp_path: Path) -> None:
    tree = copied(tmp_path / "tree")
    changed(
        tree,
        "modules/bucket/main.tf",
        "block_public_acls       = true",
        "block_public_acls       = false",
    )
    assert "CKV_AWS_53" in {check for check, _ in _found(tree)}
