"""What may stand in a statement at all: the kinds of nodes, and of each the parts that are understood.

The list is closed. What it does not name is refused, so that a syntax which the parser learns tomorrow, or
which no one here thought of, never reaches PostgreSQL unseen.
"""

from __future__ import annotations

from sqlglot import exp

from redshift_local.translation.dialect import written
from redshift_local.translation.errors import NotImitated


def words_of(text: str) -> frozenset[str]:
    """A list of words that is written as a text."""
    return frozenset(text.split())


_BINARY = "expression this"
_NODES = {
    "Add": _BINARY,
    "AddConstraint": "expressions",
    "Alias": "alias this",
    "Alter": "actions kind this",
    "AlterColumn": "dtype this",
    "AlterDistStyle": "this",
    "AlterRename": "this",
    "AlterSortKey": "compound expressions this",
    "And": _BINARY,
    "Anonymous": "expressions this",
    "Any": "this",
    "AtTimeZone": "this zone",
    "AutoIncrementColumnConstraint": "",
    "AutoRefreshProperty": "this",
    "BackupProperty": "this",
    "Between": "high low this",
    "BitwiseAnd": _BINARY,
    "BitwiseLeftShift": _BINARY,
    "BitwiseNot": "this",
    "BitwiseOr": _BINARY,
    "BitwiseRightShift": _BINARY,
    "BitwiseXor": _BINARY,
    "BlockCompressionProperty": "autotemp",
    "Boolean": "this",
    "CTE": "alias this",
    "Case": "default ifs this",
    "Cast": "this to",
    "Column": "catalog db table this",
    "ColumnConstraint": "kind this",
    "ColumnDef": "constraints kind this",
    "Comment": "expression kind this",
    "Constraint": "expressions this",
    "Create": "exists expression kind no_schema_binding properties replace this",
    "Cube": "expressions",
    "CurrentDate": "",
    "CurrentSchema": "",
    "CurrentUser": "",
    "DPipe": "expression safe this",
    "DataType": "expressions nested this",
    "DataTypeParam": "this",
    "DefaultColumnConstraint": "this",
    "Delete": "this using where with_",
    "DistKeyProperty": "this",
    "DistStyleProperty": "this",
    "Distinct": "expressions",
    "Div": "expression safe this typed",
    "Dot": _BINARY,
    "Drop": "cascade constraints exists expressions kind materialized restrict tables this",
    "EQ": _BINARY,
    "EncodeColumnConstraint": "this",
    "Escape": _BINARY,
    "Except": "distinct expression limit offset order this with_",
    "Exists": "this",
    "Extract": _BINARY,
    "ForeignKey": "expressions reference",
    "From": "this",
    "GT": _BINARY,
    "GTE": _BINARY,
    "GeneratedAsIdentityColumnConstraint": "increment start this",
    "Group": "expressions",
    "GroupingSets": "expressions",
    "Having": "this",
    "ILike": "expression negate this",
    "Identifier": "quoted this",
    "If": "this true",
    "In": "expressions query this",
    "IndexParameters": "",
    "Insert": "default expression this",
    "Intersect": "distinct expression limit offset order this with_",
    "Interval": "this unit",
    "Into": "temporary this",
    "Is": _BINARY,
    "Join": "kind method on side this using",
    "LT": _BINARY,
    "LTE": _BINARY,
    "Like": "expression negate this",
    "LikeProperty": "expressions this",
    "Limit": "expression",
    "Literal": "is_string this",
    "MaterializedProperty": "",
    "Merge": "on this using whens with_",
    "Mod": _BINARY,
    "Mul": _BINARY,
    "NEQ": _BINARY,
    "Neg": "this",
    "Not": "this",
    "NotNullColumnConstraint": "allow_null",
    "Null": "",
    "ObjectIdentifier": "this",
    "Offset": "expression",
    "Or": _BINARY,
    "Order": "expressions this",
    "Ordered": "desc nulls_first this",
    "Parameter": "this",
    "Paren": "this",
    "Placeholder": "this",
    "Pow": _BINARY,
    "PrimaryKey": "expressions include",
    "PrimaryKeyColumnConstraint": "include",
    "Properties": "expressions",
    "Property": "this value",
    "Qualify": "this",
    "Reference": "this",
    "RegexpLike": _BINARY,
    "RenameColumn": "this to",
    "Rollup": "expressions",
    "Schema": "expressions this",
    "Select": "distinct expressions from_ group having into joins limit offset order qualify where with_",
    "SessionUser": "",
    "SimilarTo": _BINARY,
    "SortKeyProperty": "compound this",
    "Star": "",
    "StrPosition": "substr this",
    "Sub": _BINARY,
    "Subquery": "alias this joins limit offset order with_",
    "Substring": "length start this",
    "Table": "alias catalog db joins this",
    "TableAlias": "columns this",
    "TableKey": "this",
    "TemporaryProperty": "",
    "Trim": "expression position this",
    "Tuple": "expressions",
    "Union": "distinct expression limit offset order this with_",
    "UniqueColumnConstraint": "include this",
    "Update": "expressions from_ this where with_",
    "Values": "expressions",
    "Var": "this",
    "When": "matched then",
    "Whens": "expressions",
    "Where": "this",
    "Window": "order over partition_by spec this",
    "WindowSpec": "end end_side kind start start_side",
    "With": "expressions recursive",
    "WithinGroup": _BINARY,
}
_KNOWN = {name: words_of(parts) for name, parts in _NODES.items()}


def _states(value: object) -> bool:
    return value is not None and value is not False and value != []


def refuse_unknown_syntax(tree: exp.Expr) -> None:
    """Raises NotImitated for the first node, or part of one, that is in no list."""
    for node in tree.walk():
        name = type(node).__name__
        known = _KNOWN.get(name)
        if known is None:
            raise NotImitated(f"{name}: {written(node)[:80]}")
        for part, value in node.args.items():
            if part not in known and _states(value):
                raise NotImitated(f"{part.rstrip('_')} of {name}: {written(node)[:80]}")
