"""What a simulated day of the web shop is like: how much, with which structure, and how disordered."""

from __future__ import annotations

from dataclasses import dataclass, field

from feira_local.shop.taste import Taste, require_within

LIST_LENGTH = 10
# As the API of recommendations has it: fewer leave nothing to judge a list by, more cost the shop.
SWAPPED = (0.01, 0.05)


@dataclass(frozen=True)
class Disorder:
    """What goes wrong on the way of a message, as shares of all messages.

    :param out_of_order: sent up to ten minutes after others that happened later
    :param late: sent with the next day's
    :param duplicate: sent again within ten minutes, byte for byte
    :param redated: sent again a day later under the same event id, with the new day's time
    :param malformed: sent spoiled, and not otherwise; the kinds of ``disorder.SPOILED`` in turn
    """

    out_of_order: float = 0.02
    late: float = 0.005
    duplicate: float = 0.01
    redated: float = 0.0005
    malformed: float = 0.001


@dataclass(frozen=True)
class WebSettings:
    """Raises SourceError naming the setting that is out of its limits.

    :param taste: what its users like: that of the shop's customers
    :param events: about so many a day, over the week
    :param users: how many return; beside them each day has visitors who come once
    :param visitors: share of the sessions that are such visitors'
    :param swapped: share of the positions of a shown list whose product was swapped for another's
    """

    taste: Taste = field(default_factory=Taste)
    events: int = 100_000
    users: int = 10_000
    visitors: float = 0.1
    swapped: float = 0.02
    disorder: Disorder = Disorder()

    def __post_init__(self) -> None:
        for name, low, high in (
            ("events", 1, 100_000_000),
            ("users", 1, 10_000_000),
            ("visitors", 0, 1),
            ("swapped", *SWAPPED),
        ):
            require_within(name, getattr(self, name), low, high)
        for name, share in vars(self.disorder).items():
            require_within(name, share, 0, 0.5)
