"""Notifiers: how people hear of what happens to tasks."""
