"""The dashboards' files are what the code makes, and a Grafana can load them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from feira.core.settings import repository_root
from feira_local.monitoring import dashboards
from promql import labels

PATHS = sorted(dashboards.FOLDER.glob("*.json"))


def test_the_files_are_what_the_code_makes() -> None:
    assert {path.name: path.read_text() for path in PATHS} == dashboards.texts(), (
        "infra/monitoring/dashboards is not what feira_local.monitoring.dashboards makes; "
        "`make dashboards` writes it anew"
    )


def test_writing_anew_leaves_no_file_of_a_dashboard_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "gone.json").write_text("{}")
    dashboards.write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in PATHS}


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def dashboard(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(json.loads(request.param.read_text()))


def test_it_is_read_by_the_model_of_its_library_as_it_was_written(
    dashboard: dict[str, Any],
) -> None:
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
    assert read == dashboard


def test_each_panel_has_a_place_of_its_own_and_every_query_the_readers_prometheus(
    dashboard: dict[str, Any],
) -> None:
    prometheus = {"type": "prometheus", "uid": "${datasource}"}
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
        assert panel["targets"] and panel["datasource"] == prometheus
        for target in panel["targets"]:
            assert target["datasource"] == prometheus and target["legendFormat"]


def test_each_variable_is_declared_and_is_a_label_that_there_is(dashboard: dict[str, Any]) -> None:
    declared = {each["name"]: each for each in dashboard["templating"]["list"]}
    used = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"\$(\w+)", target["expr"])
    }
    assert declared.keys() == {"datasource", *used}
    for name in used:
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", declared[name]["query"])
        assert found and found[2] in labels(found[1])


def test_the_page_has_a_picture_of_each_dashboard() -> None:
    docs = repository_root() / "docs"
    linked = re.findall(r"\((images/dashboard-\w+\.png)\)", (docs / "monitoring.md").read_text())
    assert sorted(linked) == [f"images/dashboard-{path.stem}.png" for path in PATHS]
    assert [each for each in linked if not (docs / each).is_file()] == []
