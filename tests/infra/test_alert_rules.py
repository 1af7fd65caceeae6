"""Rules, alerts and dashboards: each query names what is exported, each alert leads to a section of the runbook
and to a dashboard, and Prometheus' own tool finds that each fires and stays silent when it must."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from feira.core.settings import repository_root
from feira_airflow.core.pipelines import pipelines
from feira_local.stack import spark
from promql import (
    Named,
    dashboards,
    exported,
    files,
    known,
    labels,
    metrics,
    named_labels,
    queries,
    rules,
    tool,
)

ALERTS = {rule["alert"]: rule for rule in rules("alert")}
CASES = [case for path in files("tests") for case in yaml.safe_load(path.read_text())["tests"]]
_ALERT = re.compile(r'alertname="([A-Za-z]+)"')


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.*)$", page.read_text())
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("query", queries(), ids=lambda query: query.where)
def test_every_query_asks_for_metrics_and_labels_that_are_exported(query: Named) -> None:
    found = labels(query.promql)
    assert metrics(query.promql)
    rule = ALERTS.get(query.where, {"labels": {}})
    assert named_labels(query.text) <= found | rule["labels"].keys()


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("rate(feira_landed_rows_total[5m]) > 1", "feira_landed_rows_total is neither"),
        ('feira_landed_lines_total{table="x"}', "no label table"),
        ("sum by (day) (feira_landed_lines_total)", "no label day"),
        ("feira_held_days / feira_dag_paused", "no label dag"),
        ("feira_held_days / on (dag) feira_dag_paused", "no label dag"),
        ("histogram_quantile(0.9, rate(feira_step_seconds_sum[5m]))", "no label le"),
        ('feira:disk:free_ratio{disk="x"}', "no label disk"),
        ("sum by (rate(x[5m])", "unclosed"),
    ],
)
def test_what_is_renamed_or_can_never_match_is_noticed(query: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        labels(query)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("time() - feira_dag_paused", {"dag", "job", "instance"}),
        (
            "sum by (dag) (feira_step_seconds_sum) / sum by (dag) (feira_step_seconds_count)",
            {"dag"},
        ),
        ("topk(2, sum without (job, instance) (feira_dag_paused))", {"dag"}),
        ("feira_table_rows - on (table) feira_table_promised_latency_seconds", {"table"}),
        ("feira_held_days and on () feira_pipelines_clock == 1", {"job", "instance"}),
        ("histogram_quantile(0.9, sum by (le, task) (feira_step_seconds_bucket))", {"task"}),
        ("feira:table:lateness_seconds", {"table"}),
    ],
)
def test_labels_are_followed_through_a_query(query: str, found: set[str]) -> None:
    assert labels(query) == found


def test_what_is_taken_of_spark_is_recorded_once_and_shown_by_these_names_alone() -> None:
    of_spark = {spark.METRICS_PREFIX + name for name in spark.METRICS}
    read = [
        metric
        for rule in rules("record")
        if rule["record"].startswith("feira:spark:")
        for metric in metrics(rule["expr"])
    ]
    assert sorted(read) == sorted(of_spark)
    for query in queries():
        if not query.where.startswith("feira:spark:"):
            assert not metrics(query.promql) & of_spark, query.where


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_severity_owner_and_a_section_of_the_runbook_that_names_it(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["labels"]["owner"] in {each.owner for each in pipelines()}
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert anchor in anchors(repository_root() / page)
    text = (repository_root() / page).read_text()
    (section,) = [
        each for each in re.split(r"(?m)^##+ ", text) if anchor == _anchor(each.partition("\n")[0])
    ]
    assert f"`{name}`" in section
    # The section has a query that shows what the alert looks at.
    queries = re.findall(r"`([^`]*feira[_:][^`]*|up\{[^`]*)`", section)
    parsed = {metric for query in queries for metric in _parsed(query)}
    assert parsed & metrics(rule["expr"])
    # And it names a dashboard, which draws it; the clock is a switch and no figure.
    (dashboard,) = re.findall(r"Dashboard \*(\w+)\*", section)
    assert exported(metrics(rule["expr"])) - {"feira_pipelines_clock"} <= _shown(dashboard)


def test_where_an_alarm_of_a_task_is_seen_the_dashboard_has_what_the_query_asks_for() -> None:
    page = (repository_root() / "docs" / "operate.md").read_text()
    (table,) = re.findall(r"(?m)^\| alarm \| dashboard \| query \|\n\|---.*\n((?:\|.*\n)+)", page)
    rows = re.findall(r"(?m)^\| .+ \| \*(\w+)\* \| `([^`]+)` \|$", table)
    assert len(rows) == table.count("\n") > 10
    assert {dashboard for dashboard, _ in rows} == set(dashboards())
    for dashboard, query in rows:
        assert labels(query) is not None
        assert exported(metrics(query)) <= _shown(dashboard), query


def _shown(dashboard: str) -> set[str]:
    """What a dashboard's panels are drawn from."""
    panels = dashboards()[dashboard]["panels"]
    targets = [target for panel in panels for target in panel["targets"]]
    return exported({metric for each in targets for metric in metrics(each["expr"])})


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _parsed(text: str) -> set[str]:
    """Of code in a page that is a query, the metrics; others are commands and paths."""
    try:
        return metrics(text)
    except ValueError:
        return set()


def test_a_gauge_is_not_asked_how_fast_it_counts() -> None:
    counting = re.compile(r"\b(?:rate|increase|irate)\(\s*([\w:]+)")
    for query in queries():
        for name in counting.findall(query.promql):
            assert name.endswith(("_total", "_count", "_sum", "_bucket")), query.where


def test_every_figure_that_a_page_names_is_exported() -> None:
    for page in ("operate.md", "monitoring.md"):
        text = (repository_root() / "docs" / page).read_text()
        named = set(re.findall(r"\bfeira(?:_[a-z0-9]+){2,}\b|\bfeira(?::[a-z0-9_]+)+", text))
        modules = {"feira_local"}
        shown = {each for each in named if each.split("/")[0] not in modules}
        families = {re.sub(r"_(bucket|sum|count)$", "", each) for each in known()}
        assert shown <= known() | families, page


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_case_in_which_it_fires_and_one_of_the_same_metrics_in_which_none_does(
    name: str,
) -> None:
    wanted = exported(metrics(ALERTS[name]["expr"]))
    fires = silent = False
    for case in CASES:
        checks = [
            {
                found[1]
                for sample in check["exp_samples"]
                if (found := _ALERT.search(sample["labels"]))
            }
            for check in case["promql_expr_test"]
        ]
        fires |= any(name in check for check in checks)
        given = {metric for each in case["input_series"] for metric in metrics(each["series"])}
        silent |= wanted <= given and not any(checks)
    assert fires and silent


@pytest.mark.parametrize("name", ALERTS)
def test_what_an_alert_says_where_it_fires_is_held_word_by_word(name: str) -> None:
    said = [
        alert
        for case in CASES
        for check in case.get("alert_rule_test", ())
        if check["alertname"] == name
        for alert in check["exp_alerts"]
    ]
    # Without annotations promtool would find that none are expected, and with none expected nothing is said.
    assert said
    for alert in said:
        assert alert["exp_annotations"].keys() == ALERTS[name]["annotations"].keys()
        assert ALERTS[name]["labels"].items() <= alert["exp_labels"].items()


@pytest.mark.slow
def test_prometheus_tool_finds_that_they_fire_and_stay_silent() -> None:
    promtool = tool("promtool")
    for command in (("check", "rules", *files("rules")), ("test", "rules", *files("tests"))):
        ran = subprocess.run([promtool, *command], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
