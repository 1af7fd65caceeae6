"""Triggers: what the triggerer watches while a sensor takes no worker."""
