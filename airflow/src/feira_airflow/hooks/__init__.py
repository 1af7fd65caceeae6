"""Hooks: how tasks reach the systems outside."""
