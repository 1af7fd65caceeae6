"""The warehouse: its tables, the load by difference with its ledger, and the comparison with the lake."""
