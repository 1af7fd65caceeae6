"""Publishing on a real server: whole or not at all, wherever it is killed and whoever else publishes."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import libvalkey
import numpy as np
import pyarrow as pa
import pytest
import valkey
from hypothesis import given, settings
from hypothesis import strategies as st
from valkey.connection import Connection

from feira.recommendations import publish as module
from feira.recommendations.publish import (
    PublishError,
    ReadBackError,
    keep_on_disk,
    publish,
    rollback,
    versions,
)
from feira.recommendations.serving import claims, layout, packing, values
from feira.recommendations.serving.claims import ClaimLostError
from feira.recommendations.serving.columns import Coded
from feira.recommendations.serving.layout import VersionNameError, age
from feira.recommendations.serving.packing import ListsError, Packed, Packer
from feira.recommendations.serving.store import StoreError, StoreRefusalError
from valkey_server import (
    InSegments,
    Lists,
    ValkeyServer,
    in_slots,
    items_of,
    publish_lists,
    published,
    published_segments,
    rows,
    rows_with,
    some_lists,
)

OLD, NEW = "2010-12-01-1", "2010-12-02-1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with ValkeyServer(tmp_path_factory.mktemp("a, b") / "home") as server:
        yield server


@pytest.fixture
def client(server: ValkeyServer) -> Iterator[valkey.Valkey]:
    """Of an empty server."""
    with server.client() as client:
        client.flushall()
        yield client


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few lists are many commands."""
    monkeypatch.setattr(module, "BATCH", 3)
    monkeypatch.setattr(claims, "BATCH", 3)
    monkeypatch.setattr(packing, "_USERS", 2)


def served(client: valkey.Valkey) -> tuple[str, Lists] | None:
    """What a reader sees: the version of the pointer, and all its lists."""
    live = client.get("reco:live")
    return None if live is None else (live.decode(), published(client, live.decode()))


def test_every_list_is_stored_as_it_was_given_with_its_count_and_checksum(
    client: valkey.Valkey,
) -> None:
    lists = some_lists("x")
    done = publish_lists(client, NEW, lists)
    assert served(client) == (NEW, lists)
    meta = json.loads(client.get(f"reco:{NEW}:meta"))
    content = hashlib.sha256(client.get(f"reco:{NEW}:items"))
    keys = [f"reco:{NEW}:user:{user}" for user in sorted({user for _, user in lists})]
    for key in keys:
        content.update(key.encode() + client.get(key))
    assert meta["lists"] == len(lists) == done.lists
    assert meta["keys"] == len(keys) == done.keys
    assert meta["items"] == len(items_of(lists))
    assert meta["checksum"] == content.hexdigest() == done.checksum
    assert done.everyone == {"new": ["x-p0", "x-p1", "x-p2"]}
    assert (done.served, done.removed) == (NEW, [])
    # Of lists alone nothing expires.
    assert {client.ttl(key) for key in (*keys, "reco:live", f"reco:{NEW}:meta")} == {-1}
    assert meta["layout"] == 2
    # Three popular items of 11 are of four bits each; of a user's three items one is a reason too, of two bits.
    assert client.get(keys[0]) == bytes([0, 3, 255, 0x98, 0x0A])


user_names = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=8),
    # What names begin with inside, and the longest in bytes.
    st.sampled_from(["\0", "\1", "\0\0", "\U0010ffff" * layout.LONGEST_USER]),
)
ITEMS = [f"i{number:02d}" for number in range(20)]
an_item = st.sampled_from(ITEMS)
any_reason = st.one_of(
    st.sampled_from([("popular", None), ("popular_in_category", None), ("bought_before", None)]),
    st.tuples(st.just("goes_with"), an_item),
)
lists_of_any = st.dictionaries(
    user_names,
    st.tuples(
        st.lists(an_item, max_size=9, unique=True),
        st.lists(st.tuples(an_item, any_reason), max_size=9, unique_by=lambda it: it[0]),
    ).filter(any),
    min_size=1,
    max_size=6,
)


def value_of(again: list[Any], new: list[tuple[Any, tuple[str, Any]]], known: Any = ITEMS) -> bytes:
    """The value of a user as the layout states it, of a version of these items, bit by bit."""
    width = max(1, len(f"{len(known) - 1:b}"))

    def in_bits(numbers: list[int], width: int) -> bytes:
        bits = "".join(f"{number:0{width}b}"[::-1] for number in numbers)
        bits += "0" * (-len(bits) % 8)
        return bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))

    further = sorted({of for _, (_, of) in new if of is not None} - {*again})
    items = [known.index(it) for it in [*again, *further, *(item for item, _ in new)]]
    if all(reason == ("popular", None) for _, reason in new):
        return bytes([len(again), len(new), 255]) + in_bits(items, width)
    reasons_of = [*again, *further]
    alone = ["popular", "bought_before", "popular_in_category"]
    reasons = [alone.index(why) if of is None else 3 + reasons_of.index(of) for _, (why, of) in new]
    return (
        bytes([len(again), len(new), len(further)])
        + in_bits(items, width)
        + in_bits(reasons, len(f"{2 + len(reasons_of):b}"))
    )


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=4)


def pairs_of(packed: Iterable[Packed]) -> list[bytes]:
    """Keys and values in turn."""
    return [
        each.text[start:end]
        for each in packed
        for start, end in itertools.pairwise([0, *each.ends.tolist()])
    ]


def doubled(column: pa.Array) -> pa.Array:
    """Texts by a dictionary that holds each of them twice; null is in it too."""
    once = pa.array([*dict.fromkeys(column.to_pylist())], column.type)
    places = {text: place for place, text in enumerate(once.to_pylist())}
    codes = [places[text] + row % 2 * len(once) for row, text in enumerate(column.to_pylist())]
    return pa.DictionaryArray.from_arrays(
        pa.array(codes, pa.int32()), pa.concat_arrays([once, once])
    )


CODED: dict[str, Callable[[pa.Array], pa.Array]] = {
    "plain": lambda column: column,
    "coded": lambda column: column.dictionary_encode(),
    "doubled": doubled,
}


@settings(max_examples=40, deadline=None)
@given(
    lists_of_any,
    st.dictionaries(names, st.lists(an_item, min_size=1, max_size=3), max_size=4),
    st.lists(st.integers(0, 30)),
    st.sampled_from([*CODED]),
)
def test_lists_are_packed_the_same_wherever_their_rows_are_cut_and_however_they_are_coded(
    given_lists: dict[str, Any],
    of_segments: dict[str, list[str]],
    cuts: list[int],
    coded: str,
) -> None:
    lists: dict[tuple[str, str], list[tuple[str, str, str | None]]] = {}
    for user, (again, new) in given_lists.items():
        lists["again", user] = [(item, "bought_before", None) for item in again]
        lists["new", user] = [(item, *reason) for item, reason in new]
    rows = rows_with(lists, InSegments(of_segments, {}))
    whole = pa.RecordBatch.from_arrays(
        [CODED[coded](it) if pa.types.is_string(it.type) else it for it in rows.columns],
        rows.schema.names,
    )
    slots = rows.column("slot").to_pylist()

    def of_slot(slot: str) -> Iterator[pa.RecordBatch]:
        # Pieces of one whole: each of their columns begins within another.
        first, count = slots.index(slot) if slot in slots else 0, slots.count(slot)
        places = sorted({0, count, *(cut for cut in cuts if cut < count)})
        return (whole.slice(first + a, b - a) for a, b in itertools.pairwise(places))

    numbered = sorted(of_segments)
    packer = Packer("v", ITEMS, numbered)
    packed = list(packer.pack(of_slot))
    pairs = pairs_of(packed)
    found = dict(zip(pairs[::2], pairs[1::2], strict=True))
    assert len(found) == len(pairs) // 2
    assert found == {
        f"reco:v:user:{user}".encode(): value_of(*both) for user, both in given_lists.items()
    } | {
        f"reco:v:segment:{number}".encode(): b"".join(
            ITEMS.index(item).to_bytes(4, "little") for item in of_segments[name]
        )
        for number, name in enumerate(numbered)
    }
    assert sum(each.lists for each in packed) == sum(map(bool, lists.values())) + len(numbered)
    of_users = [key for key in pairs[::2] if b":user:" in key]
    assert of_users == sorted(of_users)


@settings(deadline=None)
@given(user_names, user_names)
def test_users_are_in_the_order_of_their_characters(user: str, other: str) -> None:
    batch = pa.RecordBatch.from_pylist(
        [GOOD | {"user_id": each} for each in (user, other)], schema=rows({}).schema
    )
    for batches in ([batch], [batch.slice(0, 1), batch.slice(1)]):
        packed = Packer("v", ["a"]).pack(in_slots(*batches))
        if user < other:
            assert pairs_of(packed)[::2] == [f"reco:v:user:{it}".encode() for it in (user, other)]
        else:
            # One user's two rows are both the first of its list.
            with pytest.raises(ListsError, match=r"comes after|position 1 comes where 2 is due"):
                list(packed)


def users_of_many_items(items: int) -> st.SearchStrategy[tuple[int, Any]]:
    number = st.integers(0, items - 1)
    reason = st.one_of(
        st.sampled_from([(why, None) for why in layout.WITHOUT_ITEM]),
        st.tuples(st.just("goes_with"), number),
    )
    had = st.lists(number, max_size=40, unique=True)
    new = st.lists(st.tuples(number, reason), max_size=40, unique_by=lambda it: it[0])
    return st.tuples(st.just(items), st.lists(st.tuples(had, new), max_size=4))


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.integers(1, 300), st.integers(1, 2**21)).flatmap(users_of_many_items))
def test_values_are_those_of_the_layout_however_many_items_there_are(
    drawn: tuple[int, Any],
) -> None:
    items, of_users = drawn

    def of(slot: int) -> tuple[Any, Any, Any]:
        """Of those that have a list in the slot: whose, where they are, and the items."""
        names = [f"-{user}" for user, each in enumerate(of_users) if each[slot]]
        lists = [each[slot] for each in of_users if each[slot]]
        starts = np.cumsum([0, *map(len, lists)], dtype=np.int64)
        found = [it[0] if slot else it for each in lists for it in each]
        return pa.array(names, pa.string()), starts, np.array(found, np.int32)

    whys = [
        ~layout.WITHOUT_ITEM.index(why) if of is None else of
        for _, new in of_users
        for _, (why, of) in new
    ]
    loops = values.Values(items)
    # What one call leaves behind is nothing to the next.
    for _ in range(2):
        text, ends = loops.of(b"key ", *of(0), *of(1), np.array(whys, np.int32))
        assert pairs_of([Packed(text, ends)]) == [
            each
            for user, (had, new) in enumerate(of_users)
            if had or new
            for each in (b"key %d" % user, value_of(had, new, range(items)))
        ]


@given(st.lists(st.binary(max_size=300), min_size=1), st.integers(1, 2))
def test_a_command_is_as_valkey_reads_it(arguments: list[bytes], step: int) -> None:
    packed = Packed.of(arguments)
    assert bytes(values.framed(b"MSET", packed.text, packed.ends, step)) == libvalkey.pack_command(
        (b"MSET", *arguments[::step])
    )


PACKED = """
import pyarrow as pa
from feira.recommendations.serving.packing import Packer
row = {"slot": "new", "user_id": "u", "segment": None, "position": 1, "item": "b", "reason": "goes_with",
       "reason_item": "a"}
batch = pa.RecordBatch.from_pylist([row])
(found,) = Packer("v", ["a", "b"]).pack(lambda slot: [batch] if slot == "new" else [])
print(found.text[found.ends[0] :].hex())
"""


@pytest.mark.slow
def test_lists_are_packed_where_nothing_can_be_kept_and_by_some_who_compile_at_once(
    tmp_path: Path,
) -> None:
    """And where what was kept is damaged."""
    nowhere = {"NUMBA_CACHE_LOCATOR_CLASSES": "numba.core.caching.IPythonCacheLocator"}
    damaged = {"NUMBA_CACHE_DIR": str(tmp_path)}
    for env in (nowhere, damaged, damaged):
        for file in tmp_path.rglob("*.nb?"):
            file.write_bytes(b"")
        begun = [
            subprocess.Popen(
                [sys.executable, "-c", PACKED],
                env=os.environ | env,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        assert [each.communicate()[0] for each in begun] == ["0001010203\n"] * 2
    assert len([*tmp_path.rglob("*.nbi")]) == 4


# A user's two items and one that is new.
VALUE = {
    "names": ["-u"],
    "had": [0, 2],
    "items": [0, 1],
    "other_names": ["-u"],
    "offered": [0, 1],
    "new": [2],
    "whys": [0],
}


def arguments(changes: dict[str, Any]) -> list[Any]:
    """Of ``values.Values.of``."""
    return [
        pa.array(given, pa.string())
        if name.endswith("names")
        else np.array(given, np.int32 if name in ("items", "new", "whys") else np.int64)
        for name, given in (VALUE | changes).items()
    ]


def coded(numbers: list[int]) -> Coded:
    return Coded(np.array(numbers, np.int32), np.array([0, 1], np.int32))


@pytest.mark.parametrize(
    "use",
    [
        lambda loops: loops.out_of_place(np.ones(2, np.int32), np.array([0, 3])),
        lambda loops: loops.out_of_place(np.ones(2, np.int32), np.array([-1, 2])),
        lambda loops: loops.out_of_place(np.ones(2, np.int32), np.array([0, 3, 2])),
        lambda loops: loops.numbered(coded([0, 2]), coded([0, 0]), coded([1, 1]), -1),
        lambda loops: loops.numbered(coded([0, -1]), coded([0, 0]), coded([1, 1]), -1),
        lambda loops: loops.numbered(coded([0, 1]), coded([0, 2]), coded([1, 1]), -1),
        lambda loops: loops.numbered(coded([0, 1]), coded([0, 0]), coded([1, -1]), -1),
        lambda loops: loops.numbered(coded([0, 1]), coded([1]), coded([1, 1]), -1),
        *(
            lambda loops, changed=changed: loops.Values(3).of(b"", *arguments(changed))
            for changed in (
                {"had": []},
                {"had": [0]},
                {"had": [0, 1]},
                {"had": [0, 3]},
                {"had": [1, 2]},
                {"had": [-1, 2]},
                {"had": [0, 1, 2]},
                {"had": [0, 3, 1, 2], "names": ["-u", "-v", "-w"]},
                {"names": ["-u", "-v"]},
                {"names": [None]},
                {"names": [""]},
                {"items": [0, 3]},
                {"items": [0, -1]},
                {"offered": [0, 2]},
                {"offered": [0, 0, 1]},
                {"other_names": []},
                {"new": [3]},
                {"whys": [3]},
                {"whys": []},
                {"had": [0, 251], "items": [0] * 251},
            )
        ),
        lambda loops: loops.framed(b"GET", b"ab", np.array([1, 3])),
        lambda loops: loops.framed(b"GET", b"ab", np.array([3, 2])),
        lambda loops: loops.framed(b"GET", b"ab", np.array([2, 1])),
        lambda loops: loops.framed(b"GET", b"ab", np.array([-1, 2])),
    ],
)
def test_no_loop_goes_beyond_an_array(use: Callable[[Any], object]) -> None:
    with pytest.raises(IndexError):
        use(values)


def test_lists_as_long_as_a_version_may_hold_are_read_as_they_were_given(
    client: valkey.Valkey,
) -> None:
    items = [f"i{number:04d}" for number in range(2_000)]
    longest = {
        ("again", "u"): [(item, "bought_before", None) for item in items[:250]],
        # None of the reasons is in the other list.
        ("new", "u"): [(items[250 + n], "goes_with", items[500 + n]) for n in range(250)],
    }
    publish(client, NEW, in_slots(rows(longest)), items)
    assert published(client, NEW) == longest
    longer = {("new", "u"): [(item, "popular", None) for item in items[:251]]}
    with pytest.raises(ListsError, match=r"user 'u': it has 251 items; a list has at most 250"):
        publish(client, "2010-12-03-1", in_slots(rows(longer)), items)


def test_the_reasons_of_a_great_many_items_are_wider(client: valkey.Valkey) -> None:
    lists = {("new", "u"): [("i0000001", "goes_with", "i0065540"), ("i0000002", "popular", None)]}
    items = [f"i{n:07d}" for n in range(65_541)]
    publish(client, NEW, in_slots(rows(lists)), items)
    assert published(client, NEW) == lists


def users(*given: tuple[Any, Any]) -> pa.RecordBatch:
    columns = {"user_id": [it[0] for it in given], "segment": [it[1] for it in given]}
    return pa.record_batch({name: pa.array(it, pa.string()) for name, it in columns.items()})


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(names, st.integers(0, 299)),
    st.lists(st.integers(0, 5)),
    st.booleans(),
)
def test_the_segments_of_users_are_packed_the_same_wherever_they_are_cut(
    of_users: dict[str, int], cuts: list[int], coded: bool
) -> None:
    segments = [f"segment {number:03d}" for number in range(300)]
    whole = users(*((user, segments[of_users[user]]) for user in sorted(of_users)))
    if coded:
        whole = whole.set_column(1, "segment", whole.column("segment").dictionary_encode())
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [whole.slice(a, b - a) for a, b in itertools.pairwise(places)]
    found = list(Packer("v", ["a"], segments).pack_users(pieces))
    assert pairs_of(found) == [
        each
        for user in sorted(of_users)
        for each in (f"reco:v:user:{user}".encode(), of_users[user].to_bytes(3, "little"))
    ]
    assert sum(packed.segment_users for packed in found) == len(of_users)


@pytest.mark.parametrize(
    ("given_users", "message"),
    [
        ([("u", "CUP")], r"'CUP' of the user 'u' is none of the version's 2 segments"),
        ([("u", None)], r"None of the user 'u'"),
        ([("", "BAG")], r"the user '' comes after '': users are texts of 1 to 64"),
        ([(None, "BAG")], r"the user 'None'"),
        ([("x" * 65, "BAG")], r"1 to 64 characters"),
        ([("u", "BAG"), ("u", "MUG")], r"'u' comes after 'u'"),
        ([("v", "BAG"), ("u", "MUG")], r"'u' comes after 'v'"),
    ],
)
def test_segments_of_users_that_are_not_in_order_or_not_there_are_refused(
    client: valkey.Valkey, given_users: list[Any], message: str
) -> None:
    publish_lists(client, OLD, old := some_lists("old"))
    for batches in ([users(*given_users)], [users(it) for it in given_users]):
        with pytest.raises(ListsError, match=message):
            publish(client, NEW, in_slots(rows(old)), items_of(old), (), ["BAG", "MUG"], batches)
    assert served(client) == (OLD, old)


def test_who_has_a_list_keeps_it_whatever_segment_is_given(client: valkey.Valkey) -> None:
    lists = some_lists("x")
    of_segments = InSegments({"BAG": ["x-p0"]}, {"u1": "BAG", "s": "BAG"})
    publish_lists(client, NEW, lists, of_segments)
    assert published(client, NEW) == lists
    assert published_segments(client, NEW) == InSegments({"BAG": ["x-p0"]}, {"s": "BAG"})


class KilledError(BaseException):
    """The process is gone: no command of it reaches the server any more."""


# The pipeline of one that is killed would still send UNWATCH, and cannot.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("was_sent", [False, True])
def test_a_publisher_that_is_killed_at_any_command_changes_nothing_for_readers_and_can_be_repeated(
    client: valkey.Valkey,
    server: ValkeyServer,
    monkeypatch: pytest.MonkeyPatch,
    was_sent: bool,
) -> None:
    old, new = some_lists("old", 1), some_lists("new", 2)
    in_segments = InSegments(
        {"BAG": ["new-p0", "new-p1"], "MUG": ["new-p2"]}, {"s0": "BAG", "s1": "MUG", "v": "BAG"}
    )
    before = ["2010-11-28-1", "2010-11-29-1", OLD]
    for version in before:
        publish_lists(client, version, old)
    dumped = {key: client.dump(key) for key in client.scan_iter()}
    send = Connection.send_packed_command
    left = itertools.count()

    def killed(self: Connection, command: Any, *args: Any, **options: Any) -> None:
        # One after the other: a transaction may be cut off in its midst.
        for part in [command] if isinstance(command, str) else command:
            number = next(left)
            if number == at and was_sent:
                send(self, [part], *args, **options)
                self.read_response()
            if number >= at:
                raise KilledError
            send(self, [part], *args, **options)

    seen = set()
    for attempt in itertools.count():
        at = attempt
        with client.pipeline() as pipe:
            pipe.flushall()
            for key, content in dumped.items():
                pipe.restore(key, 0, content)
            pipe.execute()
        left = itertools.count()
        with monkeypatch.context() as patched, server.client() as doomed:
            patched.setattr(Connection, "send_packed_command", killed)
            try:
                publish_lists(doomed, NEW, new, in_segments)
                break
            except KilledError:
                pass
        found = served(client)
        if found is not None and found[0] == NEW:
            assert published_segments(client, NEW) == in_segments
        assert found in [(OLD, old), (NEW, new)]
        seen.add(found[0] if found else None)
        # A claim that nobody renews ends by itself.
        assert client.ttl(f"reco:{NEW}:claim") != -1
        # Nor is any other that could be served less than whole.
        for each in versions(client):
            if each.meta:
                assert published(client, each.version) == (new if each.version == NEW else old)
        # Whoever publishes next completes it; what is left over is gone.
        publish_lists(client, NEW, new, in_segments)
        assert served(client) == (NEW, new)
        assert published_segments(client, NEW) == in_segments
        assert [each.version for each in versions(client) if each.meta] == [NEW, OLD, before[1]]
        assert {key.split(b":")[1].decode() for key in client.scan_iter()} == {
            *("live", "versions", NEW, OLD, before[1])
        }
    assert at > 50 and seen == {OLD, NEW}


def while_writing(
    batch: pa.RecordBatch, meanwhile: Callable[[], object]
) -> Callable[[str], Iterator[pa.RecordBatch]]:
    """The rows, and in the midst of them something else happens."""

    def of_slot(slot: str) -> Iterator[pa.RecordBatch]:
        (found,) = in_slots(batch)(slot)
        yield found.slice(0, 2)
        if slot == "new":
            meanwhile()
        yield found.slice(2)

    return of_slot


def test_of_two_publishers_of_one_version_the_second_is_served_whole_and_the_first_says_so(
    client: valkey.Valkey, server: ValkeyServer
) -> None:
    first, second = some_lists("first", 5), some_lists("second", 2)
    with server.client() as other:
        lists = while_writing(rows(first), lambda: publish_lists(other, NEW, second))
        with pytest.raises(ClaimLostError, match=NEW):
            publish(client, NEW, lists, items_of(first))
    assert served(client) == (NEW, second)


def test_of_two_publishers_at_once_the_newer_version_is_served_whoever_ends_first(
    client: valkey.Valkey, server: ValkeyServer
) -> None:
    older, newer = some_lists("older"), some_lists("newer")
    with server.client() as other:
        lists = while_writing(rows(older), lambda: publish_lists(other, NEW, newer))
        done = publish(client, OLD, lists, items_of(older))
        assert done.served == NEW and served(client) == (NEW, newer)
        lists = while_writing(rows(newer), lambda: publish_lists(other, "2010-12-03-1", older))
        done = publish(client, "2010-12-03-2", lists, items_of(newer))
    assert done.served == "2010-12-03-2" and served(client) == ("2010-12-03-2", newer)


def test_what_another_is_still_writing_is_not_removed(
    client: valkey.Valkey, server: ValkeyServer
) -> None:
    newest = some_lists("newest")
    with server.client() as other:
        lists = while_writing(rows(newest), lambda: publish_lists(other, OLD, some_lists("x")))
        publish(client, NEW, lists, items_of(newest))
    assert served(client) == (NEW, newest)


def test_what_a_killed_publisher_has_left_is_removed_once_its_claim_has_expired(
    client: valkey.Valkey, server: ValkeyServer
) -> None:
    lists = some_lists("x")

    def killed() -> None:
        assert 0 < client.ttl(f"reco:{OLD}:claim") <= 300
        raise KilledError

    with server.client() as doomed, pytest.raises(KilledError):
        publish(doomed, OLD, while_writing(rows(lists), killed), items_of(lists))
    assert publish_lists(client, NEW, lists).removed == []
    client.delete(f"reco:{OLD}:claim")
    assert publish_lists(client, NEW, lists).removed == [OLD]
    assert not list(client.scan_iter(match=f"reco:{OLD}:*"))
    assert served(client) == (NEW, lists)


def test_a_publisher_whose_removal_another_has_taken_over_has_published_all_the_same(
    client: valkey.Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(1, 4):
        publish_lists(client, f"2010-12-{day:02d}-1", some_lists("x"))
    claimed = claims.Claim.unlink_all

    def taken_over(self: claims.Claim) -> None:
        client.set(f"reco:{self.version}:claim", b"removing by another")
        claimed(self)

    monkeypatch.setattr(claims.Claim, "unlink_all", taken_over)
    done = publish_lists(client, "2010-12-04-1", some_lists("new"))
    assert (done.served, done.removed) == ("2010-12-04-1", [])
    assert served(client) == ("2010-12-04-1", some_lists("new"))


@pytest.mark.parametrize("what", ["emptied", "killed"])
def test_a_server_that_loses_what_was_written_meanwhile_is_noticed(
    tmp_path: Path, what: str
) -> None:
    lists = some_lists("x")
    with ValkeyServer(tmp_path / "home") as server, server.client() as client:

        def lose() -> None:
            if what == "killed":
                server.kill()
                for path in (server.config.home / "valkey").glob("appendonlydir/*"):
                    path.unlink()
                server.__enter__()
            else:
                client.flushall()

        with pytest.raises((ClaimLostError, StoreError)):
            publish(client, NEW, while_writing(rows(lists), lose), items_of(lists))
        assert served(client) is None
        assert publish_lists(client, NEW, lists).served == NEW
        assert served(client) == (NEW, lists)


def test_a_server_that_was_killed_and_kept_all_is_another_to_a_publisher(tmp_path: Path) -> None:
    """It might have lost the last second."""
    lists = some_lists("x")
    with ValkeyServer(tmp_path / "home") as server, server.client() as client:

        def restart() -> None:
            server.kill()
            server.__enter__()

        with pytest.raises((ClaimLostError, StoreError)):
            publish(client, NEW, while_writing(rows(lists), restart), items_of(lists))
        assert served(client) is None


def test_a_claim_that_another_takes_before_it_is_watched_again_is_lost(
    client: valkey.Valkey, server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Connection.send_packed_command

    def taken_over(self: Connection, command: Any, *args: Any, **options: Any) -> None:
        done, watch, looked_at = b"".join(command).partition(b"*2\r\n$5\r\nWATCH")
        send(self, [done], *args, **options)
        client.set(f"reco:{NEW}:claim", b"another's")
        send(self, [watch + looked_at], *args, **options)

    with server.client() as other, claims.Claim(other, NEW) as claim:
        with monkeypatch.context() as patched:
            patched.setattr(
                claim._connection, "send_packed_command", taken_over.__get__(claim._connection)
            )
            assert claim.transaction(("SET", "written", "before"))
        with pytest.raises(ClaimLostError, match=NEW):
            claim.transaction(("SET", "written", "after"))
    assert client.getdel("written") == b"before"


def test_a_claim_whose_connection_was_cut_writes_nothing_more(
    client: valkey.Valkey, server: ValkeyServer
) -> None:
    """The client would connect anew, and what the old connection watched would be forgotten."""
    with server.client() as other, claims.Claim(other, NEW) as claim:
        assert claim.transaction(("SET", "written", "under the claim"))
        client.client_kill_filter(skipme=True, _type="normal")
        with pytest.raises(valkey.exceptions.ConnectionError):
            claim.transaction(("SET", "written", "on a connection that was cut"))
        with pytest.raises(ClaimLostError, match=NEW):
            claim.transaction(("SET", "written", "on another connection"))
    assert client.getdel("written") == b"under the claim"


def test_a_command_that_fails_under_a_claim_is_an_error(client: valkey.Valkey) -> None:
    with claims.Claim(client, NEW) as claim:
        with pytest.raises(valkey.exceptions.ResponseError, match="WRONGTYPE"):
            claim.transaction(("LPUSH", layout.VERSIONS, "x"))
        assert claim.transaction(("GET", "none")) == [None]
        with pytest.raises(valkey.exceptions.ResponseError, match="unknown command"):
            claim.transaction(("NONE",))


def test_values_that_are_not_as_they_were_written_are_an_error() -> None:
    class Claim:
        version = NEW

        def transaction(self, *_: object) -> list[Any]:
            return [True, [b"1", None]]

    (batch,) = module._batches([Packed.of([b"a", b"1", b"b", b"2"])])
    with pytest.raises(ReadBackError, match=r"at 1 of 2 keys"):
        module._write_batch(Claim(), batch)  # type: ignore[arg-type]


def test_lists_that_do_not_fit_are_refused_and_what_is_served_stays(
    client: valkey.Valkey,
) -> None:
    old = some_lists("old")
    publish_lists(client, OLD, old)
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 400_000)
    many = some_lists("x" * 100, 10_000)
    try:
        with pytest.raises(StoreRefusalError, match=r"has no room: .*maxmemory") as refused:
            publish_lists(client, NEW, many)
    finally:
        client.config_set("maxmemory", "512mb")
    assert len(str(refused.value)) < 400
    assert served(client) == (OLD, old)


def test_a_complete_version_is_never_changed(client: valkey.Valkey) -> None:
    lists = some_lists("x")
    first = publish_lists(client, NEW, lists)
    meta = client.get(f"reco:{NEW}:meta")
    assert publish_lists(client, NEW, lists) == first
    assert client.get(f"reco:{NEW}:meta") == meta
    with pytest.raises(PublishError, match=rf"{NEW} is published with other lists"):
        publish_lists(client, NEW, some_lists("y"))
    assert served(client) == (NEW, lists)


def test_an_older_version_is_not_published_over_a_newer_one(client: valkey.Valkey) -> None:
    lists = some_lists("x")
    publish_lists(client, "2010-12-02-10", lists)
    done = publish_lists(client, "2010-12-02-9", some_lists("y"))
    assert (done.version, done.served, done.lists) == ("2010-12-02-9", "2010-12-02-10", 0)
    assert served(client) == ("2010-12-02-10", lists)
    assert [each.version for each in versions(client)] == ["2010-12-02-10"]


def test_three_versions_are_kept_and_never_the_served_one_removed(client: valkey.Valkey) -> None:
    names = [f"2010-12-{day:02d}-1" for day in range(1, 8)]
    for name in names[:4]:
        done = publish_lists(client, name, some_lists(name))
    assert done.removed == [names[0]]
    rollback(client, names[1])
    for name in names[4:6]:
        client.set("reco:live", names[1])
        # As it is while its publisher has not moved the pointer yet.
        module._write(
            client,
            content := module._Content(name, items_of(some_lists(name))),
            content.packed(in_slots(rows(some_lists(name)))),
            module.datetime.now(module.UTC),
        )
    assert module._remove_old(client) == [names[3], names[2]]
    assert served(client) == (names[1], some_lists(names[1]))
    assert [each.version for each in versions(client)] == [names[5], names[4], names[1]]


def test_a_version_that_is_rolled_back_to_while_it_is_about_to_be_removed_stays(
    client: valkey.Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"2010-12-{day:02d}-1" for day in range(1, 4)]
    for name in names:
        publish_lists(client, name, some_lists(name))
    looked = module.versions

    def then_rolled_back(client: valkey.Valkey) -> list[module.VersionState]:
        found = looked(client)
        client.set("reco:live", names[0])
        return found

    monkeypatch.setattr(module, "versions", then_rolled_back)
    done = publish_lists(client, "2010-12-04-1", some_lists("new"))
    assert done.removed == []
    assert served(client) == (names[0], some_lists(names[0]))


def test_rolled_back_lists_are_those_of_that_version(client: valkey.Valkey) -> None:
    names = ["2010-12-01-1", "2010-12-01-2", "2010-12-01-10"]
    for name in names:
        publish_lists(client, name, some_lists(name))
    for expected in (names[1], names[0]):
        assert rollback(client).version == expected
        assert served(client) == (expected, some_lists(expected))
    with pytest.raises(PublishError, match=rf"nothing to roll back to: {names[0]} is served"):
        rollback(client)
    assert rollback(client, names[2]).version == names[2]
    assert served(client) == (names[2], some_lists(names[2]))
    assert [(each.version, each.live) for each in versions(client)] == [
        *((names[2], True), (names[1], False), (names[0], False))
    ]


def test_neither_an_incomplete_nor_an_unknown_version_is_served(client: valkey.Valkey) -> None:
    with pytest.raises(PublishError, match=r"no version is served"):
        rollback(client)
    publish_lists(client, OLD, some_lists("old"))
    publish_lists(client, NEW, some_lists("new"))
    client.delete(f"reco:{OLD}:meta")
    with pytest.raises(PublishError, match=rf"{OLD} is incomplete.*{NEW} \(served\)"):
        rollback(client, OLD)
    with pytest.raises(PublishError, match=r"nothing to roll back to"):
        rollback(client)
    with pytest.raises(PublishError, match=r"2010-12-03-1 is not in Valkey"):
        rollback(client, "2010-12-03-1")
    assert served(client) == (NEW, some_lists("new"))
    assert [each.meta is None for each in versions(client)] == [False, True]


@pytest.mark.parametrize("version", ["", "a:b", "*", "a b", "x" * 65, "é", "-1", "a\n"])
def test_a_version_is_a_text_that_keys_can_be_made_of(client: valkey.Valkey, version: str) -> None:
    for use in (
        lambda: publish_lists(client, version, some_lists("x")),
        lambda: rollback(client, version),
    ):
        with pytest.raises(VersionNameError, match=r"is no version of lists"):
            use()
    assert client.dbsize() == 0


def test_versions_sort_by_their_numbers() -> None:
    names = ["2010-12-02-1", "b", "2010-12-01-10", "2010-12-01", "2009-12-31-1", "2010-12-01-2"]
    assert sorted(names, key=age) == [
        *("2009-12-31-1", "2010-12-01", "2010-12-01-2", "2010-12-01-10", "2010-12-02-1", "b")
    ]


GOOD = {
    "slot": "new",
    "user_id": "u",
    "position": 1,
    "item": "a",
    "reason": "popular",
    "reason_item": None,
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([{}, {"position": 3}], r"user 'u': position 3 comes where 2 is due"),
        ([{"position": 2}], r"position 2 comes where 1 is due"),
        ([{"position": None}], r"position 0 comes where 1 is due"),
        ([{"item": "z"}], r"user 'u': the item 'z' is none of the version's 3 items"),
        ([{"item": None}], r"user 'u': an item is null"),
        ([{"reason": "goes_with", "reason_item": "z"}], r"the item 'z' is none"),
        ([{"reason": "goes_with"}], r"reason is 'goes_with' with the item None"),
        ([{"reason_item": "a"}], r"reason is 'popular' with the item 'a'"),
        ([{"reason": "liked"}], r"reason is 'liked'"),
        ([{"reason": None}], r"reason is None"),
        ([{"user_id": None}], r"the user is a text of at most 64"),
        ([{"user_id": "x" * 65}], r"the user is a text of at most 64"),
        ([{"user_id": "v"}, {}], r"user 'u' comes after .* user 'v': rows must be in order"),
        (
            [{}, {"slot": "again"}],
            r"slot 'again', user 'u': the reason is 'popular'; it is bought_before",
        ),
        ([{}, {"user_id": "v"}, {}], r"each list in one piece"),
        ([{"segment": "CUP"}], r"slot 'new', user 'u', segment 'CUP': a segment's list is of"),
        ([{"segment": "CUP", "user_id": ""}], r"its segment one of the version's 0"),
        (
            [{"segment": "MUG", "user_id": "", "slot": "again", "reason": "bought_before"}],
            r"of the slot new and of no user",
        ),
        ([], r"holds no list"),
    ],
)
def test_lists_that_are_not_in_order_or_name_what_is_not_there_are_refused(
    client: valkey.Valkey, changes: list[dict[str, Any]], message: str
) -> None:
    batch = pa.RecordBatch.from_pylist([GOOD | each for each in changes], schema=rows({}).schema)
    publish_lists(client, OLD, old := some_lists("old"))
    # The last row in a batch of its own: it is found across them too.
    batches = [batch.slice(0, max(0, len(changes) - 1)), batch.slice(max(0, len(changes) - 1))]
    for given_batches in ([batch], batches):
        with pytest.raises(ListsError, match=message):
            publish(client, NEW, in_slots(*given_batches), ["a", "b", "c"])
    assert served(client) == (OLD, old)


@pytest.mark.parametrize("slot", ["again", "soon", None])
def test_a_row_of_another_slot_than_it_was_asked_for_is_refused(
    client: valkey.Valkey, slot: str | None
) -> None:
    batch = pa.RecordBatch.from_pylist([GOOD, GOOD | {"slot": slot}], schema=rows({}).schema)
    with pytest.raises(ListsError, match=rf"slot 'new', user 'u': it has a row of slot {slot!r}"):
        publish(client, NEW, lambda of: [batch] if of == "new" else [], ["a"])
    assert served(client) is None


def test_a_segments_list_is_of_what_is_popular_in_it_and_each_segment_has_one_place(
    client: valkey.Valkey,
) -> None:
    row = GOOD | {"user_id": "", "segment": "BAG", "reason": "popular", "reason_item": None}
    batch = pa.RecordBatch.from_pylist([row], schema=rows({}).schema)
    with pytest.raises(ListsError, match=r"segment 'BAG': a reason is not popular_in_category"):
        publish(client, NEW, in_slots(batch), ["a", "b", "c"], (), ["BAG"])
    with pytest.raises(ListsError, match=r"2 segments are not distinct"):
        publish(client, NEW, in_slots(batch), ["a", "b", "c"], (), ["BAG", "BAG"])


def test_items_that_are_not_distinct_have_no_numbers(client: valkey.Valkey) -> None:
    with pytest.raises(ListsError, match=r"3 items are not distinct"):
        publish(client, NEW, in_slots(rows(some_lists("x"))), ["a", "b", "a"])


def test_a_server_that_is_down_or_refuses_is_named_without_its_password(
    server: ValkeyServer,
) -> None:
    from feira.recommendations.serving.store import connect

    with (
        connect(server.options | {"port": 1}) as client,
        pytest.raises(StoreError, match=r"Valkey at 127.0.0.1:1 does not answer: .*refused"),
    ):
        versions(client)
    with (
        connect(server.options | {"password": "wrong"}) as client,
        pytest.raises(
            StoreRefusalError, match=r"refuses: .*WRONGPASS|invalid username-password"
        ) as refused,
    ):
        versions(client)
    assert "wrong" not in str(refused.value)


def test_what_was_published_is_on_the_disk_or_it_is_said_that_it_may_be_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ValkeyServer(tmp_path / "home") as server, server.client() as client:
        publish_lists(client, NEW, some_lists("x"))
        # A disk that is never done.
        client.config_set("appendfsync", "no")
        with monkeypatch.context() as patched:
            patched.setattr("feira.recommendations.publish._KEEP_MILLISECONDS", 50)
            assert not keep_on_disk(client, NEW)
        assert f"{NEW} is served, and may be lost" in caplog.text and "0.05 s" in caplog.text
        caplog.clear()
        client.config_set("appendonly", "no")
        assert not keep_on_disk(client, NEW)
        assert "appendonly is disabled" in caplog.text
        caplog.clear()
        client.config_set("appendonly", "yes")
        client.config_set("appendfsync", "always")
        monkeypatch.setattr("feira.recommendations.publish._KEEP_MILLISECONDS", 25_000)
        assert keep_on_disk(client, NEW) and not caplog.records
        server.kill()
        with pytest.raises(StoreError, match="does not answer"):
            keep_on_disk(client, NEW)
