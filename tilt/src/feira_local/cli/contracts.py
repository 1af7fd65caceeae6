"""`feira contracts`: what the contracts declare, and the files that are generated from them."""

from __future__ import annotations

from typing import Annotated

import typer

from feira.core.contracts import contracts
from feira.core.contracts.dbt import write_declared
from feira.core.contracts.registry import whole_contract
from feira.core.settings import repository_root
from feira_local.cli.data import print_found
from feira_local.cli.output import AsJson, print_line


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="The tables' contracts.", no_args_is_help=True)
    group.command("list")(list_contracts)
    group.command("show")(show)
    group.command("dbt")(dbt)
    group.command("grants")(print_grants)
    app.add_typer(group, name="contracts")


def list_contracts(as_json: AsJson = False) -> None:
    """The contracts: table, version, columns, key, rules.

    Example: [bold]feira contracts list[/]
    """
    rows = [
        {
            "table": each.table,
            "version": each.version,
            "columns": len(each.columns),
            "key": ", ".join(each.primary_key),
            "row rules": len(each.row_rules),
        }
        for each in contracts().values()
    ]
    print_found(rows, as_json, empty="")


def show(table: Annotated[str, typer.Argument(help="A table, as in sales.fact.")]) -> None:
    """Print a table's contract with the fields that it takes from others: ODCS that stands alone.

    Example: [bold]feira contracts show sales.fact[/]
    """
    typer.echo(whole_contract(table), nl=False)


def dbt() -> None:
    """Write what dbt takes from the contracts into infra/dbt, for dbt by hand and for an editor.

    Sources, descriptions, types and tests; git ignores them. The marts' task makes its own.

    Example: [bold]feira contracts dbt[/]
    """
    for path in write_declared(repository_root() / "infra" / "dbt"):
        print_line(f"wrote {path.relative_to(repository_root())}")


def print_grants() -> None:
    """Print the schemas of the warehouse and their grants as SQL, for a deployment of your own.

    Example: [bold]feira contracts grants | psql "$WAREHOUSE_OWNER"[/]
    """
    from feira.core.warehouse.grants import grants

    typer.echo("".join(f"{statement};\n" for statement in grants()), nl=False)
