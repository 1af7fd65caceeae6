"""What an environment costs a month: the table of docs/deploy.md, with its arithmetic.

    python infra/terraform/cost.py          # writes it there
    python infra/terraform/cost.py --print  # only shows it

List prices of us-east-1 on demand, in US dollars without tax; where and when each was published stands beside
it. ``not seen again`` is AWS's list as it is generally quoted. Other regions differ, most are dearer. The third
size is no file of environments/.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

HOURS = 730
DOCUMENT = Path(__file__).parents[2] / "docs" / "deploy.md"
BEGIN, END = "<!-- begin: infra/terraform/cost.py -->", "<!-- end -->"
SIZES = ("dev", "prod", "large")


@dataclass(frozen=True)
class Row:
    """One part: what a unit costs, and how many units each size has.

    :param units: by size, factors whose product is the month's units
    :param source: of the price, and its date
    """

    part: str
    price: float
    units: dict[str, tuple[float, ...]]
    source: str

    def cost(self, size: str) -> float:
        """US dollars a month."""
        total = self.price
        for factor in self.units.get(size, (0,)):
            total *= factor
        return total

    def cell(self, size: str) -> str:
        """The arithmetic as a reader can repeat it."""
        factors = self.units.get(size)
        if not factors:
            return "–"
        product = " × ".join(_plain(factor) for factor in (*factors, self.price))
        return f"{product} = {self.cost(size):,.2f}"


def _plain(number: float) -> str:
    return f"{number:,.4f}".rstrip("0").rstrip(".")


def _each(dev: float, prod: float, large: float) -> dict[str, tuple[float, ...]]:
    """So many, all month."""
    counts = {"dev": dev, "prod": prod, "large": large}
    return {size: (count, HOURS) for size, count in counts.items() if count}


def _month(dev: float, prod: float, large: float) -> dict[str, tuple[float, ...]]:
    """So many units that have a price a month."""
    return {"dev": (dev,), "prod": (prod,), "large": (large,)}


ROWS = (
    Row("EKS, the cluster", 0.10, _each(1, 1, 1), "webstryker.com, May 2024"),
    Row("nodes: t3.xlarge", 0.1664, _each(2, 0, 0), "public price tables, 2026"),
    Row("nodes: m6i.xlarge", 0.192, _each(0, 3, 6), "public price tables, 2026"),
    Row(
        "Spark: m6i.xlarge, hours of a month",
        0.192,
        {"dev": (1, 30)},
        "public price tables, 2026; spot is less",
    ),
    Row(
        "Spark: r6i.2xlarge, hours of a month",
        0.504,
        {"prod": (4, 60), "large": (25, 60)},
        "public price tables, 2026; spot is less",
    ),
    Row("nodes' disks, GB", 0.08, _month(200, 300, 600), "not seen again"),
    Row("NAT gateways", 0.045, _each(1, 3, 3), "basavytix.com, getfinops.cloud, 2026"),
    Row("NAT, GB through it", 0.045, _month(50, 300, 2000), "the same"),
    Row(
        "interface endpoints, 6 in 3 zones",
        0.01,
        _each(0, 18, 18),
        "not seen again",
    ),
    Row("MSK: kafka.t3.small", 0.0456, _each(3, 0, 0), "not seen again"),
    Row("MSK: kafka.m7g.large", 0.204, _each(0, 3, 6), "public price tables, 2026"),
    Row("MSK, GB of disk", 0.10, _month(60, 1500, 6000), "public price tables, 2026"),
    Row(
        "ElastiCache for Valkey: cache.t4g.micro",
        0.0128,
        _each(1, 0, 0),
        "Redis OSS 0.016 and 0.219 in public price tables of 2026, less 20 %",
    ),
    Row(
        "ElastiCache for Valkey: cache.r7g.large",
        0.1752,
        _each(0, 2, 3),
        "Redis OSS 0.016 and 0.219 in public price tables of 2026, less 20 %",
    ),
    Row("RDS: db.t4g.micro", 0.016, _each(1, 0, 0), "infratally.com, 2026"),
    Row(
        "RDS: db.m7g.large in two zones",
        0.336,
        _each(0, 1, 1),
        "public price tables, 2026: twice 0.168",
    ),
    Row(
        "RDS, GB of disk (two zones count twice)",
        0.115,
        _month(20, 200, 400),
        "usage.ai, June 2026",
    ),
    Row(
        "Redshift Serverless, RPU-hours",
        0.375,
        {"dev": (8, 15), "prod": (8, 60), "large": (32, 120)},
        "AWS's blog: from $1.50 an hour at 4 RPU",
    ),
    Row("Redshift, GB stored", 0.024, _month(5, 100, 2000), "not seen again"),
    Row("S3, GB", 0.023, _month(20, 1000, 20000), "not seen again"),
    Row("logs, GB taken in", 0.50, _month(5, 50, 200), "not seen again"),
    Row("secrets", 0.40, _month(14, 14, 14), "public price tables, 2026"),
    Row("keys", 1.00, _month(2, 2, 2), "not seen again"),
    Row("alarms", 0.10, _month(8, 9, 13), "not seen again"),
)


def table() -> str:
    """Markdown: a row for each part, the sum at its end."""
    lines = [
        f"| part | {' | '.join(SIZES)} | price from |",
        "|---|" + "--:|" * len(SIZES) + "---|",
    ]
    for row in ROWS:
        cells = " | ".join(row.cell(size) for size in SIZES)
        lines.append(f"| {row.part} | {cells} | {row.source} |")
    sums = " | ".join(f"**{total(size):,.0f}**" for size in SIZES)
    return "\n".join([*lines, f"| **a month** | {sums} | |"])


def total(size: str) -> float:
    """US dollars a month of all parts."""
    return sum(row.cost(size) for row in ROWS)


def written(document: str) -> str:
    """The document with the table between its marks as it is now."""
    before, rest = document.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    if "--print" in sys.argv:
        print(table())
    else:
        DOCUMENT.write_text(written(DOCUMENT.read_text()))
