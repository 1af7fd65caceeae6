"""What Redshift refuses and PostgreSQL would take, found in the syntax tree wherever it stands in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from redshift_local.translation import functions, types
from redshift_local.translation.errors import (
    UNDEFINED_FUNCTION,
    NotImitated,
    RedshiftError,
    no_function,
    no_type,
    syntax_error,
)

Check = Callable[[Any], None]


def _select(node: exp.Select) -> None:
    distinct = node.args.get("distinct")
    if distinct is not None and distinct.args.get("on"):
        raise RedshiftError(
            "SELECT DISTINCT ON is not supported",
            hint="write QUALIFY ROW_NUMBER() OVER (PARTITION BY … ORDER BY …) = 1",
        )
    if node.args.get("locks"):
        raise RedshiftError(
            "SELECT FOR UPDATE/SHARE is not supported", hint="LOCK the table in the transaction"
        )
    if node.args.get("windows"):
        raise syntax_error("WINDOW", "write the window behind each OVER")
    if node.args.get("sample"):
        raise syntax_error("TABLESAMPLE", "write ORDER BY RANDOM() LIMIT …")


def _with(node: exp.With) -> None:
    for cte in node.expressions:
        if isinstance(cte.this, (exp.Insert, exp.Update, exp.Delete, exp.Merge)):
            raise syntax_error(cte.this.key, "a common table expression reads and changes nothing")


def _insert(node: exp.Insert) -> None:
    if node.args.get("with_"):
        raise syntax_error("INSERT", "write INSERT INTO … WITH … SELECT …")
    if node.args.get("conflict"):
        raise syntax_error(
            "ON", "Redshift has no ON CONFLICT: MERGE, or DELETE and INSERT in a transaction"
        )
    target = node.this
    table = target.this if isinstance(target, exp.Schema) else target
    if isinstance(table, exp.Table) and table.args.get("alias"):
        raise syntax_error("AS", "the table of INSERT has no alias")


def _create(node: exp.Create) -> None:
    kind = str(node.args.get("kind")).upper()
    if kind in ("INDEX", "SEQUENCE", "TRIGGER", "TYPE", "DOMAIN"):
        hint = {
            "INDEX": "SORTKEY and DISTKEY stand for indexes",
            "SEQUENCE": "an IDENTITY column stands for a sequence",
        }
        raise RedshiftError(
            f'SQL command "CREATE {kind}" not supported on Redshift tables', hint=hint.get(kind, "")
        )
    if kind not in ("TABLE", "VIEW"):
        raise NotImitated(f"CREATE {kind}")
    if kind == "TABLE" and node.args.get("replace"):
        raise syntax_error("TABLE", "DROP TABLE IF EXISTS and CREATE TABLE")
    if node.args.get("no_schema_binding"):
        ctes = {cte.alias for cte in node.find_all(exp.CTE)}
        for table in node.expression.find_all(exp.Table):
            if not table.db and table.name not in ctes:
                raise RedshiftError(
                    "All the relation names inside should be qualified when creating VIEW WITH NO SCHEMA BINDING.",
                    hint=f"name the schema of {table.name}",
                )
    if kind == "VIEW" and any(node.find_all(exp.TemporaryProperty)):
        raise syntax_error("VIEW", "a temporary table stands for a temporary view")
    properties = node.args.get("properties")
    for each in properties.expressions if properties else ():
        if isinstance(each, exp.PartitionedByProperty):
            raise syntax_error("PARTITION", "DISTKEY and SORTKEY stand for partitions")
        if isinstance(each, exp.InheritsProperty):
            raise RedshiftError("table inheritance is not supported")
        if isinstance(each, exp.TableSpaceProperty):
            raise RedshiftError("tablespaces are not supported")
        if isinstance(each, exp.UnloggedProperty):
            raise syntax_error("UNLOGGED")


def _merge(node: exp.Merge) -> None:
    if node.this.args.get("alias"):
        raise syntax_error(
            node.this.alias or "AS",
            "the target of MERGE has no alias: name its columns by the table",
        )
    if node.args.get("with_"):
        raise syntax_error("MERGE", "MERGE has no WITH: make the source a table")
    whens = node.args["whens"].expressions
    for when in whens:
        if when.args.get("condition"):
            raise syntax_error("AND", "WHEN [NOT] MATCHED has no condition: filter the source")
        if when.args.get("source"):
            raise syntax_error("BY", "MERGE has no WHEN NOT MATCHED BY SOURCE: DELETE those rows")
    if [bool(when.args.get("matched")) for when in whens] != [True, False]:
        raise syntax_error(
            "WHEN" if len(whens) > 1 else "end of input",
            "MERGE has one WHEN MATCHED and then one WHEN NOT MATCHED, both",
        )
    matched, missing = (when.args["then"] for when in whens)
    deletes = isinstance(matched, exp.Var) and matched.name.upper() == "DELETE"
    if not (deletes or isinstance(matched, exp.Update)) or not isinstance(missing, exp.Insert):
        raise syntax_error(
            "THEN", "MERGE updates or deletes what matches, and inserts what does not"
        )
    if not isinstance(missing.expression, exp.Tuple):
        raise syntax_error("INSERT", "INSERT of MERGE has VALUES (…)")


def _alter(node: exp.Alter) -> None:
    actions = node.args.get("actions") or []
    if node.args.get("exists"):
        raise syntax_error("EXISTS", "ALTER TABLE asks for no existence")
    for action in actions:
        if action.args.get("exists"):
            raise syntax_error(
                "NOT" if isinstance(action, exp.ColumnDef) else "EXISTS",
                "of columns no existence is asked: look it up in pg_table_def",
            )
    if actions and isinstance(actions[0], exp.ColumnDef):
        _added(actions[0])
    if len(actions) > 1:
        raise syntax_error(",", "one change in an ALTER TABLE: write one statement for each")
    if actions and isinstance(actions[0], exp.AlterColumn) and not actions[0].args.get("dtype"):
        raise syntax_error(
            "ALTER",
            "of a column the size of a VARCHAR is changed, and nothing else: add a new column",
        )


def _added(column: exp.ColumnDef) -> None:
    """NOT NULL of an added column, whose rows are there already."""
    kinds = [each.kind for each in column.args.get("constraints") or []]
    default = next((k.this for k in kinds if isinstance(k, exp.DefaultColumnConstraint)), None)
    required = any(
        isinstance(k, exp.NotNullColumnConstraint) and not k.args.get("allow_null") for k in kinds
    )
    if required and (default is None or isinstance(default, exp.Null)):
        raise RedshiftError(
            "ALTER TABLE ADD COLUMN defined as NOT NULL must have a non-null default expression"
        )


def _column(node: exp.ColumnDef) -> None:
    if isinstance(node.args.get("kind"), exp.DataType):
        schema = node.find_ancestor(exp.Schema)
        table = (
            schema.this.name if schema is not None and isinstance(schema.this, exp.Table) else ""
        )
        column = f"{table}.{node.name}".lstrip(".")
        types.refuse_unknown(node.args["kind"], column)
        if node.args["kind"].this == exp.DType.INTERVAL:
            raise RedshiftError(
                f'Column "{column}" has unsupported type "interval".',
                hint="INTERVAL YEAR TO MONTH or INTERVAL DAY TO SECOND",
            )


def _constraint(node: exp.Expr) -> None:
    what = "CHECK" if isinstance(node, exp.CheckColumnConstraint) else "EXCLUDE"
    raise RedshiftError(f"{what} constraints are not supported", hint="test the rows by a query")


def _generated(node: exp.ComputedColumnConstraint) -> None:
    raise syntax_error("AS", "generated columns are not supported: compute the column in a view")


def _function(node: exp.Anonymous) -> None:
    for argument in node.expressions:
        if isinstance(argument, exp.Order):
            raise syntax_error("ORDER", "an aggregate's order stands in WITHIN GROUP (ORDER BY …)")
        several = isinstance(argument, exp.Distinct) and len(argument.expressions) > 1
        if several and functions.name_of(node) != "listagg":
            raise no_function(f"{functions.name_of(node)}(DISTINCT …) of several columns")
    parent = node.parent
    if isinstance(parent, exp.Dot) and parent.expression is node:
        schema = parent.this.name.lower()
        if schema != "pg_catalog":
            raise NotImitated(f"functions of one's own: {schema}.{functions.name_of(node)}")
    functions.refuse_unknown(node)


def _property(node: exp.LikeProperty) -> None:
    for option in node.expressions:
        if option.args["value"].name.upper() != "DEFAULTS":
            raise syntax_error(
                option.args["value"].name, "LIKE has INCLUDING DEFAULTS and EXCLUDING DEFAULTS"
            )


def _array(node: exp.Expr) -> None:
    raise RedshiftError("array constructors are not supported", hint="JSON_PARSE('[1,2]') is SUPER")


def _any(node: exp.Any) -> None:
    """Over a subquery, and over an array of the catalogue, which is a column."""
    operand = node.this.unnest()
    if isinstance(operand, (exp.Parameter, exp.Placeholder, exp.Literal, exp.Cast)):
        raise RedshiftError(
            "array parameters are not supported", hint="write IN with a parameter for each value"
        )


def _subscript(node: exp.Expr) -> None:
    raise NotImitated("navigation of SUPER by [ ]", "JSON_EXTRACT_ARRAY_ELEMENT_TEXT reads text")


def _set_operation(node: exp.SetOperation) -> None:
    if not isinstance(node, exp.Union) and node.args.get("distinct") is False:
        raise syntax_error("ALL", f"Redshift has no {node.key.upper()} ALL")


def _values(node: exp.Values) -> None:
    if not isinstance(node.parent, exp.Insert):
        raise syntax_error(
            "VALUES", "a list of rows elsewhere than in INSERT: SELECT … UNION ALL SELECT …"
        )


_COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In)
_LISTED = (exp.Cube, exp.Group, exp.GroupingSets, exp.Insert, exp.Rollup, exp.Tuple, exp.Values)


def _tuple(node: exp.Tuple) -> None:
    """A row stands where rows are compared, inserted or grouped by, and is no value."""
    parent = node.parent
    if isinstance(parent, exp.EQ) and isinstance(parent.parent, exp.Update):
        raise syntax_error("(", "SET names one column for each value")
    if not isinstance(parent, (*_COMPARED, *_LISTED)):
        raise RedshiftError("row constructors are not supported")


def _leader_only(node: exp.Expr) -> None:
    raise functions.leader_only(_TIMES[type(node)])


_TIMES: dict[type, str] = {
    exp.CurrentTime: "current_time",
    exp.CurrentTimestamp: "current_timestamp",
    exp.Localtime: "localtime",
    exp.Localtimestamp: "localtimestamp",
}


def _says(near: str, hint: str = "") -> Check:
    def refuse(node: exp.Expr) -> None:
        raise syntax_error(near, hint)

    return refuse


def _operator(written: str, hint: str = "") -> Check:
    def refuse(node: exp.Expr) -> None:
        raise RedshiftError(
            f"operator does not exist: {written}", sqlstate=UNDEFINED_FUNCTION, hint=hint
        )

    return refuse


_OF: dict[type, Check] = {
    exp.Alter: _alter,
    exp.Anonymous: _function,
    exp.Any: _any,
    exp.Array: _array,
    exp.Bracket: _subscript,
    exp.CheckColumnConstraint: _constraint,
    exp.ColumnDef: _column,
    exp.ComputedColumnConstraint: _generated,
    exp.Create: _create,
    exp.Except: _set_operation,
    exp.ExcludeColumnConstraint: _constraint,
    exp.Fetch: _says("FETCH", "write LIMIT"),
    exp.Filter: _says("FILTER", "write SUM(CASE WHEN … THEN … END)"),
    exp.Insert: _insert,
    exp.Intersect: _set_operation,
    exp.JSONBContains: _operator("@>"),
    exp.JSONExtract: _operator("->", "JSON_EXTRACT_PATH_TEXT(json, 'name')"),
    exp.JSONExtractScalar: _operator("->>", "JSON_EXTRACT_PATH_TEXT(json, 'name')"),
    exp.Lateral: _says("LATERAL", "a subquery in FROM does not see the tables beside it"),
    exp.LikeProperty: _property,
    exp.Merge: _merge,
    exp.NullSafeEQ: _says("DISTINCT", "write a = b OR (a IS NULL AND b IS NULL)"),
    exp.NullSafeNEQ: _says("DISTINCT", "write NOT (a = b) OR (a IS NULL) <> (b IS NULL)"),
    exp.OnConflict: _says("ON", "Redshift has no ON CONFLICT"),
    exp.RegexpILike: _operator("~*", "write ILIKE, or LOWER(…) ~"),
    exp.Returning: _says("RETURNING", "read the rows by a SELECT of their key"),
    exp.Select: _select,
    exp.Tuple: _tuple,
    exp.Values: _values,
    exp.Window: functions.refuse_window,
    exp.With: _with,
    **dict.fromkeys(_TIMES, _leader_only),
}


def refuse(tree: exp.Expr) -> None:
    """Raises RedshiftError for the first thing in the tree that Redshift refuses."""
    for node in tree.walk():
        check = _OF.get(type(node))
        if check is not None:
            check(node)
        if isinstance(node, exp.ObjectIdentifier):
            # Of the types that name objects the leader node's catalogue knows this one by a table's name.
            if node.name.upper() != "REGCLASS":
                raise no_type(node.name.lower())
        elif isinstance(node, exp.Cast) and not isinstance(node.to, exp.ObjectIdentifier):
            types.refuse_unknown(node.to)
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Anonymous):
            functions.refuse_unknown(node.this)
            raise NotImitated(f"a function as a table: {functions.name_of(node.this)}")
