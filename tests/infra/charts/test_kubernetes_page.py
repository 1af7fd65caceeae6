"""docs/kubernetes.md names targets, files and charts that there are."""

from __future__ import annotations

import re

import yaml

from checkout import REPOSITORY

PAGE = (REPOSITORY / "docs" / "kubernetes.md").read_text()


def test_every_target_is_in_the_makefile() -> None:
    targets = set(
        re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    )
    named = set(re.findall(r"\bmake ([a-z0-9-]+)", PAGE))
    assert {"test-images", "compose", "airflow-chart"} <= named <= targets


def test_every_file_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE)
    paths = re.findall(r"(?<=[ `])infra/[a-z/._-]+", PAGE)
    assert len(links) > 5 and len(paths) > 5
    for link in links:
        assert (REPOSITORY / "docs" / link).exists(), link
    for path in paths:
        assert (REPOSITORY / path).exists(), path


def test_the_versions_are_those_in_use() -> None:
    values = (REPOSITORY / "infra" / "charts" / "airflow" / "values.yaml").read_text()
    (version,) = set(re.findall(r"Airflow's own, (\S+)\]", PAGE))
    assert f"--version {version} " in values
    platform = REPOSITORY / "infra" / "charts" / "platform" / "templates" / "applications.yaml"
    assert f'"targetRevision" "{version}"' in platform.read_text()
    definitions = (REPOSITORY / "infra" / "argocd" / "crds" / "application.json").read_text()
    (argocd,) = set(re.findall(r"argo-cd (v[0-9.]+[0-9])", PAGE))
    assert yaml.safe_load(definitions)["$comment"].startswith(
        f"github.com/argoproj/argo-cd/v3@{argocd},"
    )
