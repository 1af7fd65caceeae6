"""Kafka on a laptop: one broker, which is its own controller."""
