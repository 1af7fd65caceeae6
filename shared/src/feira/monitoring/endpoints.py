"""What answers or does not: an HTTP address that is asked once a poll."""

from __future__ import annotations

from dataclasses import dataclass

import requests

from feira.monitoring.figures import Figures


@dataclass
class Endpoint:
    """An address that answers 200 when what is behind it works."""

    name: str
    url: str
    seconds: float = 5

    def collect(self, figures: Figures) -> None:
        """Raises requests.RequestException where it does not answer, or with another status."""
        with requests.Session() as session:
            session.trust_env = False
            session.get(self.url, timeout=self.seconds).raise_for_status()
