"""What may have been meant: near names while there are few, and those of one plain form always."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import pytest

from feira_wiring.model import AssetId, Emitter, Keys, Listener, Trigger, Wiring
from feira_wiring.rules.declarations import Spellings, missing_dag
from feira_wiring.rules.parties import no_emitter


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many names each search for near ones is given."""
    counts: list[int] = []
    real = difflib.get_close_matches

    def counted(word: str, names: Sequence[str], n: int, cutoff: float) -> list[str]:
        counts.append(len(names))
        return real(word, names[:3], n, cutoff)

    monkeypatch.setattr(difflib, "get_close_matches", counted)
    return counts


def wiring(many: int) -> Wiring:
    """As many listeners of assets that nothing emits, in another case, and triggers of DAGs likewise."""
    emitters = [
        Emitter(AssetId(f"a{n}", f"s3://b/a{n}"), "load", f"t{n}", Keys.PLAIN) for n in range(many)
    ]
    listeners = [
        Listener(f"d{n}", AssetId(f"x{n}", f"s3a://b/A{n}"), keyed=False) for n in range(many)
    ]
    return Wiring(
        dag_ids=tuple(f"d{n}" for n in range(many)),
        assets={},
        emitters=tuple(emitters),
        listeners=tuple(listeners),
        read=frozenset(),
        clock_keys={},
        triggers=tuple(Trigger("load", f"t{n}", f"D{n}") for n in range(many)),
    )


def test_many_names_are_compared_letter_by_letter_only_so_far(compared: list[int]) -> None:
    few, many = wiring(20), wiring(1600)
    assert all("Did you mean s3://b/a" in each.step for each in no_emitter.check(few))
    assert compared == [20] * 20  # the names; the URIs differ in what is no difference
    compared.clear()
    steps = [each.step for each in no_emitter.check(many)]
    assert [f"Did you mean s3://b/a{n}?" in step for n, step in enumerate(steps)] == [True] * 1600
    assert compared == [1600] * 62
    compared.clear()
    assert [each.step[:16] for each in missing_dag.check(many)] == [
        f"Did you mean d{n}?"[:16] for n in range(1600)
    ]
    assert compared == []


def test_each_table_of_names_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    real = Spellings.__init__
    monkeypatch.setattr(
        Spellings, "__init__", lambda self, names: (made.append(1), real(self, names))[1]
    )
    assert len(list(no_emitter.check(wiring(50)))) == len(list(missing_dag.check(wiring(50)))) == 50
    assert len(made) == 3  # names, URIs, DAGs


def test_a_name_is_never_offered_for_itself() -> None:
    names = Spellings(["orders", "Orders", "rates"])
    assert names.hint("orders") == "Did you mean Orders? "
    assert names.hint("Orders") == "Did you mean orders? "
    assert names.hint("rates") == ""
    assert names.hint("ratess") == "Did you mean rates? "
    assert Spellings([""]).hint("orders") == ""
