"""Configuration, suppression, baselines, and the formats that programs read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feira_wiring.config import Config, ConfigWrong, find, read
from feira_wiring.graph import as_mermaid
from feira_wiring.linting import lint
from feira_wiring.model import (
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
from feira_wiring.report import Finding, NoSuchRule, Report, RuleInfo, Suppressed
from feira_wiring.suppression import (
    BaselineUnreadable,
    Pattern,
    as_baseline,
    fingerprint,
    without_known,
)

ORDERS = AssetId("orders", "s3://lake/orders")


def a_finding(rule: str = "no-listener", line: int | None = 3, **more: object) -> Finding:
    given: dict[str, object] = {
        "level": "warning",
        "problem": "p",
        "consequence": "c",
        "step": "s",
        "asset": "orders",
        "dags": ("load",),
        "tasks": ("load.t",),
        "places": (Place("dags/a b.py", line),),
        "subject": ORDERS,
    }
    return Finding(rule=rule, **{**given, **more})  # type: ignore[arg-type]


def a_report(*findings: Finding) -> Report:
    rules = (RuleInfo("no-listener", "warning", "nobody listens", True),)
    return Report(("dags",), 1, 1, findings, rules)


# Suppression

EMITS = """from airflow.sdk import DAG, Asset, task
def f(): ...
with DAG("load", schedule=None):
    {above}
    task(task_id="t", outlets=[Asset("orders", uri="s3://lake/orders"{mark})])(f)(){on}
"""


@pytest.mark.parametrize(
    ("parts", "suppressed"),
    [
        ({"on": "  # feira-lint: ignore[no-listener] people read it"}, True),
        ({"on": "  # feira-lint: ignore[cycle, no-listener]"}, True),
        ({"above": "# feira-lint: ignore[no-listener]"}, True),
        ({"on": "  # feira-lint: ignore[cycle]"}, False),
        ({"above": "x = 1  # feira-lint: ignore[no-listener]"}, False),
        ({"above": "x = '# feira-lint: ignore[no-listener]'"}, False),
        ({"mark": ", extra={'lint_ignore': ['no-listener']}"}, True),
        ({"mark": ", extra={'lint_ignore': 'no-listener'}"}, True),
        ({"mark": ", extra={'lint_ignore': ['cycle']}"}, False),
        ({"mark": ", extra={'lint_ignore': 7}"}, False),
    ],
)
def test_a_comment_on_the_line_or_a_mark_on_the_asset_suppresses(
    tmp_path: Path, parts: dict[str, str], suppressed: bool
) -> None:
    text = EMITS.format(**({"above": "pass", "mark": "", "on": ""} | parts))
    (tmp_path / "dags.py").write_text(text)
    report = lint(tmp_path)
    assert ([each.rule for each in report.findings] == []) is suppressed
    assert [each.finding.rule for each in report.suppressed] == ["no-listener"] * suppressed


@pytest.mark.parametrize(
    ("match", "suppressed"), [("s3://lake/*", True), ("orders", True), ("s3://b/*", False)]
)
def test_a_pattern_for_name_or_uri_suppresses(tmp_path: Path, match: str, suppressed: bool) -> None:
    (tmp_path / "dags.py").write_text(EMITS.format(above="pass", mark="", on=""))
    report = lint(tmp_path, patterns=[Pattern(match, ("no-listener",))])
    assert (len(report.findings), len(report.suppressed)) == (1 - suppressed, int(suppressed))
    with pytest.raises(NoSuchRule, match="no-such"):
        lint(tmp_path, patterns=[Pattern(match, ("no-such",))])


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


# Baseline


def test_a_baseline_hides_what_it_has_and_lists_what_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "base.json"
    gone, known, new = a_finding("cycle"), a_finding(), a_finding(dags=("other",))
    file.write_text(as_baseline(a_report(gone, known)))
    moved = replace(known, places=(Place("dags/moved.py", 99),), problem="reworded", level="error")
    report = without_known(a_report(new, moved), file)
    assert report.findings == (new,)
    assert [each.finding for each in report.suppressed] == [moved]
    assert report.stale == ("cycle of orders",)
    assert "cycle of orders" in as_text(report)


def test_an_entry_of_a_baseline_covers_one_finding(tmp_path: Path) -> None:
    file = tmp_path / "base.json"
    file.write_text(as_baseline(a_report(a_finding())))
    assert len(without_known(a_report(a_finding(), a_finding()), file).findings) == 1


def test_two_files_that_do_not_import_are_two_entries() -> None:
    bare: dict[str, object] = {"asset": None, "dags": (), "tasks": (), "subject": None}
    one = a_finding("import-error", places=(Place("d/a.py"),), **bare)
    assert fingerprint(one) != fingerprint(replace(one, places=(Place("d/b.py"),)))
    assert fingerprint(one) != fingerprint(replace(one, problem="another cause"))
    assert fingerprint(one) == fingerprint(replace(one, places=(Place("e/a.py", 4),)))


def test_a_baseline_holds_an_asset_that_each_parse_renames(tmp_path: Path) -> None:
    """And what else is found of it: here, that nobody emits it."""
    (tmp_path / "dags.py").write_text(
        "import uuid\nfrom airflow.sdk import DAG, Asset\n"
        "ONE, TWO = (Asset(f's3://b/{uuid.uuid4()}') for _ in 'ab')\n"
        "D = DAG('hear', schedule=ONE & TWO)\n"
    )
    file = tmp_path / "base.json"
    file.write_text(as_baseline(lint(tmp_path)))
    found = lint(tmp_path)
    assert sorted(each.rule for each in found.findings) == [
        *["no-emitter"] * 2,
        *["unstable-asset"] * 2,
    ]
    report = without_known(found, file)
    assert (report.findings, report.stale, len(report.suppressed)) == ((), (), 4)


@pytest.mark.parametrize(
    "more",
    [
        {"subject": AssetId("orders", "s3://lake/other")},
        {"subject": AssetId("rates", "s3://lake/orders")},
        {"subject": AssetId("orders", "s3://lake/orders", kind="alias")},
        {"dags": ("load", "other")},
        {"tasks": ()},
    ],
)
def test_a_finding_of_another_asset_dag_or_task_is_another(more: dict[str, object]) -> None:
    assert fingerprint(a_finding(**more)) != fingerprint(a_finding())
    assert fingerprint(a_finding("cycle")) != fingerprint(a_finding())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 9, "findings": []}',
        '{"version": 1, "findings": [{}]}',
        "\udcff",
    ],
)
def test_what_is_no_baseline_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "base.json"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(BaselineUnreadable, match=r"base\.json"):
        without_known(a_report(), file)
    with pytest.raises(BaselineUnreadable, match="cannot be read"):
        without_known(a_report(), tmp_path)
    with pytest.raises(BaselineUnreadable, match="--write-baseline"):
        without_known(a_report(), tmp_path / "none.json")


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
