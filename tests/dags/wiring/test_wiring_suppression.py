"""Findings that are not to be reported: comments, marks, patterns, and baselines."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from wiring_reports import ORDERS, RATES, a_finding, a_report

from feira_wiring.linting import lint
from feira_wiring.model import Asset, AssetId, Place
from feira_wiring.rendering import as_text
from feira_wiring.report import NoSuchRule, Suppressed
from feira_wiring.suppression import (
    BaselineUnreadable,
    Pattern,
    as_baseline,
    fingerprint,
    suppress,
    without_known,
)

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
        ({"on": "  # noqa: E501  # feira-lint: ignore[no-listener]"}, True),
        ({"on": "  # type: ignore[x] # feira-lint: ignore[no-listener]  # noqa"}, True),
        ({"on": "  # feira-lint: ignore[cycle] # feira-lint: ignore[no-listener]"}, True),
        ({"above": "# pylint: skip  # feira-lint: ignore[no-listener]"}, True),
        ({"on": "  # noqa: feira-lint: ignore[no-listener]"}, False),
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


@pytest.mark.parametrize(
    ("parts", "by", "in_source"),
    [
        ({"on": "  # feira-lint: ignore[no-listener]"}, "comment at {}/dags.py:5", True),
        ({"mark": ", extra={'lint_ignore': 'no-listener'}"}, "lint_ignore of orders", False),
        ({}, "pattern s3://*", False),
        # The nearest says so first: the comment, then the mark.
        ({"mark": ", extra={'lint_ignore': 'no-listener'}", "on": "  # feira-lint: ignore[no-listener]"},
         "comment at {}/dags.py:5", True),
    ],
)  # fmt: skip
def test_what_suppresses_a_finding_is_named(
    tmp_path: Path, parts: dict[str, str], by: str, in_source: bool
) -> None:
    (tmp_path / "dags.py").write_text(
        EMITS.format(**({"above": "pass", "mark": "", "on": ""} | parts))
    )
    (one,) = lint(tmp_path, patterns=[Pattern("s3://*", ("no-listener",))]).suppressed
    assert (one.by, one.in_source) == (by.format(tmp_path), in_source)


COMMENTED = """x = 1
# feira-lint: ignore[a]
x = 2  # feira-lint: ignore[ b ,c]
    # feira-lint: ignore[d]
x = 3 # feira-lint:ignore[e] because
x = 4
# ignore[f]
x = 5 # noqa  feira-lint: ignore[g]
x = (  # feira-lint: ignore[h]
    "\ud7ff", 7
)
"""


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        (1, ""), (2, "a"), (3, "abc"), (4, "d"), (5, "de"), (6, ""), (8, ""), (9, "h"), (10, ""), (99, ""), (None, ""),
    ],
)  # fmt: skip
def test_a_comment_is_about_its_line_and_alone_about_the_next(
    tmp_path: Path, line: int | None, rules: str
) -> None:
    """In any of the places that a finding names."""
    file = tmp_path / "dags.py"
    file.write_text(COMMENTED)
    places = (Place(str(tmp_path / "none.py"), 2), Place(str(file), line))
    findings = [a_finding(rule, places=places) for rule in "abcdefgh"]
    kept, suppressed = suppress(findings, {})
    assert "".join(each.finding.rule for each in suppressed) == rules
    assert [each.by for each in suppressed] == [f"comment at {file}:{line}"] * len(rules)
    assert [each.rule for each in kept] == [each for each in "abcdefgh" if each not in rules]


@pytest.mark.parametrize(
    "text",
    [
        b"x = (  # feira-lint: ignore[a]\n",  # ends too early
        b"x = 1  # feira-lint: ignore[a]\n    y = 2\n  z = 3\n",  # indented wrongly
        b"x = 1  # feira-lint: ignore[a]\nx = '\xff'\n",  # no UTF-8
    ],
)
def test_a_comment_counts_in_a_file_that_is_no_python_after_it(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "dags.py"
    file.write_bytes(text)
    assert suppress([a_finding("a", places=(Place(str(file), 1),))], {})[0] == ()


@pytest.mark.parametrize(
    ("match", "asset", "covered"),
    [
        ("ord*", ORDERS, True),
        ("ORD*", ORDERS, False),
        ("s3://lake/order[rs]", ORDERS, True),
        ("lake", ORDERS, False),
        ("any", AssetId("any", kind="alias"), True),
        ("s3://x", AssetId("", "s3://x", kind="ref"), True),
        ("", AssetId("any", kind="alias"), False),
    ],
)
def test_a_pattern_is_a_glob_for_the_whole_name_or_uri(
    match: str, asset: AssetId, covered: bool
) -> None:
    assert Pattern(match, ("a",)).covers(asset) is covered
    kept, _ = suppress([a_finding("a", subject=asset, places=())], {}, [Pattern(match, ("a",))])
    assert kept == () if covered else len(kept) == 1


def test_a_mark_or_a_pattern_is_about_its_rules_and_no_finding_without_an_asset() -> None:
    marked = {ORDERS: Asset(ORDERS, ignored=frozenset({"a"}))}
    patterns = [Pattern("*", ("b",)), Pattern("other", ("c",)), Pattern("orders", ("c",))]
    findings = [a_finding(rule, places=()) for rule in "abcd"]
    bare = [a_finding(rule, places=(), subject=None) for rule in "abcd"]
    kept, suppressed = suppress([*findings, *bare], marked, patterns)
    assert kept == (findings[3], *bare)
    assert [each.by for each in suppressed] == [
        "lint_ignore of orders",
        "pattern *",
        "pattern orders",
    ]
    assert suppress(findings, {RATES: marked[ORDERS]}) == (tuple(findings), ())


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


@pytest.mark.parametrize(
    ("cause", "elsewhere", "other"),
    [
        ("No such file: '/home/one/lake/a.csv'", "No such file: '/srv/x y/a.csv'", "No such file: '/b.csv'"),
        ("Timeout for /a/dags.py, PID: 17", "Timeout for /tmp/b/dags.py, PID: 9", "Timeout for /a/dogs.py"),
        ("<Lake object at 0x7f12ab> is shut", "<Lake object at 0x55> is shut", "<Lake object> is open"),
        ('cannot open "C:\\one\\a.ini"', 'cannot open "D:\\x\\a.ini"', 'cannot open "C:\\one\\b.ini"'),
        ("read s3://lake/a", "read s3://lake/a", "read s3://lake/b"),
    ],
)  # fmt: skip
def test_a_file_is_known_by_its_cause_on_every_machine(
    cause: str, elsewhere: str, other: str
) -> None:
    bare: dict[str, object] = {"asset": None, "dags": (), "tasks": (), "subject": None}
    one, same, another = (
        fingerprint(a_finding("import-error", problem=each, **bare))
        for each in (cause, elsewhere, other)
    )
    assert (one == same, one == another) == (True, False)


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


def test_a_baseline_is_written_the_same_by_every_version() -> None:
    """A file that is there already must go on to cover what it covers; and its lines keep their order."""
    about_no_asset = a_finding("cycle", asset=None, subject=None)
    text = as_baseline(a_report(a_finding(), a_finding(dags=("other",)), about_no_asset))
    assert (
        text
        == """{
  "version": 1,
  "findings": [
    {"fingerprint": "31e77752f0dc2e9efcc8406c137b85a4", "rule": "cycle", "asset": null, "dags": ["load"]},
    {"fingerprint": "6a6d0dd4639cbca79ffa74ff1c12f8fa", "rule": "no-listener", "asset": "orders", "dags": ["other"]},
    {"fingerprint": "a9759711bcfe05011ebbfde53260534b", "rule": "no-listener", "asset": "orders", "dags": ["load"]}
  ]
}
"""
    )
    of_a_file = a_finding(asset=None, subject=None, dags=(), tasks=())
    assert [fingerprint(a_finding(unstable=True)), fingerprint(of_a_file)] == [
        "420ac4aa82e1aec83f73cdf078dde3e6",
        "2fe9a29611c3cc542c24d92158b36281",
    ]
    assert fingerprint(a_finding(dags=("b", "a"))) == fingerprint(a_finding(dags=("a", "b")))
    assert fingerprint(a_finding(tasks=("b", "a"))) == fingerprint(a_finding(tasks=("a", "b")))


def test_the_lines_of_a_baseline_are_in_the_order_of_rule_asset_and_fingerprint() -> None:
    pairs = [("b", "z"), ("b", "y"), ("a", "z"), ("b", "y")]
    findings = [
        a_finding(rule, asset=asset, dags=(str(n),)) for n, (rule, asset) in enumerate(pairs)
    ]
    written = json.loads(as_baseline(a_report(*findings)))["findings"]
    assert [(each["rule"], each["asset"]) for each in written] == sorted(pairs)
    first, second = (each["fingerprint"] for each in written[1:3])
    assert first < second
    assert as_baseline(a_report(*findings)) == as_baseline(a_report(*reversed(findings)))


def test_what_is_gone_is_named_by_its_asset_its_dags_or_as_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "base.json"
    entries = [
        {"fingerprint": "1", "rule": "a", "asset": "x", "dags": ["d"]},
        {"fingerprint": "2", "rule": "b", "asset": None, "dags": ["d", "e"]},
        {"fingerprint": "3", "rule": "c", "asset": None, "dags": []},
        {"fingerprint": "4"},
        {"fingerprint": "1", "rule": "a", "asset": "x", "dags": ["d"]},
    ]
    file.write_text(json.dumps({"version": 1, "findings": entries}))
    before = Suppressed(a_finding("z"), "comment", in_source=True)
    report = without_known(replace(a_report(), suppressed=(before,)), file)
    assert report.stale == ("a of x", "b of d, e", "c of a file", "a finding of a file", "a of x")
    file.write_text(as_baseline(a_report(a_finding())))
    report = without_known(replace(a_report(a_finding()), suppressed=(before,)), file)
    assert report.suppressed == (before, Suppressed(a_finding(), f"baseline {file}"))
