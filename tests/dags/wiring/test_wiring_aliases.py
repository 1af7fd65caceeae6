"""Assets that a task's code makes of an alias are judged as its outlets are."""

from __future__ import annotations

from pathlib import Path

import pytest
from wiring_text import found

from feira_wiring.linting import lint
from feira_wiring.report import Finding

ADDS = """
AL = AssetAlias("al")
def adds(name, schedule, target=None, when=None):
    with DAG(name, schedule=schedule):
        @task(outlets=[AL])
        def emit(*, outlet_events):
            {code}
        emit()
"""


def text(rest: str, code: str = 'outlet_events[AL].add(Asset("a"))') -> str:
    return ADDS.format(code=code) + rest


def said(findings: list[Finding]) -> list[tuple[str, str, str | None]]:
    return sorted((each.rule, each.level, each.asset) for each in findings)


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ('adds("p", clock("0 0 * * *"))\nlistens("l", [A])', ("keyed-event-plain-listener", "error", "a")),
        (
            'adds("p", None)\nlistens("l", PartitionedAssetTimetable(assets=A))',
            ("plain-event-keyed-listener", "error", "a"),
        ),
        ('adds("p", PartitionedAtRuntime())\nlistens("l", [A])', ("runtime-key", "warning", "a")),
        ('adds("p", [A])', ("cycle", "error", "a")),
        (
            'adds("p", clock("0 0 * * *", "%d.%m.%Y"))\nlistens("l", PartitionedAssetTimetable('
            'assets=A, default_partition_mapper=StartOfDayMapper(input_format="%Y-%m-%d")))',
            ("unreadable-key", "error", "a"),
        ),
        ('adds("p", None)\nemits("q", A)\nlistens("l", [A])', ("two-emitters", "warning", "a")),
    ],
)  # fmt: skip
def test_a_rule_looks_through_an_alias(
    tmp_path: Path, rest: str, expected: tuple[str, str, str]
) -> None:
    assert said(found(tmp_path, text(rest))) == [expected]


@pytest.mark.parametrize(
    ("code", "level"),
    [
        ('outlet_events[AL].add(Asset("a"))', "error"),
        ('for each in ("a", "b"): outlet_events[AL].add(Asset(each))', "error"),
        ('outlet_events[AL].add(Asset.ref(name="a"))', "error"),
        ('yield Metadata(Asset("a"), alias=AL)', "error"),
        ('outlet_events[AL].add(Asset("a")) if when else None', "warning"),
        ('if when: outlet_events[AL].add(Asset("a"))', "warning"),
        ('outlet_events[AL].add(A if when else B)', "warning"),
    ],
)  # fmt: skip
def test_a_cycle_by_an_alias_is_certain_where_the_code_always_adds_the_asset(
    tmp_path: Path, code: str, level: str
) -> None:
    (tmp_path / "dags.py").write_text("")
    found_there = found(tmp_path, text('adds("p", [A])', code))
    assert [each.level for each in found_there if each.rule == "cycle"] == [level]


def test_an_asset_of_an_alias_is_declared_with_its_marks(tmp_path: Path) -> None:
    rest = 'adds("p", None)\nemits("q", A)\nlistens("l", [A])'
    marked = 'outlet_events[AL].add(Asset("a", extra={"lint_ignore": ["two-emitters"]}))'
    for name, code, expected in (("plain", text(rest), 1), ("marked", text(rest, marked), 0)):
        (tmp_path / name).mkdir()
        assert said(found(tmp_path / name, code)) == [("two-emitters", "warning", "a")] * expected


def test_an_asset_of_an_alias_excludes_another_of_its_uri(tmp_path: Path) -> None:
    code = 'outlet_events[AL].add(Asset("x", "s3://b/a"))'
    shares = text('adds("p", None)\nlistens("l", [Asset("y", "s3://b/a")])', code)
    findings = found(tmp_path, shares)
    assert said(findings) == [("asset-conflict", "error", "x"), ("no-emitter", "error", "y")]
    (no_emitter,) = (each for each in findings if each.rule == "no-emitter")
    assert no_emitter.step.startswith("What is emitted is x (s3://b/a)")


def test_nobody_needs_to_listen_to_an_asset_of_an_alias(tmp_path: Path) -> None:
    assert said(found(tmp_path, text('adds("p", None)\nlistens("l", [AL])'))) == []
    assert said(found(tmp_path, text('adds("p", None)'))) == []
    both = text('adds("p", None)\nemits("q", A)')
    assert said(found(tmp_path, both)) == [("no-listener", "warning", "a")]


def test_an_asset_that_is_an_outlet_too_has_one_emitter(tmp_path: Path) -> None:
    code = 'outlet_events[AL].add(Asset("a"))'
    both = text('adds("p", None)\nlistens("l", [A])', code).replace("[AL])\n", "[AL, A])\n")
    (tmp_path / "dags.py").write_text("")
    assert said(found(tmp_path, both)) == []
    wiring = lint(tmp_path).wiring
    assert wiring is not None and [str(each.asset) for each in wiring.emitters] == ["alias al", "a"]


def test_of_two_aliases_that_become_an_asset_one_that_always_does_makes_it_certain(
    tmp_path: Path,
) -> None:
    rest = """
with DAG("p", schedule=[A]):
    @task(outlets=[AssetAlias("al"), AssetAlias("z")])
    def emit(n, *, outlet_events):
        outlet_events[AssetAlias("al")].add(Asset("a"))
        if n:
            outlet_events[AssetAlias("z")].add(Asset("a"))
    emit(0)
"""
    found_there = found(tmp_path, rest)
    assert [each.level for each in found_there if each.rule == "cycle"] == ["error"]


@pytest.mark.parametrize("ref", ["Asset.ref(name='new')", "Asset.ref(uri='s3://b/new')"])
def test_a_reference_may_be_to_an_asset_that_only_an_alias_becomes(
    tmp_path: Path, ref: str
) -> None:
    code = 'outlet_events[AL].add(Asset("new", "s3://b/new"))'
    assert said(found(tmp_path, text(f'listens("l", [{ref}])\nadds("p", None)', code))) == []
    cycle = found(tmp_path, text(f'adds("p", [{ref}])', code))
    assert said(cycle) == [("cycle", "error", "new")]
    # Whichever DAG is read first.
    for ids in (("a", "b"), ("b", "a")):
        both = 'emits("{}", {ref})\nadds("{}", None)\nlistens("l", [{ref}])'.format(*ids, ref=ref)
        assert said(found(tmp_path, text(both, code))) == [("two-emitters", "warning", "new")]
    other = text('adds("p", None)\nlistens("l", [Asset.ref(name="newer")])', code)
    assert said(found(tmp_path, other)) == [("no-emitter", "error", "ref newer")]
