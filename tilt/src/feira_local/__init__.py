"""Feira on a laptop: the local stack, the shop simulator and the `feira` command."""
