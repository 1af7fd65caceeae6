"""Configuration, and the formats that programs read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wiring_reports import a_finding, a_report

from feira_wiring.config import Config, ConfigWrong, find, read
from feira_wiring.graph import as_mermaid
from feira_wiring.model import (
    AnyOf,
    Asset,
    AssetId,
    Emitter,
    Keys,
    Listener,
    Named,
    Place,
    Unread,
    Wiring,
)
from feira_wiring.rendering import (
    as_github,
    as_json,
    as_sarif,
    as_text,
    failed_as_json,
    failed_as_sarif,
)
from feira_wiring.report import Suppressed
from feira_wiring.suppression import (
    Pattern,
)

# Configuration


def test_the_nearest_pyproject_with_the_table_is_read(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.feira-lint]\nfail-on = "note"\nignore = ["cycle"]\nbaseline = "b.json"\n'
        'file-timeout = 2.5\n[[tool.feira-lint.assets]]\nmatch = "s3://*"\nignore = ["no-listener"]\n'
    )
    below = tmp_path / "sub" / "dags"
    below.mkdir(parents=True)
    (below.parent / "pyproject.toml").write_text("[tool.other]\nx = 1\n")
    (below / "pyproject.toml").write_text("tool = 1\n")
    file = find(below)
    assert file == tmp_path / "pyproject.toml"
    assert read(file) == Config(
        fail_on="note",
        ignore=("cycle",),
        baseline=tmp_path / "b.json",
        file_timeout=2.5,
        assets=(Pattern("s3://*", ("no-listener",)),),
    )


def test_every_key_is_read_and_none_need_be_there(tmp_path: Path) -> None:
    file = tmp_path / "lint.toml"
    file.write_text("[tool.feira-lint]\n")
    assert read(file) == Config()
    assert find(tmp_path) is None  # a table is looked for in pyproject.toml alone
    file.write_text(
        '[tool.feira-lint]\nfail-on = "never"\nselect = ["a", "b"]\nenable = ["c"]\nignore = []\n'
        "timeout = 1\nfile-timeout = 86399.5\n"
        '[[tool.feira-lint.assets]]\nmatch = "x"\nignore = ["a", "b"]\nreason = ""\n'
        '[[tool.feira-lint.assets]]\nmatch = "y"\nignore = []\nreason = "theirs"\n'
    )
    assert read(file) == Config(
        fail_on="never",
        select=("a", "b"),
        enable=("c",),
        timeout=1,
        file_timeout=86399.5,
        assets=(Pattern("x", ("a", "b")), Pattern("y", (), "theirs")),
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[tool.feira-lint]\nfail_on = "error"', "fail_on"),
        ('[tool.feira-lint]\nfail-on = "loud"', "loud"),
        ('[tool.feira-lint]\nignore = "cycle"', "ignore"),
        ("[tool.feira-lint]\ntimeout = true", "timeout"),
        ("[tool.feira-lint]\ntimeout = -1", "timeout"),
        ("[tool.feira-lint]\ntimeout = nan", "timeout"),
        ('[tool.feira-lint]\nbaseline = ""', "baseline"),
        ('[[tool.feira-lint.assets]]\nmatch = "x"', "ignore"),
        ('[[tool.feira-lint.assets]]\nmatch = "x"\nignore = []\nrules = 1', "rules"),
        ('[tool.feira-lint]\nassets = ["x"]', "assets"),
        ("[tool.feira-lint]\nassets = {}", "assets"),
        ("[tool.feira-lint]\ntimeout = 86400", "timeout"),
        ("[tool.feira-lint]\ntimeout = 0", "timeout"),
        ('[tool.feira-lint]\nfile-timeout = "9"', "file-timeout"),
        ("[tool.feira-lint]\nbaseline = 1", "baseline"),
        ("[tool.feira-lint]\nfail-on = ['error']", "fail-on"),
        ("[tool.feira-lint]\nselect = {}", "select"),
        ("[tool.feira-lint]\nenable = [1]", "enable"),
        ('[[tool.feira-lint.assets]]\nignore = ["a"]', "match"),
        ('[[tool.feira-lint.assets]]\nmatch = ""\nignore = []', "match"),
        ('[[tool.feira-lint.assets]]\nmatch = "x"\nignore = "a"', "ignore"),
        ('[[tool.feira-lint.assets]]\nmatch = "x"\nignore = []\nreason = 1', "reason"),
        ("[tool]\nfeira-lint = 1", "tool.feira-lint"),
        ("[tool.feira-lint", "cannot be read"),
        ("[tool.other]\nx = 1", "tool.feira-lint"),
        ("tool = 1", "tool.feira-lint"),
        ("", "tool.feira-lint"),
    ],
)
def test_a_key_or_value_that_is_wrong_is_named(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text(text)
    with pytest.raises(ConfigWrong, match=named) as caught:
        read(file)
    assert str(file) in str(caught.value)


# Formats


def test_findings_of_one_cause_are_one_paragraph() -> None:
    one, other = a_finding(), a_finding(line=9)
    text = as_text(a_report(one, other))
    assert text.count("no-listener") == 1
    assert "dags/a b.py:3\n         dags/a b.py:9" in text
    assert "0 errors and 2 warnings" in text


def test_sarif_has_what_the_specification_requires() -> None:
    """SARIF 2.1.0: 3.13 version and runs, 3.18 tool.driver.name, 3.27 message, 3.27.10 level,
    3.4 a URI reference, 3.30 lines from 1, 3.35 suppression kind."""
    report = a_report(a_finding(), a_finding("other", line=None, level="note"))
    by_comment = Suppressed(a_finding(), "comment", in_source=True)
    report = replace(report, suppressed=(Suppressed(a_finding(), "pattern"), by_comment))
    value = json.loads(as_sarif(report))
    assert value["version"] == "2.1.0"
    (run,) = value["runs"]
    assert run["tool"]["driver"]["name"]
    assert [each["ruleId"] for each in run["results"]] == ["no-listener", "other"] + [
        "no-listener"
    ] * 2
    for each in run["results"]:
        assert each["message"]["text"]
        assert each["level"] in ("none", "note", "warning", "error")
        (location,) = each["locations"]
        assert location["physicalLocation"]["artifactLocation"]["uri"] == "dags/a%20b.py"
    first, second, third, fourth = run["results"]
    assert first["locations"][0]["physicalLocation"]["region"] == {"startLine": 3}
    assert run["tool"]["driver"]["rules"][first["ruleIndex"]]["id"] == "no-listener"
    assert "region" not in second["locations"][0]["physicalLocation"]
    assert "suppressions" not in first
    assert third["suppressions"] == [{"kind": "external", "justification": "pattern"}]
    assert fourth["suppressions"] == [{"kind": "inSource", "justification": "comment"}]
    odd = a_finding(places=(Place("d\udcff[1]%.py"), Place("/x y.py", 2)))
    (result,) = json.loads(as_sarif(a_report(odd)))["runs"][0]["results"]
    shown = [
        each["physicalLocation"]["artifactLocation"]["uri"]
        for each in (*result["locations"], *result["relatedLocations"])
    ]
    assert shown == ["d%FF%5B1%5D%25.py", "file:///x%20y.py"]


def test_sarif_names_a_place_once_and_no_line_before_the_first() -> None:
    """3.27.12 and 3.27.22: locations are unique; 3.30.5: startLine is at least 1."""
    same = (
        Place("a.py", 3),
        Place("./a.py", 3),
        Place("b.py", 0),
        Place("b.py", 1),
        Place("a.py", 3),
    )
    (result,) = json.loads(as_sarif(a_report(a_finding(places=same))))["runs"][0]["results"]
    shown = [
        each["physicalLocation"] for each in (*result["locations"], *result["relatedLocations"])
    ]
    assert shown == [
        {"artifactLocation": {"uri": "a.py"}, "region": {"startLine": 3}},
        {"artifactLocation": {"uri": "b.py"}},
        {"artifactLocation": {"uri": "b.py"}, "region": {"startLine": 1}},
    ]


@given(st.text(st.characters(), min_size=1))
@example("d\udcff.py")
@example("\ud83d\ude00 \\udcff")
def test_programs_get_json_that_has_no_half_characters(name: str) -> None:
    """A file name need not be UTF-8: a strict parser refuses what Python makes of it."""
    report = a_report(a_finding(problem=name, places=(Place("d\udcff.py", 1),)))
    whole = name.encode("utf-8", "backslashreplace").decode()
    (found,) = (json.loads(as_json(report)))["findings"]
    assert (found["problem"], found["places"][0]["file"]) == (whole, "d\\udcff.py")
    assert json.loads(failed_as_json(name))["error"] == whole
    (result,) = json.loads(as_sarif(report))["runs"][0]["results"]
    assert result["message"]["text"].startswith(f"{whole} In Airflow: ")
    (invocation,) = json.loads(failed_as_sarif(name))["runs"][0]["invocations"]
    assert invocation["toolExecutionNotifications"][0]["message"]["text"] == whole


def test_a_github_annotation_is_one_line_and_escaped() -> None:
    odd = a_finding(problem="100 % of\r\n::error::x", asset="a,b:c", places=(Place("d,1:2.py", 7),))
    assert as_github(a_report(odd)) == (
        "::warning file=d%2C1%3A2.py,title=no-listener a%2Cb%3Ac,line=7"
        "::100 %25 of%0D%0A::error::x In Airflow: c Next: s"
    )
    assert as_github(a_report(a_finding(level="note"))).startswith("::notice ")
    bare = a_finding(level="error", asset=None, places=())
    assert (
        as_github(a_report(bare, bare)).splitlines()
        == ["::error title=no-listener::p In Airflow: c Next: s"] * 2
    )
    no_line = a_finding(places=(Place("d.py"), Place("e.py", 4)))
    assert as_github(a_report(no_line)).startswith("::warning file=d.py,title=no-listener orders::")


@pytest.mark.parametrize(
    ("levels", "report", "last"),
    [
        ("", {}, "No findings: 1 DAG and 1 asset in dags."),
        ("e", {"dags": 2}, "1 error and 0 warnings: 2 DAGs and 1 asset in dags."),
        ("eew", {"assets": 0}, "2 errors and 1 warning: 1 DAG and 0 assets in dags."),
        ("wwn", {"folders": ("a", "b")}, "0 errors and 2 warnings, 1 note: 1 DAG and 1 asset in a, b."),
        ("nn", {"ignored": ("x", "y")}, "0 errors and 0 warnings, 2 notes: 1 DAG and 1 asset in dags; ignored: x, y."),
        ("", {"suppressed": (Suppressed(a_finding(), "z"),) * 2},
         "No findings: 1 DAG and 1 asset in dags; 2 suppressed."),
    ],
)  # fmt: skip
def test_the_last_line_counts(levels: str, report: dict[str, Any], last: str) -> None:
    names = {"e": "error", "w": "warning", "n": "note"}
    findings = [a_finding(str(n), level=names[each]) for n, each in enumerate(levels)]
    text = as_text(replace(a_report(*findings), **report))
    assert text.splitlines()[-1] == last


def test_a_paragraph_is_indented_wrapped_and_has_no_codes_of_a_terminal() -> None:
    long = "word " * 30
    odd = a_finding(
        asset="a\x1b[1m", problem=f"{long}\nb", places=(Place("d\n.py"), Place("d\n.py"))
    )
    lines = as_text(a_report(odd)).splitlines()
    assert lines[0] == "warning  no-listener  a?[1m"
    assert lines[1:3] == [" " * 9 + ("word " * 18).strip(), " " * 9 + "word " * 12 + " b"]
    assert lines[3:] == [
        " " * 9 + "In Airflow: c",
        " " * 9 + "Next: s",
        " " * 9 + "d?.py",
        "",
        "0 errors and 1 warning: 1 DAG and 1 asset in dags.",
    ]
    assert as_text(a_report(a_finding(asset=None))).splitlines()[0] == "warning  no-listener"


def a_wiring(name: str) -> Wiring:
    asset = AssetId(name, name)
    return Wiring(
        dag_ids=("end", name),
        assets={asset: Asset(asset)},
        emitters=(Emitter(asset, "end", "t", Keys.KEYED), Emitter(asset, None, name, Keys.PLAIN)),
        listeners=(Listener(name, asset, keyed=True),),
        read=frozenset(),
        clock_keys={},
        unread=(Unread(f"{name}.py", emits=(Named("x"), Named(".*"))),),
    )


def test_a_flowchart_shows_what_is_not_known_and_each_arrow_once() -> None:
    one, other = AssetId("one", "one"), AssetId("any", kind="alias")
    may = (Emitter(one, "load", "t", Keys.MAYBE), Emitter(one, "load", "u", Keys.MAYBE))
    wiring = replace(
        a_wiring("x"),
        assets={one: Asset(one)},
        emitters=(*may, Emitter(other, "load", "t", Keys.PLAIN)),
        listeners=(Listener("hear", AnyOf((one, other)), keyed=False),),
        dag_ids=("hear",),
        unread=(Unread("bad.py", hears=(Named("on."),)), Unread("worse.py")),
    )
    assert [line.strip() for line in as_mermaid(wiring).splitlines()[2:]] == [
        'd0["hear"]',
        'd1["load"]',
        'a0(["one"])',
        'a1(["alias any"])',
        "d1 -.-> a0",
        "d1 --> a1",
        "a0 --> d0",
        "a1 --> d0",
        'f0["bad.py (did not import)"]',
        "style f0 stroke-dasharray: 4",
        "a0 -.-> f0",
        'f1["worse.py (did not import)"]',
        "style f1 stroke-dasharray: 4",
    ]


@given(st.text(min_size=1).filter(lambda name: name != "end"))
def test_no_name_is_ever_read_as_mermaid(name: str) -> None:
    lines = as_mermaid(a_wiring(name)).splitlines()
    assert lines[0] == "flowchart LR"
    nodes = [line for line in lines if '"' in line]
    assert len(nodes) == 5
    for line in nodes:
        opening, label, closing = line.split('"')
        assert not set(label) & set("`<>\\")
        assert opening.strip()[0] in "adwf" and closing.strip()[-1] in "])"
    assert [line.strip() for line in lines if ">" in line and "%%" not in line] == [
        "d0 ==> a0",
        "w0 --> a0",
        "a0 ==> d1",
        "f0 -.-> a0",
    ]
