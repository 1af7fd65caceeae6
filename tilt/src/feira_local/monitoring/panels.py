"""What a dashboard is made of: panels that draw queries, and what all dashboards have in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TypeAlias

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, VisibilityMode

TAG = "feira"
# Which Prometheus: a dashboard may be imported where there are several.
_PROMETHEUS = models.DataSourceRef(type_val="prometheus", uid="${datasource}")


@dataclass(frozen=True)
class Query:
    """PromQL, and what its series are called: text with labels as ``{{task}}``."""

    promql: str
    legend: str


_Panel: TypeAlias = timeseries.Panel | stat.Panel


def lines(title: str, unit: str, *queries: Query, why: str = "", width: int = 12) -> _Panel:
    """Series over time. ``unit`` is Grafana's name of one, ``why`` what the panel's corner tells."""
    panel = (
        timeseries.Panel()
        .height(8)
        .min(0)
        .fill_opacity(8)
        # What comes once a day is a single point.
        .show_points(VisibilityMode.AUTO)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
    )
    return _described(panel, title, unit, queries, why, width)


def now(
    title: str, unit: str, *queries: Query, bad_from: float | None = None, why: str = "", width: int
) -> _Panel:
    """The newest value of each series, large; red from ``bad_from`` on, else green."""
    return _thresholds(title, unit, queries, "green", bad_from, "red", why, width)


def works(title: str, *queries: Query, why: str = "", width: int) -> _Panel:
    """Whether each of what is 1 or 0 is 1."""
    panel = _thresholds(title, "none", queries, "red", 1, "green", why, width)
    words = {"0": ("no", "red"), "1": ("yes", "green")}
    return panel.mappings(
        [
            models.ValueMap(
                options={
                    value: models.ValueMappingResult(text=text, color=color)
                    for value, (text, color) in words.items()
                }
            )
        ]
    )


def _thresholds(
    title: str,
    unit: str,
    queries: Iterable[Query],
    below: str,
    limit: float | None,
    above: str,
    why: str,
    width: int,
) -> _Panel:
    steps = [models.Threshold(value=None, color=below)]
    if limit is not None:
        steps.append(models.Threshold(value=limit, color=above))
    panel = (
        stat.Panel()
        .height(5)
        .thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
    )
    return _described(panel, title, unit, queries, why, width)


def _described(
    panel: _Panel, title: str, unit: str, queries: Iterable[Query], why: str, width: int
) -> _Panel:
    panel = panel.title(title).unit(unit).span(width).datasource(_PROMETHEUS)
    if why:
        panel = panel.description(why)
    for name, query in zip(ascii_uppercase, queries, strict=False):
        panel = panel.with_target(
            prometheus.Dataquery()
            .ref_id(name)
            .expr(query.promql)
            .legend_format(query.legend)
            .datasource(_PROMETHEUS)
        )
    return panel


def page(
    name: str,
    title: str,
    description: str,
    panels: Iterable[_Panel],
    *,
    variables: Iterable[dashboard.QueryVariable] = (),
) -> dashboard.Dashboard:
    """A dashboard ``feira-<name>`` with links to the others; panels go from left to right, rows of 24."""
    builder = (
        dashboard.Dashboard(title)
        .uid(f"{TAG}-{name}")
        .description(description)
        .tags([TAG])
        .timezone("utc")
        .time("now-24h", "now")
        .refresh("1m")
        .readonly()
        .link(
            dashboard.DashboardLink("Feira")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .keep_time(True)
        )
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
        )
    )
    for variable in variables:
        builder = builder.with_variable(variable)
    for number, panel in enumerate(panels, start=1):
        builder = builder.with_panel(panel.id(number))
    return builder


def choice(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """A variable that a reader picks one of, from what ``label_values(…)`` returns."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(_PROMETHEUS)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )
