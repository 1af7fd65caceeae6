"""The wiring as a Mermaid flowchart: DAGs, assets, and what sets off what."""

from __future__ import annotations

from collections.abc import Iterator

from feira_wiring.model import AssetId, Emitter, Keys, Listener, Wiring

_ESCAPED = str.maketrans(
    {
        "#": "#35;",
        '"': "#quot;",
        "&": "#amp;",
        "<": "#lt;",
        ">": "#gt;",
        "`": "#96;",
        "\\": "#92;",
        "\n": " ",
        "\r": " ",
        "\t": " ",
    }
)


def as_mermaid(wiring: Wiring) -> str:
    """A flowchart. Thick arrows carry a partition key, dashed ones where that is unknown.

    Nodes have names of their own (``a0``, ``d0``), so no name of a user's is ever Mermaid's syntax.
    """
    return "\n".join(_lines(wiring)) + "\n"


def _lines(wiring: Wiring) -> Iterator[str]:
    assets: dict[AssetId, str] = {}
    for asset in (
        *wiring.assets,
        *(each.asset for each in wiring.emitters),
        *(asset for each in wiring.listeners for asset in each.assets),
    ):
        assets.setdefault(asset, f"a{len(assets)}")
    parties = (*wiring.dag_ids, *(each.dag_id for each in wiring.emitters if each.dag_id))
    dags = {dag_id: f"d{number}" for number, dag_id in enumerate(dict.fromkeys(parties))}
    watchers = dict.fromkeys(str(each) for each in wiring.emitters if each.dag_id is None)
    sources = {name: f"w{number}" for number, name in enumerate(watchers)}
    yield "flowchart LR"
    yield "    %% ==> with a partition key, --> without, -.-> unknown"
    for dag_id, node in dags.items():
        yield f'    {node}["{_text(dag_id)}"]'
    for asset, node in assets.items():
        yield f'    {node}(["{_text(str(asset))}"])'
    for name, node in sources.items():
        yield f'    {node}[/"{_text(name)}"/]'
    edges = (
        f"    {dags[each.dag_id] if each.dag_id else sources[str(each)]} {_arrow(each)} {assets[each.asset]}"
        for each in wiring.emitters
    )
    yield from dict.fromkeys(edges)
    for listener in wiring.listeners:
        for asset in listener.assets:
            yield f"    {assets[asset]} {_arrow(listener)} {dags[listener.dag_id]}"
    for number, file in enumerate(wiring.unread):
        yield f'    f{number}["{_text(file.file)} (did not import)"]'
        yield f"    style f{number} stroke-dasharray: 4"
        for asset, node in assets.items():
            if any(each.may_be(asset) for each in file.emits):
                yield f"    f{number} -.-> {node}"
            if any(each.may_be(asset) for each in file.hears):
                yield f"    {node} -.-> f{number}"


def _arrow(party: Emitter | Listener) -> str:
    if isinstance(party, Listener):
        return "==>" if party.keyed else "-->"
    return {Keys.KEYED: "==>", Keys.PLAIN: "-->"}.get(party.keys, "-.->")


def _text(name: str) -> str:
    """A name between quotes: what Mermaid would read as more than text is escaped."""
    printable = "".join(each if each.isprintable() or each in "\n\r\t" else "?" for each in name)
    return printable.translate(_ESCAPED) or " "
