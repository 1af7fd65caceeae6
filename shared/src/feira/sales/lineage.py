"""Where the sales tables come from, column by column: from the API's answers to a day's extract.

What follows the extract knows no sales: ``feira.core.lineage``.
"""

from __future__ import annotations

from feira.core.contracts import contract
from feira.core.lineage import (
    Dataset,
    Source,
    Step,
    api_call,
    in_store,
    lake_table,
    landed_fields,
)
from feira.core.settings import LakeSettings
from feira.sales.landing import LANDED, TYPED
from feira.sales.published import PUBLISHED
from feira.sales.rates import RATES

RATE_FIELDS = ("rate_date", "currency", "usd_rate")
_RATE = f"{RATES}."
# By a list of stock codes, and no expression of the contract.
_LINE_KIND = {"line_kind": "sku"}


def landing_datasets(lake: LakeSettings) -> tuple[Dataset, Dataset]:
    """The landed lines, and the rates beside them. Of all days: a name for each would be no graph."""
    folder = f"{lake.root}/landing/{LANDED.name}"
    return in_store(folder), in_store(f"{folder}/{RATES}")


def landed(api: str, lake: LakeSettings, manifest: str) -> Step:
    """A day of the API's lines and of the rates that they need, as they were served.

    Named twice: as the landings of all days, and as this one's files, which are what Spark says it read.

    :param api: the base URL of the shop's API
    :param manifest: the landing's, as a URI
    """
    folder = manifest.rpartition("/")[0]
    sales, fx = api_call(api, "sales"), api_call(api, "fx")
    lines, rates = landing_datasets(lake)
    return Step(
        (sales, fx),
        {
            lines: {name: (Source(sales, name),) for name in LANDED.contract.column_names},
            rates: {name: (Source(fx, name),) for name in RATE_FIELDS},
            in_store(folder): {},
            in_store(f"{folder}/{RATES}.ndjson.gz"): {},
        },
    )


def validated(lake: LakeSettings) -> Step:
    """A landing judged by its contract: what breaks a rule goes to quarantine as it was landed."""
    inputs = landing_datasets(lake)
    return Step(inputs, {lake_table(lake, "sales.quarantine"): {}})


def extracted(lake: LakeSettings) -> Step:
    """A day's extract, from its current landing."""
    lines, rates = landing_datasets(lake)
    columns = {}
    for name in contract(PUBLISHED.extracts).column_names:
        of = (TYPED | _LINE_KIND).get(name, name)
        # extract_day and landing_version say which landing it is: no field of it holds them.
        known = of in LANDED.contract.rule_names
        fields = sorted(landed_fields(LANDED.contract, of)) if known else []
        columns[name] = [
            Source(rates, field.removeprefix(_RATE))
            if field.startswith(_RATE)
            else Source(lines, field)
            for field in fields
        ]
    return Step((lines, rates), {lake_table(lake, PUBLISHED.extracts): columns})
