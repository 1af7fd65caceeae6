"""PostgreSQL's protocol, version 3, as Redshift speaks it: a proxy that translates what passes."""
