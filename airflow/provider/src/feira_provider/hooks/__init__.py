"""Hooks: APIs, warehouses and mail by their connections."""
