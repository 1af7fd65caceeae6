"""The definitions of ArgoCD's kinds, cut to what applications are held to: ``python3 infra/argocd/crds/derive.py``.

They are those of the Go module argo-cd (Copyright The Argo CD Authors, Apache-2.0), without descriptions and status.
Needs Go, which fetches the module.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

MODULE = "github.com/argoproj/argo-cd/v3@v3.4.3"
KINDS = ("application", "appproject")
HERE = Path(__file__).parent


def cut(schema: Any) -> Any:
    """A schema without its descriptions; a property of that name stays."""
    if isinstance(schema, list):
        return [cut(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {k: cut(v) for k, v in schema.items() if k != "description" or isinstance(v, dict)}


def fetched() -> Path:
    """The module's folder."""
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            ["go", "mod", "download", "-json", MODULE],
            cwd=empty,
            capture_output=True,
            check=True,
        )
    return Path(json.loads(done.stdout)["Dir"])


if __name__ == "__main__":
    definitions = fetched() / "manifests" / "crds"
    for kind in KINDS:
        crd = yaml.safe_load((definitions / f"{kind}-crd.yaml").read_text())
        (version,) = crd["spec"]["versions"]
        spec = cut(version["schema"]["openAPIV3Schema"]["properties"]["spec"])
        text = json.dumps({"$comment": f"{MODULE}, Apache-2.0"} | spec, indent=1)
        (HERE / f"{kind}.json").write_text(text + "\n")
