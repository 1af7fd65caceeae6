"""What a line is, by its stock code: the versioned list in shared/contracts/reference."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from feira.sales.line_kinds import LineKinds


def line_kind(kinds: LineKinds, sku: str = "sku") -> Column:
    """The kind of a stock code, compared with case: exact codes first, then patterns, then the rest."""
    code = F.col(sku)
    column: Column | None = None
    for kind in sorted(set(kinds.exact.values())):
        codes = [name for name, of in kinds.exact.items() if of == kind]
        column = (column.when if column is not None else F.when)(code.isin(codes), F.lit(kind))
    for pattern, kind in kinds.patterns:
        match = code.rlike(rf"^(?:{pattern})\z")
        column = (column.when if column is not None else F.when)(match, F.lit(kind))
    return (
        column.otherwise(F.lit(kinds.otherwise)) if column is not None else F.lit(kinds.otherwise)
    )
