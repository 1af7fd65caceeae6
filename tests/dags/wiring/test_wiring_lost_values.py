"""Where a task's code is not followed to the end, its events may have a key: neither never nor always."""

from __future__ import annotations

from pathlib import Path

import pytest
from wiring_text import found

HEAD = """
import asyncio, contextlib, copy, functools, itertools, threading
from contextlib import contextmanager
from typing import cast
from airflow.providers.standard.operators import python as standard

ALIAS, QUIET = AssetAlias("any"), contextlib.suppress(OSError)

def days():
    return open("/days").read().split()

@contextmanager
def opened(outlet_events):
    yield outlet_events[A]

def each_event(outlet_events):
    yield outlet_events[A]

class Held:
    def __init__(self, events):
        self.events = events
    @property
    def event(self):
        return self.events[A]

HELD = Held(None)

def listens_by_key(name, asset):
    listens(name, PartitionedAssetTimetable(assets=asset))
"""
TASK = """
with DAG("load", schedule=None):
    @task(outlets=[A, B])
    def emit(ti=None, *, outlet_events):
        {body}
    emit()
"""


def rules(tmp_path: Path, text: str) -> list[tuple[str, str | None]]:
    return sorted((each.rule, each.asset) for each in found(tmp_path, HEAD + text))


LOST = [
    "for event in outlet_events.values(): event.add_partitions('k')",
    "asyncio.run(asyncio.to_thread(outlet_events[A].add_partitions, 'k'))",
    "threading.Thread(target=outlet_events[A].add_partitions, args=['k']).start()",
    "functools.reduce(lambda event, key: event.add_partitions(key), days(), outlet_events[A])",
    "functools.reduce(lambda _, key: outlet_events[A].add_partitions(key), days())",
    "functools.reduce(functools.partial(outlet_events[A].add_partitions), days())",
    "for each, key in zip((A,), days()): outlet_events[each].add_partitions(key)",
    "for key, each in zip(days(), (A,)): outlet_events[each].add_partitions(key)",
    "for event, key in zip([outlet_events[A]], days()): event.add_partitions(key)",
    "for _, (event, key) in enumerate(zip([outlet_events[A]], days())): event.add_partitions(key)",
    "list(map(lambda key: outlet_events[A].add_partitions(key), days()))",
    "for event in filter(None, [outlet_events[A]]): event.add_partitions('k')",
    "for event in itertools.chain([outlet_events[A]]): event.add_partitions('k')",
    "for event in [outlet_events[A]] * 1: event.add_partitions('k')",
    "for event in [outlet_events[A]] + days(): event.add_partitions('k')",
    "for event in ([outlet_events[A]] if days() else []): event.add_partitions('k')",
    "next(iter([outlet_events[A]])).add_partitions('k')",
    "cast(object, outlet_events[A]).add_partitions('k')",
    "dict(event=outlet_events[A])['event'].add_partitions('k')",
    "{**get_current_context()}['outlet_events'][A].add_partitions('k')",
    "get_current_context()[days()[0]][A].add_partitions('k')",
    "get_current_context().copy()['outlet_events'][A].add_partitions('k')",
    "with opened(outlet_events) as event: event.add_partitions('k')",
    "for event in each_event(outlet_events): event.add_partitions('k')",
    "Held(outlet_events).event.add_partitions('k')",
    "Held(outlet_events).made_elsewhere().add_partitions('k')",
    "setattr(HELD, 'event', outlet_events[A]); HELD.event.add_partitions('k')",
    "class Sink:\n            def put(self): outlet_events[A].add_partitions('k')\n        Sink().put()",
    "def inner(event=outlet_events[A]): event.add_partitions('k')\n        inner()",
    "def inner(**more): more['event'].add_partitions('k')\n        inner(event=outlet_events[A])",
    "first, *rest = 1, outlet_events[A]; rest[0].add_partitions('k')",
    "match outlet_events[A]:\n            case event: event.add_partitions('k')",
    "try: outlet_events[A].add_partitions('k')\n        except* ValueError: raise",
    "held = None\n        def inner():\n            nonlocal held; held = outlet_events[A]\n"
    "        inner(); held.add_partitions('k')",
    "some = []; some.append(A)\n        for each in some: outlet_events[each].add_partitions('k')",
    "some = {}; some[A] = 'k'\n        for each in some: outlet_events[each].add_partitions('k')",
    "some = set()\n        if days(): some.add(A)\n"
    "        for each in some: outlet_events[each].add_partitions('k')",
    "each = B\n        while days():\n            outlet_events[each].add_partitions('k'); each = A",
    "each = B\n        for _ in days():\n            outlet_events[each].add_partitions('k'); each = A",
]


@pytest.mark.parametrize("body", LOST)
def test_an_event_that_is_lost_from_sight_may_get_a_key(tmp_path: Path, body: str) -> None:
    """Though the other outlet is seen to get one."""
    seen = "outlet_events[B].add_partitions('k')\n        "
    text = TASK.format(body=seen + body) + "listens_by_key('of_a', A); listens_by_key('of_b', B)"
    assert rules(tmp_path, text) == []


@pytest.mark.parametrize(
    "body",
    [
        "outlet_events[A].extra = {'rows': 1}",
        "outlet_events[A].extra.update(rows=1)",
        "print(outlet_events[A].extra, outlet_events[A])",
        "sorted(days(), key=str.lower)",
        "for event in []: event.add_partitions('k')",
        "[event.add_partitions('k') for event in ()]",
        "for key in days():\n            event = outlet_events[A]; event.extra = {'day': key}",
    ],
)
def test_an_event_that_nothing_is_added_to_has_no_key(tmp_path: Path, body: str) -> None:
    text = TASK.format(body=body) + "listens_by_key('of_a', A); listens('of_b', [B])"
    assert rules(tmp_path, text) == [("plain-event-keyed-listener", "a")]


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("ti.get_template_context()['outlet_events'][A].add_partitions('k')", []),
        (
            "ti.get_template_context()['outlet_events'][A].extra = {}",
            [("plain-event-keyed-listener", "a")],
        ),
        (
            "print('add_partitions is not called')",
            [("plain-event-keyed-listener", "a")],
        ),
    ],
)
def test_what_the_code_names_and_is_not_seen_to_do_may_be_done(
    tmp_path: Path, code: str, rule: list[tuple[str, str]]
) -> None:
    text = TASK.format(body=code) + "listens_by_key('of_a', A); listens('of_b', [B])"
    assert rules(tmp_path, text) == rule


HARMLESS = [
    "for k, v in context.items(): print(k, v)",
    "for k in context: print(k)",
    "print({**context, 'x': 1})",
    "print(dict(context))",
    "c = copy.copy(context); print(c['ds'])",
    "c = context | {'x': 1}; print(c['ds'])",
    "held = {}; held['x'] = context",
    "print(context[days()[0]])",
    "global LAST; LAST = context",
]
ANY_WORDS = TASK.replace("ti=None, *, outlet_events", "**context")


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("body", HARMLESS)
def test_a_use_of_the_context_adds_no_key_where_no_code_names_add_partitions(
    tmp_path: Path, body: str, named: bool
) -> None:
    more = "\n        ti = days(); ti[0].add_partitions('k')" * named
    text = ANY_WORDS.format(body=body + more) + "listens_by_key('of_a', A); listens('of_b', [B])"
    assert rules(tmp_path, text) == [("plain-event-keyed-listener", "a")] * (not named)


@pytest.mark.parametrize("body", HARMLESS)
@pytest.mark.parametrize(
    ("more", "level"),
    [
        ("", "error"),
        ("context['outlet_events'][ALIAS].add(B)", "error"),
        ("Metadata", "warning"),
        ("days()[0]['outlet_events'].add(A)", "warning"),
    ],
)
def test_a_use_of_the_context_hides_no_alias_that_is_seen_to_become_something(
    tmp_path: Path, body: str, more: str, level: str
) -> None:
    text = ANY_WORDS.replace("[A, B]", "[ALIAS]").format(body=f"{body}\n        {more}")
    levels = [each.level for each in found(tmp_path, HEAD + text + "listens('of_a', [A])")]
    assert levels == [level]


def test_code_that_cannot_be_read_may_do_anything_with_a_context(tmp_path: Path) -> None:
    text = ANY_WORDS.format(body="days()[0](context)") + "listens_by_key('of_a', A)"
    assert rules(tmp_path, text + "; listens('of_b', [B])") == []


def test_a_function_that_a_task_is_given_has_words_too(tmp_path: Path) -> None:
    text = """
def give(context):
    for event in dict(context)["outlet_events"].for_all(): event.add_partitions("k")
with DAG("load", schedule=None):
    @task(outlets=[A])
    def emit(do, **context): do(context)
    emit(give)
"""
    assert rules(tmp_path, text + "listens_by_key('of_a', A)") == []


HELPER = """
def give(events=None):
    if events is not None: events[A].add_partitions("k")
def made(targets=None, outlet_events=None):
    for each in targets or (): outlet_events[ALIAS].add(each)
"""


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("give()", [("plain-event-keyed-listener", "a")]),
        ("give(); print(context['ds'])", []),
        ("give(); ti.get_template_context()", []),
    ],
)
def test_words_in_a_helper_count_where_a_context_came_into_the_code(
    tmp_path: Path, body: str, expected: list[tuple[str, str]]
) -> None:
    task = TASK.replace("*, outlet_events", "**context").format(body=body)
    listeners = "listens_by_key('of_a', A); listens('of_b', [B])"
    assert rules(tmp_path, HELPER + task + listeners) == expected


@pytest.mark.parametrize(
    ("body", "level"), [("made()", "error"), ("made(); print(context['ds'])", "warning")]
)
def test_an_alias_is_lost_in_a_helper_where_a_context_came_into_the_code(
    tmp_path: Path, body: str, level: str
) -> None:
    task = ANY_WORDS.replace("[A, B]", "[ALIAS]").format(body=body) + "listens('of_a', [A])"
    assert [each.level for each in found(tmp_path, HEAD + HELPER + task)] == [level]


@pytest.mark.parametrize(
    ("code", "level"),
    [
        ("ti.get_template_context()['outlet_events'][ALIAS].add(B)", "warning"),
        ("ti.get_template_context()['outlet_events'][ALIAS].extra = {}", "error"),
        ("add = [Metadata]; yield add.pop()(B, {}, ALIAS)", "warning"),
        ("yield days()", "error"),
        ("for each, key in zip(days(), [outlet_events[ALIAS]]): key.add(Asset(each))", "warning"),
        ("for each in []: outlet_events[ALIAS].add(each)", "error"),
    ],
)
def test_an_alias_may_become_what_the_code_is_not_seen_to_make_of_it(
    tmp_path: Path, code: str, level: str
) -> None:
    text = TASK.replace("[A, B]", "[ALIAS]").format(body=code) + "listens('of_a', [A])"
    assert [each.level for each in found(tmp_path, HEAD + text)] == [level]


@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("listed", ["s3://lake/day", "s3://lake/day/"])
def test_a_slash_at_the_end_of_what_an_alias_becomes_makes_no_other_asset(
    tmp_path: Path, listed: str, end: str
) -> None:
    body = f"outlet_events[ALIAS].add(Asset(f's3://lake/{{days()[0]}}{end}'))"
    text = (
        TASK.replace("[A, B]", "[ALIAS]").format(body=body) + f"listens('r', [Asset('{listed}')])"
    )
    assert [each.level for each in found(tmp_path, HEAD + text)] == ["warning"]


MANY = """
MANY = [Asset(f"n{n}", extra={"terminal": True}) for n in range(70)]
with DAG("load", schedule=None):
    @task(outlets=[*MANY, A])
    def emit(*, outlet_events):
        BODY
    emit()
for n in (49, 69):
    listens_by_key(f"by_key_{n}", MANY[n])
    listens(f"plain_{n}", [MANY[n]])
listens_by_key("of_a", A)
"""


@pytest.mark.parametrize(
    ("body", "certain"),
    [
        ("for each in MANY: outlet_events[each].add_partitions('k')", True),
        ("[outlet_events[each].add_partitions('k') for each in MANY]", True),
        ("for event in [outlet_events[each] for each in MANY]: event.add_partitions('k')", False),
        ("outlet_events[MANY[int(days()[0])]].add_partitions('k')", False),
    ],
)
def test_what_comes_after_the_fiftieth_turn_of_a_loop_may_get_a_key(
    tmp_path: Path, body: str, certain: bool
) -> None:
    findings = [
        each
        for each in rules(tmp_path, MANY.replace("BODY", body))
        if each[0] != "wrong-terminal-mark" and each[1] != "a"
    ]
    assert findings == [("keyed-event-plain-listener", "n49")] * certain


@pytest.mark.parametrize(
    ("signature", "code"),
    [
        ("self, context", "context['outlet_events'][self]"),
        ("context", "context['outlet_events'][a_day]"),
        ("self, outlet_events", "outlet_events[self]"),
    ],
)
def test_a_function_of_an_asset_is_given_the_context_by_name(
    tmp_path: Path, signature: str, code: str
) -> None:
    text = f"""
@asset(schedule=None)
def a_day({signature}):
    {code}.add_partitions("k")
"""
    assert rules(tmp_path, text + "listens_by_key('by_key', a_day)") == []
    assert rules(tmp_path, text + "listens('plain', [a_day])") == [
        ("keyed-event-plain-listener", "a_day")
    ]


@pytest.mark.parametrize("decorator", ["run_if", "skip_if"])
def test_a_hook_is_read_behind_one_that_may_skip_the_task(tmp_path: Path, decorator: str) -> None:
    text = f"""
def give(context):
    context["outlet_events"][A].add_partitions("k")
with DAG("load", schedule=None):
    task.{decorator}(lambda _: days())(task(days, outlets=[A], pre_execute=give))()
listens("plain", [A])
"""
    assert rules(tmp_path, text) == [("keyed-event-plain-listener", "a")]


def test_the_current_context_of_the_standard_provider_is_the_contexts(tmp_path: Path) -> None:
    body = "standard.get_current_context()['outlet_events'][A].add_partitions('k')"
    text = TASK.format(body=body) + "listens('of_a', [A]); listens('of_b', [B])"
    assert rules(tmp_path, text) == [("keyed-event-plain-listener", "a")]


PASSED_BY = [
    "for key in (1, 2):\n            if days(): continue\n            ADD",
    "for key in (1, 2):\n            if days(): break\n            ADD",
    "for key in (1, 2):\n            if days(): return\n            ADD",
    "for key in (1, 2):\n            if days(): return\n        ADD",
    "for key in days(): return\n        ADD",
    "for key in (1, 2):\n            if days(): break\n        else: ADD",
    "for key in (1, 2):\n            for other in (): pass\n            else:\n"
    "                if days(): break\n            ADD",
    "while True:\n            if days(): break\n            ADD",
    "while True:\n            if days(): break\n            elif ti: continue\n            ADD",
    "while days(): return\n        ADD",
    "try: days()\n        except OSError: return\n        ADD",
    "try: days()\n        except OSError: pass\n        else: ADD",
    "try:\n            days()\n            ADD\n        except OSError: print('no day')",
    "try:\n            if days(): return\n        finally: pass\n        ADD",
    "if days(): print('some')\n        else: return\n        ADD",
    "if days():\n            if ti: return\n        ADD",
    "if days():\n            with open('/day'):\n                if ti: return\n        ADD",
    "with open('/day'):\n            if ti: return\n            ADD",
    "match days():\n            case []: return\n        ADD",
    "for each in [each for each in (A,) if days()]: outlet_events[each].add_partitions('k')",
    "with contextlib.suppress(OSError):\n            days()\n            ADD",
    "quiet = contextlib.suppress(OSError)\n        with open('/day'), quiet as _: ADD",
    "with QUIET: ADD",
]
NOT_PASSED_BY = [
    "for key in (1, 2):\n            if days(): continue\n            print(key)\n        ADD",
    "for key in (1, 2):\n            if days(): break\n        ADD",
    "for key in (1, 2):\n            ADD\n            if days(): continue",
    "for key in (1, 2):\n            while days(): break\n            ADD",
    "while True:\n            if days(): break\n        ADD",
    "if days():\n            for key in days(): continue\n        ADD",
    "def inner():\n            if days(): return\n        inner(); ADD",
    "if days(): made = lambda: 1\n        ADD",
    "if days(): raise ValueError\n        ADD",
    "try:\n            if days(): return\n        finally: ADD",
    "try: days()\n        except OSError: print('no day')\n        ADD",
    "try: days()\n        except OSError: raise ValueError\n        else: ADD",
    "ADD\n        return",
    "with contextlib.suppress(OSError): days()\n        ADD",
    "with contextlib.nullcontext(): ADD",
]


@pytest.mark.parametrize("body", [*PASSED_BY, *NOT_PASSED_BY])
def test_a_key_is_certain_where_the_code_cannot_pass_it_by(tmp_path: Path, body: str) -> None:
    code = TASK.format(body=body.replace("ADD", "outlet_events[A].add_partitions('k')"))
    listeners = "listens('plain', [A]); listens_by_key('by_key', A); listens('of_b', [B])"
    certain = body in NOT_PASSED_BY
    expected = [("keyed-event-plain-listener", "a")] if certain else []
    assert rules(tmp_path, code + listeners) == expected


@pytest.mark.parametrize(
    ("code", "level"),
    [
        ("name = ''; name += 'a'", None),
        ("name = 'b'; name += 'a'", "error"),
        ("name = 'a'\n        for each in ('x', 'y'): name += each", "error"),
        ("name = ''; name += days()[0]", "warning"),
        ("name = 'b'; name += days()[0]", "error"),
        ("name = 1; name += 1", "warning"),
        ("name = 'b'; name *= 2", "warning"),
        ("name = 'b'\n        while days(): name += 'x'", "warning"),
        ("name = 'b'; del name", "warning"),
        ("name = 'b'\n        class name: pass", "warning"),
        ("name = 'b'\n        match days():\n            case name: pass", "warning"),
        ("name = 'b'\n        match days():\n            case [_, *name]: pass", "warning"),
        ("name = 'b'\n        match ti:\n            case {'x': 1, **name}: pass", "warning"),
        ("name = 'b'\n        try: days()\n        except OSError as name: pass", "warning"),
        ("name = 'b'; first, *name = days()", "warning"),
        ("name = 'a'; [1 for name in ('b',)]", None),
        ("name = 'b'; [1 for name in ('a',)]", "error"),
        ("*_, name = 'x', 'y', 'a'", None),
        ("class Row: pass\n        Row.name = name = 'a'", None),
    ],
)
def test_a_name_is_what_it_was_bound_to_last(tmp_path: Path, code: str, level: str | None) -> None:
    body = f"{code}\n        outlet_events[ALIAS].add(Asset(name))"
    text = TASK.replace("[A, B]", "[ALIAS]").format(body=body) + "listens('of_a', [A])"
    assert [each.level for each in found(tmp_path, HEAD + text)] == [level] * bool(level)


@pytest.mark.parametrize(
    ("body", "stray"),
    [
        ("outlet_events[A].extra = {}", True),
        ("outlet_events[A].extra['rows'] = 1", True),
        ("outlet_events[A].extra.update(rows=1)", True),
        ("outlet_events[A].extra |= {'rows': 1}", True),
        ("outlet_events[A].add_partitions('k')", True),
        ("event = outlet_events[A]; event.extra = {}", True),
        ("yield Metadata(A, {'rows': 1})", True),
        ("print(outlet_events[A])", False),
        ("rows = outlet_events[A].extra.get('rows'); print(rows)", False),
        ("if days(): outlet_events[A].extra = {}", False),
        ("if days(): yield Metadata(A, {'rows': 1})", False),
        ("if days(): return\n        outlet_events[A].add_partitions('k')", True),
        ("while days(): return\n        outlet_events[A].extra = {}", True),
        (
            "rows = days()\n        if not rows: return\n        yield Metadata(A, {'rows': 1})",
            True,
        ),
        ("try: outlet_events[A].extra = {}\n        except Exception: print('lost')", True),
        ("for each in days(): yield Metadata(A, {'row': each})", True),
        ("while days(): outlet_events[A].extra = {}", True),
        (
            "for _ in days():\n            if days(): break\n        outlet_events[A].extra = {}",
            True,
        ),
        ("days() and outlet_events[A].add_partitions('k')", False),
        ("outlet_events[A].add_partitions('k') and days()", True),
        ("outlet_events[A].add_partitions('k') if days() else None", False),
        ("match days():\n            case []: outlet_events[A].extra = {}", False),
        ("[outlet_events[each].add_partitions('k') for each in (A, B) if days()]", False),
        ("[outlet_events[each].extra.update(x=1) for each in (A, B)]", True),
        ("(outlet_events[A] if days() else outlet_events[B]).add_partitions('k')", False),
        (
            "def inner(name):\n            if name == 'b': return\n"
            "            outlet_events[A].extra = {}\n        inner('b')",
            False,
        ),
        (
            "def inner(rows):\n            if not rows: return\n"
            "            outlet_events[A].extra = {}\n        inner(days())",
            True,
        ),
        (
            "def inner(name):\n            if name == 'b': return\n"
            "        inner('b'); outlet_events[A].extra = {}",
            True,
        ),
        (
            "for each in (A, B):\n            if each != B: continue\n"
            "            outlet_events[each].extra = {}",
            False,
        ),
        (
            "for each in (A, B):\n            if each != B: continue\n"
            "        outlet_events[A].extra = {}",
            True,
        ),
        (
            "for each in (B, A):\n            if each == A: break\n"
            "            outlet_events[each].extra = {}",
            False,
        ),
        ("match B.name:\n            case 'b': return\n        outlet_events[A].extra = {}", True),
        (
            "kind = 'b'\n        match kind:\n            case 'b': return\n"
            "        outlet_events[A].extra = {}",
            False,
        ),
        ("for each in (A, B):\n            if ti: outlet_events[each].extra = {}", False),
        ("for each in days(): outlet_events[A].extra = {}", True),
    ],
)
def test_an_event_is_stray_where_the_code_writes_it_under_no_condition(
    tmp_path: Path, body: str, stray: bool
) -> None:
    text = TASK.replace("[A, B]", "[B]").format(body=body) + "listens('of_b', [B])"
    assert rules(tmp_path, text) == [("stray-event", "a")] * stray
