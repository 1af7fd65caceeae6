"""Watching a laptop's stack: the exporter of figures, and what of Prometheus is found on the machine."""
