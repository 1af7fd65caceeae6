"""Names that Redshift does not take without quotes, and names that are longer than here they can be."""

from __future__ import annotations

from itertools import pairwise

from sqlglot import exp
from sqlglot.tokenizer_core import Token

from redshift_local.translation.errors import NotImitated, RedshiftError, syntax_error
from redshift_local.translation.grammar import words_of

# https://docs.aws.amazon.com/redshift/latest/dg/r_pg_keywords.html
RESERVED = words_of(
    """
    aes128 aes256 all allowoverwrite analyse analyze and any array as asc authorization az64 backup between
    binary blanksasnull both bytedict bzip2 case cast check collate column constraint create credentials cross
    current_date current_time current_timestamp current_user current_user_id default deferrable deflate defrag
    delta delta32k desc disable distinct do else emptyasnull enable encode encrypt encryption end except
    explicit false for foreign freeze from full globaldict256 globaldict64k grant group gzip having identity
    ignore ilike in initially inner intersect interval into is isnull join leading left like limit localtime
    localtimestamp lun luns lzo lzop minus mostly16 mostly32 mostly8 natural new not notnull null nulls off
    offline offset oid old on only open or order outer overlaps parallel partition percent permissions pivot
    placing primary raw readratio recover references rejectlog resort respect restore right select
    session_user similar snapshot some sysdate system table tag tdes text255 text32k then timestamp to top
    trailing true truncatecolumns union unique unnest unpivot user using verbose wallet when where with without
    """
)
# PostgreSQL cuts a name there without a word; Redshift's have 127 bytes.
_LONGEST = 63
# Columns that every table of PostgreSQL has beside its own.
_HIDDEN = words_of("ctid cmax cmin tableoid xmax xmin")


def refuse_name(name: str, *, quoted: bool) -> None:
    """Raises RedshiftError for a reserved word without quotes, NotImitated for a name of more than 63 bytes."""
    if not quoted and name.lower() in RESERVED:
        raise syntax_error(name, f'a reserved word is a name in quotes alone: "{name.lower()}"')
    if len(name.encode()) > _LONGEST:
        raise NotImitated(f"names of more than {_LONGEST} bytes: {name}")


def refuse_names(tree: exp.Expr) -> None:
    """Raises for the first identifier that ``refuse_name`` refuses in its place, and for a hidden column."""
    for identifier in tree.find_all(exp.Identifier):
        name = identifier.name
        parent = identifier.parent
        # A word behind AS or a point, and a place in UPDATE that its default is for, take every word.
        free = (
            (isinstance(parent, exp.Alias) and identifier.arg_key == "alias")
            or (isinstance(parent, exp.Dot) and identifier.arg_key == "expression")
            or (isinstance(parent, (exp.Column, exp.Table)) and _qualified(identifier, parent))
            or (isinstance(parent, exp.Column) and name.lower() in ("default", "oid"))
        )
        refuse_name(name, quoted=free or bool(identifier.args.get("quoted")))
        if isinstance(parent, exp.Column) and name.lower() in _HIDDEN:
            raise NotImitated(f"the system column {name}")


def refuse_bare_labels(tree: exp.Expr, tokens: list[Token]) -> None:
    """Raises for a reserved word that is a result column's name without AS; behind AS it may be one."""
    before: dict[int | None, str] = {}
    for previous, token in pairwise(tokens):
        before.setdefault(token.start, previous.text.upper())
    for alias in tree.find_all(exp.Alias):
        label = alias.args["alias"]
        if before.get(label.meta.get("start"), "AS") != "AS":
            refuse_name(label.name, quoted=bool(label.args.get("quoted")))


def _qualified(identifier: exp.Identifier, whole: exp.Expr) -> bool:
    """Whether another part of the name stands before this one."""
    order = ("catalog", "db", "table", "this")
    before = order[: order.index(identifier.arg_key)] if identifier.arg_key in order else ()
    return any(whole.args.get(part) for part in before)


def refuse_correlations(tree: exp.Expr) -> None:
    """Raises RedshiftError for a subquery's column that skips a query block or stands in an outer join's ON."""
    for column in tree.find_all(exp.Column):
        if not column.table:
            continue
        name = column.table.lower()
        child: exp.Expr = column
        depth, outer_join = 0, False
        for node in _upwards(column):
            if depth and isinstance(node, exp.Join) and node.args.get("on") is child:
                outer_join |= bool(node.args.get("side"))
            child = node
            if isinstance(node, (exp.Select, exp.Update, exp.Delete)):
                if name in _sources(node):
                    if depth > 1 or (depth == 1 and outer_join):
                        raise RedshiftError(
                            "This type of correlated subquery pattern is not supported yet",
                            hint=f"write a join for the subquery that names {column.sql()}",
                        )
                    break
                depth, outer_join = depth + 1, False


def _upwards(node: exp.Expr) -> list[exp.Expr]:
    found = []
    while node.parent is not None:
        node = node.parent
        found.append(node)
    return found


def _sources(block: exp.Expr) -> set[str]:
    """Names under which the tables of a query block are known in it."""
    found: list[exp.Expr] = []
    # An UPDATE of a MERGE names no table.
    if not isinstance(block, exp.Select) and block.this is not None:
        using = block.args.get("using") or []
        found += [block.this, *(using if isinstance(using, list) else [using])]
    if origin := block.args.get("from_"):
        found.append(origin.this)
    found += [join.this for each in (block, *found) for join in each.args.get("joins") or []]
    return {each.alias_or_name.lower() for each in found}
