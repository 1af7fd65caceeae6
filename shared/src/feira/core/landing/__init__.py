"""Landings: one day's pages as the source served them, written once, with a manifest."""
