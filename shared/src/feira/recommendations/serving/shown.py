"""What makes a shown list one that can be judged afterwards: its user's arm, and places swapped at random."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from random import Random
from typing import Final

from feira.recommendations.serving.served import Offer

ARMS: Final = ("a", "b")


def arm_of(user: str) -> str:
    """The arm of an experiment that a user is in, the same ever after: half of all users each."""
    return ARMS[blake2b(user.encode(), digest_size=1, person=b"feira.arm").digest()[0] % len(ARMS)]


def swapped(offers: Sequence[Offer], share: float, draws: Random) -> list[tuple[Offer, float]]:
    """The offers in the order in which they are shown, each with the probability of its place.

    Of L places the stated share shows another offer of the list than the ranking's: places are paired at
    random, and the two of a pair swap with probability share × L / (2 × pairs). So an offer is at its own
    place with probability 1 - share, and at any other with share / (L - 1).
    """
    count = len(offers)
    if count < 2:
        return [(offer, 1.0) for offer in offers]
    pairs = count // 2
    chance = share * count / (2 * pairs)
    places = list(range(count))
    if swaps := sum(draws.random() < chance for _ in range(pairs)):
        chosen = draws.sample(places, 2 * swaps)
        for one, other in zip(chosen[::2], chosen[1::2], strict=True):
            places[one], places[other] = other, one
    moved = share / (count - 1)
    return [
        (offers[rank], 1 - share if rank == place else moved) for place, rank in enumerate(places)
    ]
