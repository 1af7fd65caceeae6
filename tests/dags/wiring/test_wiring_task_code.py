"""What a task's code does to the events of each outlet, followed without running it."""

from __future__ import annotations

from pathlib import Path

import pytest

from feira_wiring.linting import lint
from feira_wiring.task_code.functions import mentions_events, parameters

HEAD = """
from dataclasses import dataclass
from functools import lru_cache, partial, partialmethod, wraps
from operator import methodcaller
from typing import NamedTuple
from airflow.sdk import DAG, Asset, AssetAlias, BaseOperator, Metadata, PartitionedAssetTimetable
from airflow.sdk import get_current_context, task, task_group

A, B = Asset("a"), Asset("b")

def keyed(name, asset):
    with DAG(name, schedule=PartitionedAssetTimetable(assets=asset)):
        task(task_id="build")(lambda: None)()

def plain(name, asset):
    with DAG(name, schedule=[asset]):
        task(task_id="build")(lambda: None)()

class Books:
    def __init__(self, event=None):
        self.event = event
    def give(self, event, keys):
        event.add_partitions(keys)
    def give_own(self, keys):
        self.event.add_partitions(keys)
    @staticmethod
    def put(event):
        event.add_partitions("k")
    @classmethod
    def of(cls, event):
        cls().give(event, "k")
    def __call__(self, event):
        self.give(event, "k")

def give(event, keys):
    event.add_partitions(keys)

class Partly:
    partly = partial(give, keys="k")
    method = partialmethod(lambda self, keys, event: give(event, keys), "k")

give_k = partial(give, keys=["k"])
ask_k = partial(lambda keys, event: event.add_partitions(keys), "k")
BY_NAME, TWO = {"x": A}, {"x": A, "y": B}

def log(function):
    @wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)
    return inner

logged = log(give)
cached = lru_cache(give_k.func.__class__(give_k.func.__code__, globals(), "give", (["k"],)))
namespace = {}
exec("def made_at_run_time(event): print(event)", namespace)
made_at_run_time = namespace["made_at_run_time"]

BOOKS = Books()
BOOKS.give_by, MANY, PARTLY = give, list(range(50)), Partly()
bound_give, bound_of, add_k = BOOKS.give, Books.of, methodcaller("add_partitions", "k")

class Holder:
    size, call = len, BOOKS

give_lambda = lambda event: event.add_partitions("k")
two_lambdas = (lambda event: event.add_partitions("k"), lambda event: None)

def give_default(outlet_events, first=B, asset=A, *, keys="k"):
    outlet_events[asset].add_partitions(keys)

def pick(events):
    return events[A]

class Row(NamedTuple):
    event: object

class Ledger(Books):
    def __init__(self, event):
        super().__init__(event)
    @classmethod
    def over(cls, event):
        return cls(event)

@dataclass
class Record:
    event: object
    more: int = 0

class Pair(NamedTuple):
    event: object
    more: int = 0

class Noted:
    event: object
    def __init__(self, other, event):
        self.event = event

class Ring:
    def __init__(self, event):
        self.me, self.event = self, event

def takes(outlet_events, *, keys="k"):
    outlet_events.add_partitions(keys)
"""
TASK = """
with DAG("load", schedule=None):
    @task(outlets=[A, B])
    def emit(*, outlet_events):
        {body}
    emit()
"""


def found(tmp_path: Path, text: str) -> list[tuple[str, str | None]]:
    (tmp_path / "dags.py").write_text(HEAD + text)
    return sorted((each.rule, each.asset) for each in lint(tmp_path).findings)


CERTAIN = [
    "outlet_events[A].add_partitions(['k'])",
    "give(outlet_events[A], ['k'])",
    "give_k(outlet_events[A])",
    "Books().give(outlet_events[A], ['k'])",
    "Books(outlet_events[A]).give_own(['k'])",
    "event = outlet_events[A]; event.add_partitions('k')",
    "getattr(outlet_events[A], 'add_partitions')('k')",
    "get_current_context()['outlet_events'][A].add_partitions('k')",
    "outlet_events[Asset('a')].add_partitions('k')",
    "[outlet_events[each].add_partitions('k') for each in (A,)]",
    "add = outlet_events[A].add_partitions; add('k')",
    "(lambda event: event.add_partitions('k'))(outlet_events[A])",
    "outlet_events.for_asset(name='a', uri='a').add_partitions('k')",
    "outlet_events.for_asset(name='a').add_partitions('k')",
    "outlet_events[Asset(A.name)].add_partitions('k')",
    "outlet_events.get(A).add_partitions('k')",
    "outlet_events.get(A, None).add_partitions('k')",
    "get_current_context().get('outlet_events', None)[A].add_partitions('k')",
    "outlet_events[TWO.get('x', B)].add_partitions('k')",
    "outlet_events[TWO['x']].add_partitions('k')",
    "outlet_events[TWO[list(TWO)[0]]].add_partitions('k')",
    "partial(give)(outlet_events[A], ['k'])",
    "partial(give, outlet_events[A])(['k'])",
    "partial(give, keys=['k'])(event=outlet_events[A])",
    "logged(outlet_events[A], ['k'])",
    "made_at_run_time(outlet_events[A]); outlet_events[A].add_partitions('k')",
    "[outlet_events[each].add_partitions('k') for _, each in BY_NAME.items()]",
    "[outlet_events[each].add_partitions('k') for each in BY_NAME.values()]",
    "outlet_events[BY_NAME['x']].add_partitions('k')",
    "outlet_events[BY_NAME.get('x')].add_partitions('k')",
    "outlet_events[(B, A)[1]].add_partitions('k')",
    "first, second = B, A; outlet_events[second].add_partitions('k')",
    "for n, each in enumerate([A]): outlet_events[each].add_partitions(n)",
    "for n, each in zip([1], [A]): outlet_events[each].add_partitions(n)",
    "list(map(give_k, [outlet_events[A]]))",
    *(
        f"for each in {name}([A]): outlet_events[each].add_partitions('k')"
        for name in ("list", "tuple", "set", "frozenset", "reversed", "iter")
    ),
    "for each in sorted([A], key=str): outlet_events[each].add_partitions('k')",
    "methodcaller('add_partitions', 'k')(outlet_events[A])",
    "(event := outlet_events[A]).add_partitions('k')",
    "print(event := outlet_events[A]); event.add_partitions('k')",
    "try:\n            1 / 1\n        finally:\n            outlet_events[A].add_partitions('k')",
    "with open('/dev/null'):\n            outlet_events[A].add_partitions('k')",
    "def inner(): outlet_events[A].add_partitions('k')\n        inner()",
    "while True:\n            outlet_events[A].add_partitions('k')\n            break",
    "Books.of(outlet_events[A])",
    "Books.put(outlet_events[A])",
    "Ledger(outlet_events[A]).give_own(['k'])",
    "Ledger.over(outlet_events[A]).give_own(['k'])",
    "Record(outlet_events[A]).event.add_partitions('k')",
    "BOOKS.give(outlet_events[A], ['k'])",
    "BOOKS(outlet_events[A])",
    "import functools; functools.partial(give, outlet_events[A])('k')",
    "cached(outlet_events[A])",
    # statements
    "event: object = outlet_events[A]; event.add_partitions('k')",
    "text = ''; text += str(outlet_events[A].add_partitions('k'))",
    "return outlet_events[A].add_partitions('k')",
    "pick(outlet_events).add_partitions('k')",
    "if outlet_events[A].add_partitions('k'): pass",
    "if 1: pass\n        elif outlet_events: pass\n        outlet_events[A].add_partitions('k')",
    "def inner():\n            if A is B: return\n        inner(); outlet_events[A].add_partitions('k')",
    "for each in (): pass\n        else: outlet_events[A].add_partitions('k')",
    "for each in [outlet_events[A].add_partitions('k')]: pass",
    "while 1 > 2: pass\n        else: outlet_events[A].add_partitions('k')",
    "while outlet_events[A].add_partitions('k'): pass",
    "with outlet_events[A] as event: event.add_partitions('k')",
    "with open(str(outlet_events[A].add_partitions('k'))): pass",
    "try:\n            outlet_events[A].add_partitions('k')\n        except ValueError: raise",
    "try: pass\n        except ValueError: raise\n        else: outlet_events[A].add_partitions('k')",
    "match outlet_events[A].add_partitions('k'):\n            case 1: pass",
    "from functools import partial as part; part(give, outlet_events[A])('k')",
    "import functools as tools; tools.partial(give, outlet_events[A])('k')",
    "[first, second] = B, A; outlet_events[second].add_partitions('k')",
    "(first, (second, third)) = B, (B, A); outlet_events[third].add_partitions('k')",
    "books = Books(); books.event = outlet_events[A]; books.give_own(['k'])",
    "outlet_events[A].extra = outlet_events; outlet_events[A].add_partitions('k')",
    "if A is B: asset = A\n        else: asset = A\n        outlet_events[asset].add_partitions('k')",
    # expressions
    "[*[outlet_events[A]]][0].add_partitions('k')",
    "{'x': outlet_events[A]}['x'].add_partitions('k')",
    "1 if outlet_events[A].add_partitions('k') else 2",
    "outlet_events[A].add_partitions('k') or 1",
    "yield from [outlet_events[A].add_partitions('k')]",
    "yield; yield outlet_events[A].add_partitions('k')",
    "[outlet_events[x].add_partitions('k') for y in (1, 2) for x in (A,)]",
    "list(outlet_events[x].add_partitions('k') for x in (A,))",
    "{outlet_events[x].add_partitions('k') for x in (A,)}",
    "{1: outlet_events[x].add_partitions('k') for x in (A,)}",
    "[1 for x in (B,) if x]; outlet_events[A].add_partitions('k')",
    "f'{outlet_events[A].add_partitions(1)}'",
    "'%s' % outlet_events[A].add_partitions('k')",
    "outlet_events[A].add_partitions('k') % 1",
    "'' + outlet_events[A].add_partitions('k')",
    "for event in [outlet_events[A]] + []: event.add_partitions('k')",
    "outlet_events[A].add_partitions('k') is None",
    "not outlet_events[A].add_partitions('k')",
    "give(*[outlet_events[A], ['k']])",
    "(B, A)[outlet_events[A].add_partitions('k')]",
    "for x in MANY:\n            for y in MANY: print(y)\n        outlet_events[A].add_partitions('k')",
    "copy = [outlet_events[A]].copy; copy()[0].add_partitions('k')",
    "print(outlet_events.keys()); outlet_events[A].add_partitions('k')",
    # calls
    "import functools; part = functools.partial; part(give, outlet_events[A])('k')",
    "add = BOOKS.give; add(outlet_events[A], ['k'])",
    "BOOKS.give_by(outlet_events[A], ['k'])",
    "import json; json.dumps(outlet_events); outlet_events[A].add_partitions('k')",
    "get_current_context().get('outlet_events')[A].add_partitions('k')",
    "get_current_context().pop('outlet_events')[A].add_partitions('k')",
    "[outlet_events[A]].copy()[0].add_partitions('k')",
    "for event in {1: outlet_events[A]}.values(): event.add_partitions('k')",
    "Books(give).event(outlet_events[A], ['k'])",
    "Books()(outlet_events[A])",
    "Books().put(outlet_events[A])",
    "Books().of(outlet_events[A])",
    "Books.give(Books(), outlet_events[A], 'k')",
    "bound_give(outlet_events[A], ['k'])",
    "ask_k(outlet_events[A])",
    "bound_of(outlet_events[A])",
    "add_k(outlet_events[A])",
    "give_lambda(outlet_events[A])",
    "give_default(outlet_events)",
    "give_default(outlet_events, B)",
    "give_default(asset=A, outlet_events=outlet_events)",
    "[outlet_events[BY_NAME[x]].add_partitions('k') for x in BY_NAME.keys()]",
    "outlet_events[BY_NAME.get(str(1))].add_partitions('k')",
    "Record(event=outlet_events[A]).event.add_partitions('k')",
    "Row(outlet_events[A]).event.add_partitions('k')",
    "Row(event=outlet_events[A]).event.add_partitions('k')",
    "Pair(outlet_events[A]).event.add_partitions('k')",
    "Noted(1, outlet_events[A]).event.add_partitions('k')",
    "takes(outlet_events[A])",
    "put = give if A is B else give; put(outlet_events[A], 'k')",
    "Holder().size(outlet_events[B]); outlet_events[A].add_partitions('k')",
    "(lambda outlet_events: outlet_events.add_partitions('k'))(outlet_events[A])",
    "getattr(A, *made_at_run_time(1)); outlet_events[A].add_partitions('k')",
    "for n, each in zip([1, 2], [A]): outlet_events[each].add_partitions(n)",
    "list(map(give, [outlet_events[A]], ['k', 'l']))",
    "methodcaller('give', outlet_events[A], 'k')(BOOKS)",
    "for _ in MANY: give(outlet_events[A], ['k'])",
    "[outlet_events[A].add_partitions('k')][0] = 1",
    "event = outlet_events[A] if A is B else outlet_events[A]; event.add_partitions('k')",
    "try: print(outlet_events['x'])\n        except KeyError: pass\n        outlet_events[A].add_partitions('k')",
    "try: print(Asset(''))\n        except ValueError: pass\n        outlet_events[A].add_partitions('k')",
    "try: print(BY_NAME['y'])\n        except KeyError: pass\n        outlet_events[A].add_partitions('k')",
    "def inner(event, /, *, keys='k'): event.add_partitions(keys)\n        inner(outlet_events[A])",
    "def inner(one, *more): more[0].add_partitions('k')\n        inner(1, outlet_events[A])",
    "def inner(**more): more['outlet_events'][A].add_partitions('k')\n        inner(outlet_events=outlet_events)",
    "def outer(e):\n            return lambda: e.add_partitions('k')\n        outer(outlet_events[A])()",
]


@pytest.mark.parametrize("body", CERTAIN)
def test_a_key_is_given_to_the_one_outlet_that_the_code_names(tmp_path: Path, body: str) -> None:
    listeners = "keyed('k_a', A)\nplain('p_a', A)\nkeyed('k_b', B)\nplain('p_b', B)"
    assert found(tmp_path, TASK.format(body=body) + listeners) == [
        ("keyed-event-plain-listener", "a"),
        ("plain-event-keyed-listener", "b"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        "for each in self.outlets: context['outlet_events'][each].add_partitions('k')",
        "for each in context['task'].outlets: context['outlet_events'][each].add_partitions('k')",
        "for each in self.given: context['outlet_events'][each].add_partitions('k')",
        "for each in self.of_class: context['outlet_events'][each].add_partitions('k')",
        "for each in (A, B): self.give(context['outlet_events'][each])",
        "for each in (A, B): super().execute(context, each)",
        "def inner(me, each): super().execute(context, each)\n        for each in (A, B): inner(self, each)",
        "for each in (A, B): context.get('outlet_events').get(each).add_partitions('k')",
        "for each in (A, B): give(event=context['outlet_events'][each], keys='k')",
        "self.over(**context)",
        "self.over(context['outlet_events'])",
    ],
)
def test_keys_that_an_operator_of_ones_own_gives_are_seen(tmp_path: Path, body: str) -> None:
    text = f"""
class Base(BaseOperator):
    def execute(self, context, each):
        context["outlet_events"][each].add_partitions("k")

class Publish(Base):
    of_class = (A, B)
    def __init__(self, **more):
        super().__init__(**more)
        self.given = [A, B]
    def give(self, event):
        event.add_partitions("k")
    def over(self, outlet_events, **more):
        for each in (A, B):
            outlet_events[each].add_partitions("k")
    def execute(self, context):
        {body}

with DAG("load", schedule=None):
    Publish(task_id="p", outlets=[A, B])
"""
    assert found(tmp_path, text + "keyed('of_a', A)\nkeyed('of_b', B)") == []
    assert len(found(tmp_path, text + "plain('of_a', A)\nplain('of_b', B)")) == 2


def test_of_the_context_the_task_alone_is_known(tmp_path: Path) -> None:
    body = "for each in context['dag'].outlets: context['outlet_events'][each].add_partitions('k')"
    text = f"""
class Publish(BaseOperator):
    def execute(self, context):
        {body}

with DAG("load", schedule=None):
    Publish(task_id="p", outlets=[A, B])
"""
    assert found(tmp_path, text + "plain('of_a', A)\nplain('of_b', B)") == []


@pytest.mark.parametrize(
    "made",
    [
        "PythonOperator(task_id='t', python_callable=put, op_args=[A, 'k'], outlets=[A, B])",
        "PythonOperator(task_id='t', python_callable=put, op_args=(A, 'k'), outlets=[A, B])",
        "PythonOperator(task_id='t', python_callable=put, op_kwargs={'asset': A}, outlets=[A, B])",
        "PythonOperator.partial(task_id='t', python_callable=put, op_kwargs={'asset': A}, outlets=[A, B])"
        ".expand(op_args=[[], []])",
        "PythonOperator.partial(task_id='t', python_callable=put, op_args=[A], outlets=[A, B])"
        ".expand(op_kwargs=[{'keys': 'k'}, {'keys': 'l'}])",
        "Given.partial(task_id='t', outlets=[A, B]).expand(keys=['k', 'l'])",
    ],
)
def test_what_a_task_is_given_is_what_its_code_has(tmp_path: Path, made: str) -> None:
    """The first outlet gets a key, the other none; the instances of a mapped task have what it has."""
    text = f"""
from airflow.providers.standard.operators.python import PythonOperator

def put(asset=B, keys="k", *, outlet_events):
    outlet_events[asset].add_partitions(keys)

class Given(BaseOperator):
    of_class = [B, A]
    def __init__(self, *, keys, **more):
        super().__init__(**more)
        self.keys = keys
    def put(self, event):
        event.add_partitions(self.keys)
    def execute(self, context):
        first = self.outlets[0]
        put, asset = self.put, self.of_class[1]
        put(context["outlet_events"][first if first is asset else asset])

with DAG("load", schedule=None):
    {made}
keyed('k_a', A)\nplain('p_a', A)\nkeyed('k_b', B)\nplain('p_b', B)
"""
    assert [each for each in found(tmp_path, text) if each[0] != "two-emitters"] == [
        ("keyed-event-plain-listener", "a"),
        ("plain-event-keyed-listener", "b"),
    ]


@pytest.mark.parametrize(
    ("method", "sure"),
    [
        ("pre_execute(self, context)", True),
        ("execute(self, context)", True),
        ("execute(self, *, context)", True),
        ("post_execute(self, context, result=None)", True),
        ("execute_complete(self, context, event=None)", False),
        ("execute_complete(self, *, context)", False),
        ("later(self)", None),
    ],
)
def test_the_methods_that_airflow_calls_give_keys_for_certain_and_others_may(
    tmp_path: Path, method: str, sure: bool | None
) -> None:
    text = f"""
class Publish(BaseOperator):
    def {method}:
        {"get_current_context()" if sure is None else "context"}["outlet_events"][A].add_partitions("k")

with DAG("load", schedule=None):
    Publish(task_id="p", outlets=[A])
keyed("k_a", A)\nplain("p_a", A)
"""
    rules = [rule for rule, _ in found(tmp_path, text)]
    assert (
        rules
        == {
            True: ["keyed-event-plain-listener"],
            False: [],
            None: ["plain-event-keyed-listener"],
        }[sure]
    )


def test_the_key_of_an_only_outlet_is_its_own_whatever_name_it_is_looked_up_by(
    tmp_path: Path,
) -> None:
    text = """
with DAG("load", schedule=None):
    @task(outlets=[A])
    def emit(*, outlet_events):
        outlet_events[made_at_run_time(1)].add_partitions("k")
    emit()
plain("p_a", A)
"""
    assert found(tmp_path, text) == [("keyed-event-plain-listener", "a")]


def test_a_name_that_nothing_is_bound_to_yet_is_unknown(tmp_path: Path) -> None:
    text = """
def make():
    @task(outlets=[A])
    def emit(*, outlet_events):
        print(later)
        outlet_events[A].add_partitions("k")
    emit()
    if A is B:
        later = 1
with DAG("load", schedule=None):
    make()
plain("p_a", A)
"""
    assert found(tmp_path, text) == [("keyed-event-plain-listener", "a")]


def test_the_parameters_of_a_function_are_those_that_are_given_by_name() -> None:
    def function(a: int, b: int, *more: int, c: int, d: int, **named: int) -> int:
        e, f = a, b
        return e + f

    assert parameters(function) == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("lambda value: value['outlet_events']", True),
        ("lambda value: value.add_partitions", True),
        ("lambda outlet_events: 1", True),
        ("lambda: lambda value: lambda: value['outlet_events']", True),
        ("lambda value: value['inlet_events'] and 'the outlet_events'", False),
        ("lambda: lambda value: 'x'", False),
    ],
)
def test_code_names_events_by_a_word_of_its_own(text: str, named: bool) -> None:
    assert mentions_events(eval(text).__code__) is named


@pytest.mark.parametrize("hook", ["pre_execute", "post_execute"])
def test_keys_that_a_hook_gives_are_seen(tmp_path: Path, hook: str) -> None:
    text = f"""
def hook(context, result=None):
    context["outlet_events"][A].add_partitions("k")

with DAG("load", schedule=None):
    task(task_id="t", outlets=[A], {hook}=hook)(lambda: None)()
"""
    assert found(tmp_path, text + "keyed('of_a', A)") == []


def test_a_loop_over_outlets_gives_each_its_key(tmp_path: Path) -> None:
    body = "for each in (A, B): outlet_events[each].add_partitions('k')"
    task = TASK.format(body=body)
    assert found(tmp_path, task + "keyed('of_a', A)\nkeyed('of_b', B)") == []
    assert len(found(tmp_path, task + "plain('of_a', A)\nplain('of_b', B)")) == 2


UNCERTAIN_OF_A = [
    "if outlet_events: outlet_events[A].add_partitions('k')",
    "if not outlet_events: return\n        outlet_events[A].add_partitions('k')",
    "unknown = {}; unknown['f'](outlet_events[A])",
    "Books.made = outlet_events[A]",
    "BY_NAME['y'] = outlet_events[A]",
    "made_at_run_time(outlet_events[A])",
    "made_at_run_time([outlet_events[A]])",
    "made_at_run_time(partial(give, outlet_events[A]))",
    "made_at_run_time(event=outlet_events[A])",
    "made_at_run_time(Books(outlet_events[A]))",
    "made_at_run_time(outlet_events[A].add_partitions)",
    "BY_NAME['f'](outlet_events[A])",
    "getattr(outlet_events[A], str(1))('k')",
    "while 1 > 2: outlet_events[A].add_partitions('k')",
    "A is B and outlet_events[A].add_partitions('k')",
    "outlet_events[A].add_partitions('k') if A is B else None",
    "[outlet_events[A].add_partitions(each) for each in made_at_run_time(1)]",
    "[outlet_events[each].add_partitions('k') for each in (A,) if each.uri]",
    "for each in made_at_run_time(1): outlet_events[A].add_partitions('k')",
    "match A:\n            case 1: outlet_events[A].add_partitions('k')",
    "try:\n            1 / 1\n        except ValueError:\n            outlet_events[A].add_partitions('k')",
    "found = []; found.append(outlet_events[A])",
    "(give_k if A is B else print)(outlet_events[A])",
    "outlet_events[A].add_partitions('k') if A is B else outlet_events[A].add_partitions('l')",
    "if A is B: outlet_events[A].add_partitions('k')\n        else: outlet_events[A].add_partitions('l')",
    "if A is B: return\n        else: outlet_events[A].add_partitions('k')",
    "if A is B:\n            outlet_events[A].add_partitions('k')\n            return",
    "if A is B: add = outlet_events[A].add_partitions\n        else: add = print\n        add('k')",
    "add = print\n        if A is B: add = outlet_events[A].add_partitions\n        add('k')",
    "while 0: outlet_events[A].add_partitions('k')",
    "[1 for each in (A,) if outlet_events[each].add_partitions('k')]",
    "[outlet_events[each].add_partitions('k') for _ in made_at_run_time(1) for each in (A,)]",
    "[outlet_events[A].add_partitions('k') for _ in (1,) if A is B]",
    "made_at_run_time(*[outlet_events[A]])",
    "made_at_run_time(**{'event': outlet_events[A]})",
    "found = set(); found.add(outlet_events[A])",
    "found = []; found.extend([outlet_events[A]])",
    "found = {1: 2}; found.update({3: outlet_events[A]})",
    "Books().nothing(outlet_events[A])",
    "import operator; operator.itemgetter(0)([outlet_events[A]]).add_partitions('k')",
    "two_lambdas[0](outlet_events[A])",
    "made_at_run_time((outlet_events[A], 1)[0])",
    "import orjson; orjson.dumps(outlet_events[A])",
    "PARTLY.partly(outlet_events[A])",
    "PARTLY.method(outlet_events[A])",
    "Partly.partly(outlet_events[A])",
    "made_at_run_time(Books(Books(outlet_events[A])))",
    "made_at_run_time(Ring(outlet_events[A]))",
    "Holder().call(outlet_events[A])",
    "made_at_run_time(outlet_events[A] if A is B else B)",
    "async def inner():\n            async for _ in A: outlet_events[A].add_partitions('k')\n        inner()",
]
UNCERTAIN_OF_ALL = [
    "exec('pass', {'events': give_k}) or [].append(outlet_events)",
    "made_at_run_time(lambda: outlet_events[A])",
    "outlet_events[made_at_run_time(1)].add_partitions('k')",
    "for each in outlet_events: print(each)",
    "event = outlet_events[A] if A is B else outlet_events[made_at_run_time]; event.add_partitions('k')",
    "outlet_events.for_asset(name=str(1)).add_partitions('k')",
    "outlet_events.get(made_at_run_time(1)).add_partitions('k')",
    "made_at_run_time(get_current_context())",
    "for x in MANY:\n            for y in MANY:\n                for z in MANY: print(z)",
    "first, *rest = B, A; outlet_events[rest[0]].add_partitions('k')",
    "[1 for x in MANY for y in MANY for z in MANY]",
    "each = A\n        for each in made_at_run_time(1): outlet_events[each].add_partitions('k')",
    "def inner(): made_at_run_time(outlet_events)\n        made_at_run_time(inner)",
]


@pytest.mark.parametrize("body", [*UNCERTAIN_OF_A, *UNCERTAIN_OF_ALL])
def test_what_cannot_be_followed_is_no_error_for_either_listener(tmp_path: Path, body: str) -> None:
    """Of the event that it is done to; of every event where that is not known."""
    listeners = "keyed('k_a', A)\nplain('p_a', A)\nkeyed('k_b', B)\nplain('p_b', B)"
    certain = [("plain-event-keyed-listener", "b")] if body in UNCERTAIN_OF_A else []
    assert found(tmp_path, TASK.format(body=body) + listeners) == certain


ALIAS = """
with DAG("load", schedule=None):
    @task(outlets=[AssetAlias("any")])
    def emit(name="x", *, outlet_events):
        {body}
    emit(task(task_id="name")(lambda: "x")())
plain("report", A)
"""


@pytest.mark.parametrize(
    ("body", "level"),
    [
        ("outlet_events[AssetAlias('any')].add(B)", "error"),
        ("outlet_events[AssetAlias('any')].add(A)", None),
        ("outlet_events[AssetAlias('any')].add(asset=B)", "error"),
        ("outlet_events[AssetAlias('any')].add()", "warning"),
        ("outlet_events[AssetAlias('any')].add(Asset(''))", "warning"),
        ("x = 's3://b/' + name; outlet_events[AssetAlias('any')].add(Asset(f'{x}/y'))", "error"),
        ("x = 's3://b/' + name; outlet_events[AssetAlias('any')].add(Asset(x + '/y'))", "error"),
        ("outlet_events.for_asset_alias(name='any').add(B)", "error"),
        ("outlet_events.for_asset_alias(name=name).add(B)", "error"),
        ("outlet_events[AssetAlias('any')].add(A if name else B)", None),
        ("outlet_events[AssetAlias('any')].add(B if name else Asset(name))", "warning"),
        ("outlet_events[AssetAlias('any')].add(Asset('a'))", None),
        ("print(outlet_events[AssetAlias('any')])", "error"),
        (
            "exec('pass', {'events': outlet_events}) or give_k(outlet_events[AssetAlias('any')])",
            "error",
        ),
        ("made_at_run_time(outlet_events[AssetAlias('any')])", "warning"),
        ("outlet_events[AssetAlias('any')].add(Asset(name))", "warning"),
        ("yield Metadata(asset=B, alias=AssetAlias('any'))", "error"),
        ("yield Metadata(Asset(name), {}, AssetAlias('any'))", "warning"),
        ("outlet_events[AssetAlias('any')].add(B, None)", "error"),
        ("yield Metadata(A, extra={}, alias=AssetAlias('any'))", None),
        ("yield Metadata(B, extra={}, alias=AssetAlias('any'))", "error"),
        # A text of which a part is known leaves open what has that part.
        ("outlet_events[AssetAlias('any')].add(Asset(f's3://b/{name}'))", "error"),
        ("outlet_events[AssetAlias('any')].add(Asset(f'{name}'))", "warning"),
        ("outlet_events[AssetAlias('any')].add(Asset(f'{name}b'))", "error"),
        ("outlet_events[AssetAlias('any')].add(Asset(f'{name!r}'))", "warning"),
        ("bucket = 'a'; outlet_events[AssetAlias('any')].add(Asset(f'{bucket}'))", None),
        ("bucket = 'b'; outlet_events[AssetAlias('any')].add(Asset(f'{bucket}'))", "error"),
        ("outlet_events[AssetAlias('any')].add(Asset('s3://b/' + name))", "error"),
        ("outlet_events[AssetAlias('any')].add(Asset('' + name))", "warning"),
        ("outlet_events[AssetAlias('any')].add(Asset('s3://%s' % name))", "error"),
        ("outlet_events[AssetAlias('any')].add(Asset('%(x)s' % {'x': name}))", "warning"),
        ("outlet_events[AssetAlias('any')].add(Asset('s3://{:>9}'.format(name)))", "error"),
        ("outlet_events[AssetAlias('any')].add(Asset('{0}'.format(name)))", "warning"),
        ("outlet_events[AssetAlias('any')].add(Asset(uri=f's3://b/{name}'))", "error"),
        ("outlet_events[AssetAlias('any')].add(Asset('c', uri=f's3://b/{name}'))", "error"),
        ("outlet_events[AssetAlias('any')].add(Asset('a', uri=f's3://b/{name}'))", "error"),
    ],
)
def test_an_alias_is_what_its_tasks_code_makes_of_it(
    tmp_path: Path, body: str, level: str | None
) -> None:
    (tmp_path / "dags.py").write_text(HEAD + ALIAS.format(body=body))
    levels = [each.level for each in lint(tmp_path).findings if each.rule == "no-emitter"]
    assert levels == ([level] if level else [])


@pytest.mark.parametrize(
    ("tasks", "level"),
    [
        ("EmptyOperator(task_id='t', outlets=[AssetAlias('any')])", "warning"),
        ("emit(A)\n    emit(B)", None),
        ("emit(B)\n    emit(A)", None),
        ("emit(B)\n    emit(B)", "error"),
        ("emit(made_at_run_time)\n    emit(B)", "warning"),
        ("emit(B)\n    emit(made_at_run_time)", "warning"),
    ],
)
def test_an_alias_is_what_any_of_its_tasks_makes_of_it(
    tmp_path: Path, tasks: str, level: str | None
) -> None:
    text = f"""
from airflow.providers.standard.operators.empty import EmptyOperator
def emit(asset):
    @task(outlets=[AssetAlias("any")])
    def go(*, outlet_events):
        outlet_events[AssetAlias("any")].add(asset)
    go()
with DAG("load", schedule=None):
    {tasks}
plain("report", A)
"""
    (tmp_path / "dags.py").write_text(HEAD + text)
    levels = [each.level for each in lint(tmp_path).findings if each.rule == "no-emitter"]
    assert levels == ([level] if level else [])


MAPPED = """
with DAG("load", schedule=None):
    @task(outlets=[A])
    def emit(keys=(), name=None, *, outlet_events):
        for each in keys:
            outlet_events[A].add_partitions(each)
    {call}
"""


@pytest.mark.parametrize(
    ("call", "known"),
    [
        ("emit()", True),
        ("emit(keys=[1, 2])", True),
        ("emit(task(task_id='make')(lambda: [1])())", False),
        ("emit('{{ params.keys }}')", False),
        ("emit('{% if 1 %}x{% endif %}')", False),
        ("emit(keys=['x', '{{ params.keys }}'])", False),
        ("emit(keys=('x', ['{{ params.keys }}']))", False),
        ("emit(keys={'x': '{{ params.keys }}'})", False),
        ("emit(keys={'x': 'params.keys'})", True),
        ("emit(keys=('x', {'y'}))", True),
        ("emit.partial(keys=[1]).expand(name=['x'])", True),
        ("emit.expand(keys=[[1], [2]])", False),
        ("emit.expand_kwargs(task(task_id='make')(lambda: [{'keys': [1]}])())", False),
        ("task_group(group_id='g')(lambda keys: emit(keys)).expand(keys=[[1], [2]])", False),
    ],
)
def test_an_argument_that_is_given_at_run_time_is_not_its_default(
    tmp_path: Path, call: str, known: bool
) -> None:
    text = MAPPED.format(call=call) + "keyed('of_key', A)\nplain('without', A)"
    errors = [rule for rule, _ in found(tmp_path, text) if rule.endswith("-listener")]
    assert len(errors) == known


def test_a_field_that_airflow_renders_is_not_the_template(tmp_path: Path) -> None:
    text = """
class Publish(BaseOperator):
    template_fields = ("name",)
    def __init__(self, *, name, **more):
        super().__init__(**more)
        self.name = name
    def execute(self, context):
        context["outlet_events"][AssetAlias("any")].add(Asset(self.name))

with DAG("load", schedule=None):
    Publish(task_id="p", name="{}", outlets=[AssetAlias("any")])
plain("report", A)
"""
    for name, level in (("{{ params.name }}", "warning"), ("a", None), ("b", "error")):
        (tmp_path / "dags.py").write_text(HEAD + text.replace("{}", name))
        assert [each.level for each in lint(tmp_path).findings] == [level] * bool(level), name


def test_a_near_name_is_offered(tmp_path: Path) -> None:
    (tmp_path / "dags.py").write_text(
        HEAD + "O = Asset('s3://lake/orders')\nwith DAG('load', schedule=None):\n"
        "    task(task_id='t', outlets=[O])(lambda: None)()\nplain('of_o', Asset('s3a://lake/Orders/'))"
    )
    (one,) = (each for each in lint(tmp_path).findings if each.rule == "no-emitter")
    assert one.step.startswith("Did you mean s3://lake/orders?")


def test_code_that_never_ends_its_calls_is_not_followed_for_ever(tmp_path: Path) -> None:
    text = "def again(event): again(event)\n" + TASK.format(body="again(outlet_events[A])")
    assert found(tmp_path, text + "keyed('of_a', A)\nplain('of_b', B)") == []


STRAY = """
with DAG("load", schedule=None):
    @task{decorator}
    def emit(*, outlet_events):
        {body}
    emit()
with DAG("emit", schedule=None):
    task(task_id="a", outlets=[A])(lambda: None)()
plain("of_a", A)
"""


@pytest.mark.parametrize(
    ("decorator", "body", "asset"),
    [
        ("", "outlet_events[A].extra = {'rows': 1}", "a"),
        ("", "give(outlet_events[A], ['k'])", "a"),
        ("", "yield Metadata(A, extra={'rows': 1})", "a"),
        ("", "yield Metadata(A)", "a"),
        ("", "outlet_events[B].extra = outlet_events[A].extra = {}", "a"),
        ("", "outlet_events[AssetAlias('any')].add(A)", "alias any"),
        (
            "(outlets=[AssetAlias('any')])",
            "outlet_events[AssetAlias('other')].add(A)",
            "alias other",
        ),
        ("", "print(outlet_events)", None),
        ("", "get_current_context()['task'].outlets.append(A); outlet_events[A].extra = {}", None),
        ("(outlets=[AssetAlias('any')])", "outlet_events[AssetAlias('any')].add(A)", None),
        ("(outlets=[AssetAlias('any')])", "yield Metadata(A, {}, AssetAlias('any'))", None),
    ],
)
def test_what_is_written_to_the_event_of_no_outlet_is_found(
    tmp_path: Path, decorator: str, body: str, asset: str | None
) -> None:
    strays = [
        each
        for each in found(tmp_path, STRAY.format(decorator=decorator, body=body))
        if each[0] == "stray-event"
    ]
    assert strays == ([("stray-event", asset)] if asset else [])


@pytest.mark.parametrize(
    ("body", "certain"),
    [
        ("outlet_events[A].add_partitions('k')", False),
        ("(lambda: outlet_events[A].add_partitions('k'))()", False),
        ("value['outlet_events'][A].add_partitions('k')", False),
        ("(lambda: print(1))()", True),
        ("print(1)", True),
    ],
)
def test_a_task_whose_text_cannot_be_read_may_give_keys_where_it_names_events(
    tmp_path: Path, body: str, certain: bool
) -> None:
    parameter = "value=None" if certain or "value" in body else "outlet_events=None"
    text = f"""
exec("def made(*, {parameter}): {body}", namespace | {{"A": A}}, namespace)
with DAG("load", schedule=None):
    task(task_id="t", outlets=[A])(namespace["made"])()
keyed("of_key", A)
"""
    assert len(found(tmp_path, text)) == certain


@pytest.mark.parametrize(
    ("body", "rules"),
    [
        ("outlet_events[A].partition_keys = {'k'}", []),
        ("outlet_events[A].partition_keys |= {'k'}", []),
        ("outlet_events[A].partition_keys.add('k')", []),
        ("event = outlet_events[A]\n        event.partition_keys.update(['k'])", []),
        ("event = outlet_events[A]\n        if x: event.partition_keys = {'k'}", []),
        ("outlet_events[B].partition_keys = {'k'}", [("plain-event-keyed-listener", "a")]),
        ("outlet_events[A].extra = {'k': 1}", [("plain-event-keyed-listener", "a")]),
    ],
)
def test_keys_may_be_put_into_the_events_own_set(
    tmp_path: Path, body: str, rules: list[tuple[str, str]]
) -> None:
    text = (
        "with DAG('load', schedule=None):\n    @task(outlets=[A, B])\n"
        f"    def emit(x=None, *, outlet_events):\n        {body}\n    emit()\nkeyed('of_a', A)\n"
    )
    about_a = [each for each in found(tmp_path, text) if each[1] == "a"]
    assert about_a == rules
    certain = "if x" not in body and "[A].partition_keys" in body
    plain = found(tmp_path, text.replace("keyed('of_a', A)", "plain('of_a', A)"))
    if certain:
        assert ("keyed-event-plain-listener", "a") in plain
