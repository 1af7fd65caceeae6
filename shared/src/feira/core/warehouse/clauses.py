"""SQL that several queries must say alike. It imports nothing, as DAG files read it when they are parsed."""

SOLD = "status IN ('completed', 'shipped')"
# The ledger's rows of a day. One landing has several where it was loaded under several contracts.
NEWEST_FIRST = "landing_version DESC, load_sequence DESC"
