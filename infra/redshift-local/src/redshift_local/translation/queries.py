"""What queries need beyond their functions: QUALIFY, casts that cut, dates' parts, names without case."""

from __future__ import annotations

from sqlglot import exp

from redshift_local.translation import functions, types
from redshift_local.translation.errors import NotImitated, RedshiftError, syntax_error
from redshift_local.translation.grammar import words_of

# Reserved in PostgreSQL and not in Redshift, so that a column may have the name.
_RESERVED = words_of(
    """
    asymmetric collation concurrently current_catalog current_role fetch lateral returning symmetric
    tablesample variadic window
    """
)


# System tables by the schema that they are looked up in, "" for none; each is a view of this package.
_SYSTEM = {
    "": words_of(
        "pg_table_def pg_views stl_load_errors svv_columns svv_redshift_columns svv_redshift_tables "
        "svv_table_info svv_tables sys_load_error_detail"
    ),
    "information_schema": words_of("key_column_usage table_constraints views"),
}
_SYSTEM["pg_catalog"] = _SYSTEM[""]


# The types that casts.sql reads a text as.
_READ = (
    exp.DType.SMALLINT,
    exp.DType.INT,
    exp.DType.BIGINT,
    exp.DType.DECIMAL,
    exp.DType.FLOAT,
    exp.DType.DOUBLE,
    exp.DType.BOOLEAN,
    exp.DType.DATE,
    exp.DType.TIMESTAMP,
    exp.DType.TIMESTAMPTZ,
    exp.DType.TIME,
    exp.DType.TIMETZ,
)


def rewrite(tree: exp.Expr) -> exp.Expr:
    """The tree on PostgreSQL: names, functions, casts, windows and QUALIFY. The tree itself is changed."""
    for name in list(tree.find_all(exp.Identifier)):
        _name(name)
    for into in list(tree.find_all(exp.Into)):
        if into.this.name.startswith("#"):
            into.set("temporary", True)
    named = {cte.alias for cte in tree.find_all(exp.CTE)}
    for table in list(tree.find_all(exp.Table)):
        shadowed = not table.db and table.name in named
        if table.name in _SYSTEM.get(table.db, ()) and not shadowed:
            table.set("db", exp.to_identifier(functions.SCHEMA))
    # From the leaves up: what is rewritten has been rewritten inside.
    for node in reversed(list(tree.walk(bfs=False))):
        new = _rewritten(node)
        if new is not node:
            if node is tree:
                tree = new
            else:
                node.replace(new)
    return tree


def _name(identifier: exp.Identifier) -> None:
    """Names have no case, in quotes or not; ``#`` marks a temporary table and is part of its name."""
    name = "".join(c.lower() if c.isascii() else c for c in identifier.name)
    # DEFAULT among values is a word and no column, which the parser does not tell apart.
    quoted = identifier.args.get("quoted") or name.startswith("#") or name in _RESERVED
    identifier.set("this", name)
    identifier.set("quoted", bool(quoted))


def _rewritten(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Select) and node.args.get("qualify"):
        return _qualify(node)
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Anonymous):
        # pg_catalog's, which are called as without their schema; other schemas are refused.
        call: exp.Anonymous = node.expression
        return _call(call) if node.this.name == "pg_catalog" else node
    if isinstance(node, exp.Anonymous):
        return _call(node)
    if isinstance(node, exp.WithinGroup):
        return _within_group(node)
    if isinstance(node, exp.Window):
        return _window(node)
    if isinstance(node, exp.Cast) and not isinstance(node.to, exp.ObjectIdentifier):
        return _cast(node)
    if isinstance(node, (exp.Add, exp.Sub)) and _now(node.this):
        days = node.expression.unnest()
        if isinstance(days, exp.Literal) and not days.is_string:
            unit = exp.Interval(this=exp.Literal.string("1"), unit=exp.var("DAY"))
            node.set("expression", exp.Mul(this=days, expression=unit))
        return node
    if isinstance(node, exp.Extract):
        return functions.own(
            "extract", functions.date_part(node.this, "EXTRACT", read=True), node.expression
        )
    return node


def _now(node: exp.Expr) -> bool:
    """GETDATE or SYSDATE, to which a number of days is added."""
    return isinstance(node, exp.Dot) and node.expression.name in ("getdate", "sysdate")


def _call(node: exp.Anonymous) -> exp.Expr:
    name = functions.name_of(node)
    parent = node.parent
    if isinstance(parent, exp.Dot) and parent.this is not node:
        if parent.this.name == functions.SCHEMA:
            return node
        parent = parent.parent
    if name == "listagg":
        if isinstance(parent, (exp.WithinGroup, exp.Window)):
            return node
        return functions.listagg(node, None, windowed=False)
    if name == "ratio_to_report":
        if not isinstance(parent, exp.Window):
            raise RedshiftError("window function call requires an OVER clause", sqlstate="42P20")
        return node
    return functions.translated(node)


def _within_group(node: exp.WithinGroup) -> exp.Expr:
    call = node.this
    if not isinstance(call, exp.Anonymous) or functions.name_of(call) != "listagg":
        return node
    if isinstance(node.parent, exp.Window):
        return node
    return functions.listagg(call, node.expression, windowed=False)


def _window(node: exp.Window) -> exp.Expr:
    call, order = node.this, node.args.get("order")
    if isinstance(call, exp.WithinGroup) and isinstance(call.this, exp.Anonymous):
        if functions.name_of(call.this) != "listagg":
            raise NotImitated(f"{functions.name_of(call.this).upper()} as a window function")
        # The whole partition in order is the frame; the order moves from the call to the window.
        order, call = call.expression, call.this
    if not isinstance(call, exp.Anonymous):
        return node
    name = functions.name_of(call)
    if name == "listagg":
        if node.args.get("order") or node.args.get("spec"):
            raise syntax_error("ORDER", "the order of LISTAGG is in WITHIN GROUP")
        node.set("this", functions.listagg(call, None, windowed=True))
        if order is not None:
            node.set("order", order)
            node.set(
                "spec",
                exp.WindowSpec(
                    kind="ROWS",
                    start="UNBOUNDED",
                    start_side="PRECEDING",
                    end="UNBOUNDED",
                    end_side="FOLLOWING",
                ),
            )
        return node
    if name == "ratio_to_report":
        if len(call.expressions) != 1 or order:
            raise syntax_error("ORDER", "RATIO_TO_REPORT has a partition and no order")
        double = exp.DataType(this=exp.DType.DOUBLE)
        value = exp.Cast(this=call.expressions[0].copy(), to=double)
        total = exp.Anonymous(this="sum", expressions=[value.copy()])
        node.set("this", total)
        parted = exp.Anonymous(this="nullif", expressions=[node.copy(), exp.Literal.number(0)])
        return exp.Paren(this=exp.Div(this=value, expression=parted, typed=True))
    return node


def _cast(node: exp.Cast) -> exp.Expr:
    """A cast to a text of limited bytes cuts, and to CHAR takes single bytes; one to a number without a size is to
    (18,0)."""
    target = types.stored(node.to, column=False)
    node.set("to", target)
    if target.this in (exp.DType.VARCHAR, exp.DType.CHAR) and target.expressions:
        text: exp.Expr = exp.Cast(this=node.this, to=exp.DataType(this=exp.DType.TEXT))
        if target.this == exp.DType.CHAR:
            text = functions.own("single_bytes", text)
        size = exp.Literal.number(target.expressions[0].name)
        node.set("this", functions.own("left_bytes", text, size))
    elif isinstance(node.this, exp.Literal) and node.this.is_string and target.this in _READ:
        # As a text it is cast by this package's function, and else by PostgreSQL's own.
        node.set("this", exp.Cast(this=node.this, to=exp.DataType(this=exp.DType.TEXT)))
    return node


def _qualify(select: exp.Select) -> exp.Expr:
    """The query around itself, with QUALIFY's condition as a column that the outer one filters by.

    Outside stand DISTINCT, ORDER BY, LIMIT and INTO, which come after QUALIFY. A ``*`` goes through as a
    whole row of each table, so that its columns need not be known here.
    """
    condition = select.args["qualify"].this
    named = {
        each.alias: each.this
        for each in select.expressions
        if isinstance(each, exp.Alias) and each.find(exp.Window)
    }
    for column in list(condition.find_all(exp.Column)):
        if not column.table and column.name in named:
            inner = exp.Paren(this=named[column.name].copy())
            if column is condition:
                condition = inner
            else:
                column.replace(inner)
    if not condition.find(exp.Window) and not any(
        each.find(exp.Window) for each in select.expressions
    ):
        raise RedshiftError(
            "QUALIFY clause must contain a window function, in it or in the SELECT list",
            sqlstate="42P20",
        )
    inside: list[exp.Expr] = []
    outside: list[exp.Expr] = []
    for number, each in enumerate(select.expressions):
        if isinstance(each, exp.Star) or (
            isinstance(each, exp.Column) and isinstance(each.this, exp.Star)
        ):
            for row in _rows(select, each):
                carried = f"_row_{len(inside)}"
                inside.append(exp.alias_(exp.column(row), carried))
                whole = exp.Paren(this=exp.column(carried, table="_qualified"))
                outside.append(exp.Dot(this=whole, expression=exp.Star()))
            continue
        carried = f"_column_{number}"
        inside.append(exp.alias_(each.unalias().copy(), carried))
        outer: exp.Expr = exp.column(carried, table="_qualified")
        if each.output_name:
            quoted = isinstance(each, exp.Alias) and bool(each.args["alias"].args.get("quoted"))
            outer = exp.alias_(outer, each.output_name, quoted=quoted)
        outside.append(outer)
    inside.append(exp.alias_(condition.copy(), "_kept"))
    outer_select = exp.Select(expressions=outside)
    order = select.args.get("order")
    if order:
        _order(select, order, inside)
    for part in ("with_", "distinct", "into", "limit", "offset", "order"):
        value = select.args.get(part)
        if value:
            outer_select.set(part, value)
            select.set(part, None)
    select.set("qualify", None)
    select.set("expressions", inside)
    outer_select.set(
        "from_",
        exp.From(
            this=exp.Subquery(
                this=select.copy(), alias=exp.TableAlias(this=exp.to_identifier("_qualified"))
            )
        ),
    )
    outer_select.set("where", exp.Where(this=exp.column("_kept", table="_qualified")))
    return outer_select


def _rows(select: exp.Select, star: exp.Expr) -> list[str]:
    """Names of the tables whose rows ``star`` stands for."""
    if isinstance(star, exp.Column):
        return [star.table]
    sources = [select.args["from_"].this] if select.args.get("from_") else []
    for join in select.args.get("joins") or []:
        if join.args.get("using") or join.args.get("method"):
            raise NotImitated("SELECT * with QUALIFY over JOIN USING or NATURAL JOIN")
        sources.append(join.this)
    return [source.alias_or_name for source in sources]


def _order(select: exp.Select, order: exp.Order, inside: list[exp.Expr]) -> None:
    """An order by what is not in the result is carried out as a column."""
    outputs = {each.output_name for each in select.expressions if each.output_name}
    for ordered in order.expressions:
        key = ordered.this
        if isinstance(key, exp.Literal) or (
            isinstance(key, exp.Column) and not key.table and key.name in outputs
        ):
            continue
        carried = f"_order_{len(inside)}"
        inside.append(exp.alias_(key.copy(), carried))
        key.replace(exp.column(carried, table="_qualified"))
