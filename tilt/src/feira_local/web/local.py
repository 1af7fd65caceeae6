"""The web shop on a laptop: the topics that its events go to. `feira events produce` sends them."""

from __future__ import annotations

from feira.user_events.codec import DEAD_TOPIC, PARTITIONS, TOPIC
from feira_local.stack.local_parts import LocalPart

LOCAL = LocalPart("web", topics={TOPIC: PARTITIONS, DEAD_TOPIC: 1})
