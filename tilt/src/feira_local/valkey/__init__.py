"""Valkey on a laptop, and the API that reads recommendations from it."""
