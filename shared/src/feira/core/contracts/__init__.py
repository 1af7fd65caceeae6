"""Tables declared once, as Open Data Contracts, and what follows from a declaration."""

from feira.core.contracts.model import Column, Contract, ContractError, RowRule
from feira.core.contracts.registry import contract, contracts

__all__ = ["Column", "Contract", "ContractError", "RowRule", "contract", "contracts"]
