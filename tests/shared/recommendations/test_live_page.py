"""The page of a measured day, as a browser and a person read it; names in it come from events."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from matplotlib.dates import date2num
from PIL import Image

from feira.core.contracts import contract
from feira.recommendations.bootstrap import Figure
from feira.recommendations.live.chart import chart, chart_png, history_png
from feira.recommendations.live.estimate import Estimate, Measured
from feira.recommendations.live.figures import LiveFigure, two_arms
from feira.recommendations.live.page import (
    history_page,
    measured_days,
    page,
    write_history,
    write_page,
)

DAY = date(2010, 12, 5)
WEB = "web-2010-12-05"
HOSTILE = "$\\frac{x}{$</td><script>alert(1)</script>\u202e\n_" + "x" * 40
SNIPS = Figure(0.081, 0.06, 0.101)


def ctr(version: str, arm: str, position: int, value: float, shown: int = 900) -> LiveFigure:
    half = 0.3 * value
    ends = (value, value - half, value + half)
    return LiveFigure(version, arm, position, "ctr", *ends, shown, shown // 10)


def figures(*arms: tuple[str, str, float]) -> tuple[LiveFigure, ...]:
    found = []
    for version, arm, value in arms:
        for position in range(11):
            found.append(ctr(version, arm, position, value / (1 + 0.35 * max(0, position - 1))))
        of_all = (version, arm, 0)
        found += [
            LiveFigure(*of_all, "conversion", None, None, None, 900, 90),
            LiveFigure(*of_all, "novelty", 5.5, 5.25, 5.75, 900, 90),
            LiveFigure(*of_all, "category_diversity", 0.5, 0.4, 0.6, 900, 90),
        ]
        # Of a slot they are others, and are on no chart.
        for each in ("ctr", "conversion", "novelty", "category_diversity"):
            found.append(LiveFigure(*of_all, each, 0.75, 0.5, 1.0, 60, 6, slot="new"))
        found.append(LiveFigure(version, arm, 1, "ctr", 0.75, 0.5, 1.0, 60, 6, slot="new"))
    return tuple(found)


def estimated(refused: str | None = None, **changed: object) -> Estimate:
    nothing = Figure(None)
    known = {"snips": nothing if refused else SNIPS, "dr": nothing if refused else SNIPS}
    made = Estimate(
        "2010-12-05-001",
        Figure(0.075),
        known["snips"],
        known["dr"],
        512.4,
        300.0,
        Figure(0.31),
        9000,
        800,
        refused,
    )
    return replace(made, **changed)  # type: ignore[arg-type]


def measured(hostile: bool = True, **changed: object) -> Measured:
    days = [DAY - timedelta(days=n) for n in range(6, -1, -1)]
    history = [
        (day, ctr(f"web-{day}", arm, 0, 0.06 + 0.01 * number + 0.02 * (arm == "b")))
        for number, day in enumerate(days)
        for arm in "ab"
    ]
    arms = [(WEB, "a", 0.12), (WEB, "b", 0.2), *[(HOSTILE, "<b>$x$</b>", 0.05)][: int(hostile)]]
    made = Measured(DAY, figures(*arms), (estimated(),), tuple(history), 12_345, 0)
    return replace(made, **changed)  # type: ignore[arg-type]


class Reader(HTMLParser):
    """The tags of a page, its images and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.images: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.images += [value or "" for name, value in attrs if name == "src"]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def drawn(of: Measured) -> str:
    return page(of, chart_png(of))


def text(of: Measured) -> str:
    return " ".join(" ".join(Reader(drawn(of)).words).split())


def test_the_page_has_the_figures_with_their_intervals() -> None:
    found = text(measured())
    assert "12,345 impressions" in found
    assert (
        f"{WEB} a both 900 90 12.00 % (8.40–15.60) – 5.50 (5.25–5.75) 50.00 % (40.00–60.00) "
        f"{WEB} a new 60 6 75.00 % (50.00–100.00) 75.00 %" in found
    )
    assert "1 5.00 % (3.50–6.50) 12.00 % (8.40–15.60) 20.00 % (14.00–26.00)" in found
    assert "10 1.20 % (0.84–1.57) 2.89 % (2.02–3.76) 4.82 % (3.37–6.27)" in found
    assert "2010-12-05-001 both SNIPS 8.10 % (6.00–10.10), doubly robust 8.10 %" in found
    assert "512 effective of 9,000 impressions" in found
    assert "2010-11-29 web-2010-11-29 a 900 6.00 % (4.20–7.80)" in found
    assert found.index("2010-12-05 web-2010-12-05 b 900 14.00 %") < found.index("2010-11-29 web")
    assert "more than one arm" not in found and "beyond the most shown" not in found


def test_names_from_events_are_text_and_the_page_loads_nothing() -> None:
    found = drawn(measured())
    reader = Reader(found)
    assert "script" not in reader.tags and "b" not in reader.tags
    assert "<script>alert(1)</script>" in "".join(reader.words)
    assert "\u202e" not in found
    assert [it.partition(",")[0] for it in reader.images] == ["data:image/png;base64"]
    assert not re.search(r"https?:", found)


def test_the_chart_is_a_picture_and_the_same_for_the_same_figures() -> None:
    of = measured()
    (source,) = Reader(drawn(of)).images
    png = base64.b64decode(source.partition(",")[2])
    assert png == chart_png(of)
    assert Image.open(io.BytesIO(png)).size == (1200, 950)


def test_the_chart_shows_the_most_shown_at_their_values_side_by_side() -> None:
    top, bottom = chart(measured()).axes
    labels = [it.get_text() for it in top.get_legend().get_texts()]
    assert labels[1:] == [f"{WEB} · a", f"{WEB} · b"] and "script" in labels[0]
    points = [line.lines[0].get_data() for line in top.containers]
    assert [max(values) for _, values in points] == [0.05, 0.12, 0.2]
    assert len({tuple(places) for places, _ in points}) == 3
    assert [round(places[0]) for places, _ in points] == [1, 1, 1]
    assert [len(line.lines[0].get_xdata()) for line in bottom.containers] == [7, 7]


@pytest.mark.parametrize(
    "days", [[date.min], [date.max], [date(1, 1, 3), date(1, 1, 5)], [date.min, date.max]]
)
def test_the_charts_begin_and_end_with_the_days_that_dates_have(days: list[date]) -> None:
    history = tuple((day, ctr(WEB, "a", 0, 0.1)) for day in days)
    assert history_png(history).startswith(b"\x89PNG")
    _, bottom = chart(measured(history=history)).axes
    low, high = bottom.get_xlim()
    spare = max(1, (10 - (days[-1] - days[0]).days) // 2)
    first, last = date2num(date.min), date2num(date.max)
    assert low == max(first, date2num(days[0]) - spare)
    assert high == min(last, date2num(days[-1]) + spare)


def test_an_estimate_that_is_refused_is_no_number_but_a_reason() -> None:
    """All that the contract names."""
    words = {
        "no_support": "the log could have shown 31% of the version's products at their places (limit 80%)",
        "small_sample": "512 effective of 9,000 impressions, and 700 are needed",
        "few_users": "fewer than 20 groups of users have an impression that counts",
        "doubtful_probabilities": "the weights are 7.00 of what there is (limit 1.25)",
        "no_clicks": "nothing was clicked",
        "nothing_logged": "no impression is at a place for which the version has a product",
    }
    assert words.keys() == set(contract("recommendations.live_figures").column("refused").allowed)
    changed = {
        "doubtful_probabilities": {"support": Figure(7.0)},
        "no_clicks": {"needed": None},
        "small_sample": {"needed": 700.0},
        "nothing_logged": {"support": Figure(None)},
    }
    refused = tuple(
        estimated(each, list_version=f"of {each}", slot="again", **changed.get(each, {}))
        for each in words
    )
    found = text(measured(estimates=refused))
    for each, reason in words.items():
        assert f"of {each} again No number: {reason}." in found
    assert "SNIPS" not in found


def test_a_sample_that_is_large_enough_but_whose_weights_are_not_is_said_to_be_so() -> None:
    support = Figure(0.91, 0.886, 0.934)
    refused = estimated("small_sample", support=support, effective=512.0, needed=300.0)
    found = text(measured(estimates=(refused,)))
    assert "No number: the weights are 0.91 (0.89–0.93) of what there is" in found
    assert "are needed" not in found


def test_users_in_two_arms_and_what_was_left_out_are_said() -> None:
    faulty = measured()
    found = text(
        replace(faulty, figures=(*faulty.figures, two_arms(WEB, 7, 900, 9000)), left_out=1234)
    )
    assert f"7 of 900 users were shown {WEB} in more than one arm" in found
    assert "1,234 of them are of versions and arms beyond the most shown" in found


def test_a_day_is_measured_where_its_page_is_and_not_where_its_folder_is(tmp_path: Path) -> None:
    files, root = LocalFileSystem(auto_mkdir=True), f"file://{tmp_path}"
    assert measured_days(files, root) == []
    folder = f"{root}/reports/recommendations"
    for name in ("2010-12-02/chart.png", "2010-12-03/live.html.part", "2010-12-04/old/live.html"):
        files.pipe_file(f"{folder}/{name}", b"x")
    files.mkdir(f"{folder}/2010-12-06")
    write_page(files, root, measured())
    assert measured_days(files, root) == [DAY]


def test_a_page_that_cannot_be_written_leaves_no_chart_of_its_day(tmp_path: Path) -> None:
    class Full(LocalFileSystem):  # type: ignore[misc]
        def pipe_file(self, path: str, value: bytes, *args: Any, **options: Any) -> None:
            if path.endswith("live.html"):
                raise OSError("no space left on device")
            super().pipe_file(path, value, *args, **options)

    with pytest.raises(OSError, match="no space"):
        write_page(Full(auto_mkdir=True), f"file://{tmp_path}", measured())
    assert [*tmp_path.rglob("*.png")] == []


def test_a_day_without_impressions_has_a_page() -> None:
    found = text(Measured(DAY, (), (estimated("nothing_logged"),), (), 0, 0))
    assert "0 impressions" in found and "Nothing was shown." in found


def by_day() -> list[tuple[date, LiveFigure]]:
    """Of each day both slots, and after them one."""
    days = [(day, row) for day, row in measured().history if row.arm == "a"]
    new = [(day, replace(row, slot="new", value=0.3, low=0.2, high=0.4)) for day, row in days]
    hostile = (DAY, replace(ctr(HOSTILE, "<b>$x$</b>", 0, 0.01), low=None))
    return [hostile, *(it for pair in zip(days, new, strict=True) for it in pair)]


def test_the_page_of_all_days_has_each_day_and_slot_the_newest_first() -> None:
    reader = Reader(history_page(by_day()))
    found = " ".join(" ".join(reader.words).split())
    assert f"{DAY} {WEB} a 900 12.00 % (8.40–15.60) – 30.00 % (20.00–40.00)" in found
    assert found.index(f"{DAY} {WEB}") < found.index("2010-11-29 web-2010-11-29 a 900 6.00 %")
    assert "script" not in reader.tags and "<script>alert(1)</script>" in "".join(reader.words)
    assert reader.tags.count("tr") == 1 + 8
    (source,) = reader.images
    assert base64.b64decode(source.partition(",")[2]) == history_png(by_day())
    assert "Nothing was shown." in history_page([])


def test_the_chart_is_beside_the_days_page_and_the_page_of_all_days_is_no_day(
    tmp_path: Path,
) -> None:
    files, root = LocalFileSystem(auto_mkdir=True), f"file://{tmp_path}"
    write_page(files, root, measured())
    uri = write_history(files, root, by_day())
    files.pipe_file(f"{root}/reports/recommendations/2010-02-30/live.html", b"")
    assert measured_days(files, root) == [DAY]
    folder = tmp_path / "reports" / "recommendations"
    assert (folder / str(DAY) / "chart.png").read_bytes() == chart_png(measured())
    assert uri == f"file://{folder}/history.html"
