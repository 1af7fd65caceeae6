"""What answers or does not: an HTTP address that is asked once a poll."""

from __future__ import annotations

from dataclasses import dataclass

import requests

from feira.monitoring.figures import Figures


@dataclass
class Endpoint:
    """An address that answers with one of these statuses when what is behind it works."""

    name: str
    url: str
    statuses: tuple[int, ...] = (200,)
    seconds: float = 5

    def collect(self, figures: Figures) -> None:
        """Raises requests.RequestException where it does not answer, or with another status."""
        with requests.Session() as session:
            session.trust_env = False
            status = session.get(self.url, timeout=self.seconds).status_code
        if status not in self.statuses:
            expected = " or ".join(map(str, self.statuses))
            raise requests.HTTPError(f"{self.url} answered {status} and not {expected}")
