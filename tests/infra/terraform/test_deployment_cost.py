"""The table of costs: as the program has it, of what the environments' files name."""

from __future__ import annotations

import importlib.util
import re
import sys
from types import ModuleType

import pytest

from terraform_tree import TREE, node_gigabytes, node_groups, variables


@pytest.fixture(scope="module")
def cost() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cost", TREE / "cost.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its own module up.
    sys.modules["cost"] = module
    spec.loader.exec_module(module)
    return module


def test_the_document_has_the_table_as_it_is(cost: ModuleType) -> None:
    text = cost.DOCUMENT.read_text()
    assert cost.written(text) == text, "docs/deploy.md: run python infra/terraform/cost.py"


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_each_type_that_an_environment_names_first_has_a_price(
    cost: ModuleType, environment: str
) -> None:
    text = variables(environment)
    types = re.findall(r'(?:type|class)\s*=\s*"([^"]+)"|instance_types\s*=\s*\["([^"]+)"', text)
    named = {first or second for first, second in types}
    assert len(named) == 5
    priced = " ".join(row.part for row in cost.ROWS if environment in row.units)
    assert not {name for name in named if name not in priced}


def test_each_cell_is_its_own_product(cost: ModuleType) -> None:
    for row in cost.ROWS:
        for size in cost.SIZES:
            if (cell := row.cell(size)) == "–":
                continue
            factors, result = cell.replace(",", "").split(" = ")
            product = 1.0
            for factor in factors.split(" × "):
                product *= float(factor)
            assert f"{product:.2f}" == result, row.part


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_every_node_that_always_runs_is_paid_for_all_month_and_so_is_its_disk(
    cost: ModuleType, environment: str
) -> None:
    groups = node_groups(environment).values()
    assert len(groups) == 2
    rows = {row.part: row.units.get(environment) for row in cost.ROWS}
    for instance_type, least in groups:
        if least:
            assert rows[f"nodes: {instance_type}"] == (least, cost.HOURS)
    always = sum(least for _, least in groups)
    assert rows["nodes' disks, GB"] == (always * node_gigabytes("disk"),)


def test_what_an_environment_costs_sends_no_mail_of_its_budget(cost: ModuleType) -> None:
    watch = (TREE / "modules" / "watch" / "main.tf").read_text()
    mail_at = min(map(int, re.findall(r"^\s+threshold\s+= (\d+)\n\s+threshold_type", watch, re.M)))
    for environment in ("dev", "prod"):
        budget = re.search(r"^budget\s*=\s*(\d+)", variables(environment), re.M)
        assert budget and cost.total(environment) < int(budget[1]) * mail_at / 100
