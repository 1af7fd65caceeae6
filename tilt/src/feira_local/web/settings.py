"""What a simulated day of the web shop is like: how much, with which structure, and how disordered."""

from __future__ import annotations

from dataclasses import dataclass

LIST_LENGTH = 10


class WebError(ValueError):
    """A setting is none; the message names it, its value and its limits."""


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
    """
    :param events: about so many a day, over the week
    :param users: how many return; beside them each day has visitors who come once
    :param visitors: share of the sessions that are such visitors'
    :param clusters: groups of products that are chosen together
    :param cohesion: of choices that are no repetitions, the share that stays in the session's group
    :param repeats: share of choices that are the user's own staples
    :param drift_days: in about so many days the popular products of a group are others
    :param swapped: share of the positions of a shown list whose product was swapped for another's
    """

    seed: int = 7
    events: int = 100_000
    users: int = 10_000
    visitors: float = 0.1
    clusters: int = 40
    cohesion: float = 0.8
    repeats: float = 0.3
    drift_days: int = 90
    swapped: float = 0.02
    disorder: Disorder = Disorder()

    def __post_init__(self) -> None:
        for name, low, high in (
            ("seed", 0, 2**31),
            ("events", 1, 100_000_000),
            ("users", 1, 10_000_000),
            ("clusters", 1, 400),
            ("drift_days", 1, 100_000),
            ("visitors", 0, 1),
            ("cohesion", 0, 1),
            ("repeats", 0, 1),
            # One pair of a list is swapped: more positions than all cannot be.
            ("swapped", 0, 2 / LIST_LENGTH),
        ):
            _require(name, getattr(self, name), low, high)
        for name, share in vars(self.disorder).items():
            _require(name, share, 0, 0.5)


def _require(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise WebError(f"{name} is {value}; it is {low:g} to {high:,.12g}.")
