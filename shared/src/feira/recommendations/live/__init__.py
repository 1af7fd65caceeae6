"""How the lists that were shown did, and what the same impressions say of a list that was not shown."""
