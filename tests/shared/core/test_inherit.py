"""A contract that takes the fields of the one upstream: what it then says, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from feira.core.contracts import Contract, ContractError, contract
from feira.core.contracts.inherit import as_yaml, read_document
from feira.core.contracts.reader import read_contract
from feira.core.contracts.registry import contract_files

Field = dict[str, Any]
TYPES = {"string": "string", "bigint": "integer", "decimal(18,4)": "number", "date": "date"}


def field(name: str, physical: str = "string", **more: Any) -> Field:
    return {"name": name, "physicalType": physical, "logicalType": TYPES[physical], **more}


KEY = field("id", required=True, primaryKey=True, primaryKeyPosition=1)


class Folder:
    """A folder of contracts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, table: str, *fields: Field, **custom: Any) -> None:
        document = {
            "apiVersion": "v3.1.0",
            "kind": "DataContract",
            "id": f"feira.{table}",
            "version": "1.0.0",
            "status": "active",
            "servers": [{"server": "lake", "type": "custom"}],
            "customProperties": [
                {"property": f"feira.{name}", "value": value} for name, value in custom.items()
            ],
            "schema": [
                {
                    "name": table.partition(".")[2],
                    "physicalName": table,
                    "physicalType": "table",
                    "properties": list(fields),
                }
            ],
        }
        (self.path / f"{table}.odcs.yaml").write_text(yaml.safe_dump(document, sort_keys=False))

    def read(self, table: str) -> Contract:
        files = contract_files(self.path)
        return read_contract(files[table], files)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_field_upstream_is_one_of_every_table_below_it(folder: Folder) -> None:
    channel = field(
        "channel",
        description="Where it was bought.",
        classification="confidential",
        logicalTypeOptions={"maxLength": 20},
        enum=[{"value": "web"}, {"value": "shop"}],
    )
    folder.put("a.first", KEY, channel, field("amount", "bigint", required=True))
    folder.put("a.second", {"name": "id"}, field("day", "date"), upstream="a.first")
    folder.put("a.third", field("last"), upstream="a.second", asset="third", without=["day"])
    assert folder.read("a.second").column_names == ["id", "channel", "amount", "day"]
    third = folder.read("a.third")
    assert third.column_names == ["id", "channel", "amount", "last"]
    assert third.columns[:3] == folder.read("a.first").columns
    assert (third.asset, third.primary_key) == ("third", ())


def test_a_key_is_the_tables_own_and_so_is_what_a_field_states_again(folder: Folder) -> None:
    folder.put(
        "a.first",
        KEY,
        field("price", description="As text.", required=True, logicalTypeOptions={"maxLength": 9}),
        field("state", description="State.", logicalTypeOptions={"maxLength": 5}),
    )
    folder.put(
        "a.second",
        field("price", "decimal(18,4)", transformSourceObjects=["a.first.price"]),
        {"name": "state", "required": True, "primaryKey": True, "primaryKeyPosition": 1},
        {"name": "id", "required": False},
        upstream="a.first",
    )
    second = folder.read("a.second")
    assert (second.column_names, second.primary_key) == (["id", "price", "state"], ("state",))
    price, state = second.column("price"), second.column("state")
    assert (price.type, price.description, price.max_length) == ("decimal(18,4)", "As text.", None)
    assert price.required and state.required and not second.column("id").required
    assert (state.type, state.description, state.max_length) == ("string", "State.", 5)


REFUSED = [
    ({"upstream": "a.firts"}, [], "feira.upstream is 'a.firts'; there are a.first, a.second"),
    ({"upstream": ["a.first"]}, [], "feira.upstream is ['a.first']"),
    ({"upstream": "a.second"}, [], "circle"),
    ({"upstraem": "a.first"}, [KEY], "feira.upstraem"),
    ({"without": ["price"]}, [KEY], "feira.without"),
    ({"upstream": "a.first", "without": ["prise"]}, [], "no field 'prise'"),
    ({"upstream": "a.first", "without": "price"}, [], "feira.without is 'price'"),
    ({"upstream": "a.first"}, [{"name": "prise", "required": True}], "prise states no type"),
    ({"upstream": "a.first"}, [field("price")], "a.first.price is a field too"),
    (
        {"upstream": "a.first"},
        [field("price", transformSourceObjects=["a.first.id"])],
        "a.first.price is a field too",
    ),
    (
        {"upstream": "a.first"},
        [field("total", transformSourceObjects=["b.x", "a.first.prise"])],
        "total is made of a.first.prise, which is no field",
    ),
    ({"upstream": "a.first"}, [{"name": "price"}, {"name": "price"}], "price is declared more"),
    ({"upstream": "a.first"}, [field("x"), field("x")], "x is declared more than once"),
    ({"upstream": "a.first"}, [{"name": "price", "uniqe": True}], "did you mean 'unique'"),
    ({"upstream": "a.first"}, [{"name": "price", "physicalType": "bigint"}], "a type of its own"),
    ({"upstream": "a.first"}, [{"name": "price", "logicalType": "string"}], "a type of its own"),
    ({"without": ["price"]}, [KEY], "feira.without is stated and feira.upstream is not"),
]


@pytest.mark.parametrize(("custom", "fields", "named"), REFUSED)
def test_what_cannot_be_taken_is_refused_with_file_and_line(
    folder: Folder, custom: dict[str, Any], fields: list[Field], named: str
) -> None:
    folder.put("a.first", KEY, field("price"))
    folder.put("a.second", *fields, **custom)
    with pytest.raises(ContractError) as refusal:
        folder.read("a.second")
    assert named in str(refusal.value)
    assert str(refusal.value).startswith("a.second.odcs.yaml, line ")


@pytest.mark.parametrize(("own", "upstream"), [(0, 1), (2, 1), (1, 0), (1, 2)])
def test_fields_are_taken_of_one_table_into_one(folder: Folder, own: int, upstream: int) -> None:
    folder.put("a.first", KEY, field("price"))
    folder.put("a.second", upstream="a.first")
    for table, count in (("a.first", upstream), ("a.second", own)):
        path = folder.path / f"{table}.odcs.yaml"
        document = yaml.safe_load(path.read_text())
        document["schema"] *= count
        path.write_text(yaml.safe_dump(document))
    with pytest.raises(ContractError, match=r"^a\.second.*one schema object.* a\."):
        folder.read("a.second")


@pytest.mark.parametrize(
    ("custom", "fields", "text"),
    [
        ({"without": ["prise"], "upstream": "a.first"}, [], "- prise"),
        ({"without": "price", "upstream": "a.first"}, [], "value: price"),
        ({"upstream": "a.firts"}, [], "value: a.firts"),
        ({"upstream": "a.first"}, [field("x"), field("price")], "name: price"),
        ({"upstream": "a.first"}, [field("x"), {"name": "price", "uniqe": True}], "uniqe"),
    ],
)
def test_a_fault_is_named_with_its_own_line(
    folder: Folder, custom: dict[str, Any], fields: list[Field], text: str
) -> None:
    folder.put("a.first", KEY, field("price"))
    folder.put("a.second", *fields, **custom)
    lines = (folder.path / "a.second.odcs.yaml").read_text().splitlines()
    (number,) = (n for n, each in enumerate(lines, start=1) if text in each)
    number -= text.startswith("- prise")  # of a list it is the line of its key
    with pytest.raises(ContractError, match=rf"^a\.second\.odcs\.yaml, line {number}: "):
        folder.read("a.second")


def test_a_property_of_the_contract_is_stated_once(folder: Folder) -> None:
    folder.put("a.first", KEY)
    folder.put("a.second", upstream="a.first")
    path = folder.path / "a.second.odcs.yaml"
    stated = "- property: feira.upstream\n  value: a.first\n"
    path.write_text(path.read_text().replace(stated, stated * 2))
    number = path.read_text().splitlines().index("- property: feira.upstream") + 3
    with pytest.raises(ContractError, match=rf"line {number}: feira\.upstream .*more than once"):
        folder.read("a.second")


def test_a_taken_field_has_all_that_describes_its_value(folder: Folder) -> None:
    about: Field = {
        "required": True,
        "description": "Where it was bought — ünïcode, " + "long " * 40 + "text.",
        "classification": "confidential",
        "businessName": "Channel",
        "tags": ["a"],
        "synonyms": [{"synonym": "way"}],
        "authoritativeDefinitions": [{"url": "https://x.example", "type": "definition"}],
        "semanticType": "dimension",
        "criticalDataElement": True,
        "examples": ["web"],
        "deprecated": True,
    }
    enum: Field = {"logicalTypeOptions": {"maxLength": 9}, "enum": [{"value": "web"}]}
    listed: Field = {"logicalType": "array", "physicalType": "array<string>"}
    listed["items"] = {"logicalType": "string", "physicalType": "string"}
    folder.put("a.first", KEY, field("channel", **enum, **about), {"name": "marks", **listed})
    own = field("channel", "bigint", transformSourceObjects=["a.first.channel"])
    folder.put("a.second", upstream="a.first")
    folder.put("a.third", own, upstream="a.second")
    files = contract_files(folder.path)

    def fields(table: str) -> list[Field]:
        found: list[Field] = read_document(files[table], files)["schema"][0]["properties"]
        return found

    _, channel, marks = fields("a.second")
    of: Field = {"transformSourceObjects": ["a.first.channel"]}
    assert channel == field("channel", **enum, **about, **of)
    assert marks == {"name": "marks", **listed, "transformSourceObjects": ["a.first.marks"]}
    own["transformSourceObjects"] = ["a.second.channel"]
    folder.put("a.third", own, upstream="a.second")
    assert fields("a.third")[1] == own | about
    text = as_yaml(read_document(files["a.second"], files))
    assert text.startswith("apiVersion: v3.1.0\nkind: DataContract\n")
    assert f"        description: {about['description']}\n" in text
    assert "\nschema:\n  - name: second\n" in text


def test_a_fault_upstream_is_named_with_the_file_that_has_it(folder: Folder) -> None:
    folder.put("a.first", KEY, {"name": "price", "requierd": True})
    folder.put("a.second", upstream="a.first")
    with pytest.raises(ContractError, match=r"^a\.first\.odcs\.yaml, line \d+: .*'required'"):
        folder.read("a.second")


def test_a_contract_read_alone_takes_nothing(folder: Folder) -> None:
    folder.put("a.first", KEY)
    folder.put("a.second", upstream="a.first")
    with pytest.raises(ContractError, match=r"feira\.upstream"):
        read_contract(folder.path / "a.second.odcs.yaml")


def test_two_tables_that_take_of_each_other_are_refused(folder: Folder) -> None:
    folder.put("a.first", KEY, upstream="a.second")
    folder.put("a.second", KEY, upstream="a.first")
    with pytest.raises(ContractError, match=r"circle: a\.second.*, a\.first.*"):
        folder.read("a.second")


NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True)


@settings(deadline=None)
@given(upstream=NAMES, own=NAMES, left_out=NAMES, data=st.data())
def test_a_table_has_what_is_upstream_and_not_left_out_then_its_own_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
    upstream: list[str],
    own: list[str],
    left_out: list[str],
    data: st.DataObject,
) -> None:
    folder = Folder(tmp_path_factory.mktemp("contracts"))
    types = {name: data.draw(st.sampled_from(sorted(TYPES))) for name in upstream}
    left_out = [name for name in left_out if name in upstream]
    taken = [name for name in upstream if name not in left_out]
    restated = [{"name": name, "required": True} if name in taken else field(name) for name in own]
    folder.put("x.up", KEY, *(field(name, types[name]) for name in upstream))
    folder.put("x.down", *restated, upstream="x.up", without=left_out)
    down = folder.read("x.down")
    added = [name for name in own if name not in taken]
    assert down.column_names == ["id", *taken, *added]
    assert {c.name: c.type for c in down.columns if c.name in taken} == {
        name: types[name] for name in taken
    }
    assert {c.name for c in down.columns if c.required} == {"id"} | set(own) & set(taken)
    # As a file of its own it says the same.
    files = contract_files(folder.path)
    alone = folder.path / "alone.yaml"
    alone.write_text(as_yaml(read_document(files["x.down"], files)))
    assert read_contract(alone) == down


@pytest.mark.parametrize("table", sorted(contract_files()))
def test_the_platforms_contracts_say_the_same_as_files_of_their_own(
    table: str, tmp_path: Path
) -> None:
    files = contract_files()
    alone = tmp_path / "alone.yaml"
    alone.write_text(as_yaml(read_document(files[table], files)))
    assert read_contract(alone) == contract(table)
