"""What must be true of a day that has arrived, as checks of the ledger's partitions."""

from __future__ import annotations

from feira_provider.operators.partition_check import PartitionCheck

# Loaded, and found equal to the lake: only then is the day's event out.
ARRIVED = PartitionCheck("agreed loads", "count(agreed_snapshot_id)", at_least="1")
