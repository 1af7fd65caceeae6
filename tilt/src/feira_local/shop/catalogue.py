"""What the generated shop sells, where and in which currency: products, countries, price texts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Texts = npt.NDArray[np.object_]
Numbers = npt.NDArray[np.int64]

PRODUCT_COUNT = 4000

# Currency, and what one pound's worth of goods costs in it; yen have no cents.
CURRENCIES: tuple[tuple[str, float], ...] = (
    ("GBP", 1.0),
    ("EUR", 1.17),
    ("USD", 1.56),
    ("BRL", 2.7),
    ("JPY", 130.0),
)

# Country, its currency, its share of the customers.
COUNTRIES: tuple[tuple[str, str, float], ...] = (
    ("United Kingdom", "GBP", 0.50),
    ("Germany", "EUR", 0.09),
    ("France", "EUR", 0.08),
    ("EIRE", "EUR", 0.05),
    ("Spain", "EUR", 0.03),
    ("Netherlands", "EUR", 0.03),
    ("Portugal", "EUR", 0.02),
    ("USA", "USD", 0.10),
    ("Brazil", "BRL", 0.06),
    ("Japan", "JPY", 0.04),
)

# Lines that are no products: code, description, price in pounds.
NON_PRODUCTS: tuple[tuple[str, str, float], ...] = (
    ("POST", "POSTAGE", 18.0),
    ("DOT", "DOTCOM POSTAGE", 24.5),
    ("C2", "CARRIAGE", 50.0),
    ("AMAZONFEE", "AMAZON FEE", 13.62),
    ("BANK CHARGES", "Bank Charges", 15.0),
    ("CRUK", "CRUK Commission", 16.13),
    ("S", "SAMPLES", 8.7),
    ("SAMPLES", "SAMPLES", 3.2),
    ("M", "Manual", 4.25),
    ("m", "Manual", 2.55),
    ("D", "Discount", 9.9),
    ("B", "Adjust bad debt", 11.5),
    ("gift_0001_20", "Dotcomgiftshop Gift Voucher £20.00", 16.67),
)

COLOURS = ("RED", "BLUE", "PINK", "IVORY", "GREEN", "WHITE", "BLACK", "SILVER", "VINTAGE", "ROYAL")
PATTERNS = ("RETROSPOT", "HEART", "STAR", "PAISLEY", "SKULL", "DAISY", "GINGHAM", "OWL", "ROSE")
THINGS = (
    "MUG", "LUNCH BAG", "T-LIGHT HOLDER", "CAKE STAND", "BUNTING", "ALARM CLOCK", "DOORMAT",
    "TEA TOWEL", "COAT RACK", "HOT WATER BOTTLE", "PICTURE FRAME", "JAM JAR", "BIRD ORNAMENT",
    "STORAGE TIN", "GLASS VASE", "NOTEBOOK", "CHALK BOARD", "PARASOL", "SPOON SET",
)  # fmt: skip

# Rows of `Catalogue.prices`.
FULL_PRICE, REDUCED_PRICE, NO_PRICE = 0, 1, 2


@dataclass(frozen=True)
class Catalogue:
    """Texts by item number. Items below ``product_count`` are products, the rest are not.

    ``things`` has each product's place in THINGS, with which its description ends.
    ``prices[level, currency, item]`` is a decimal text; the levels are full, ten per cent
    reduced, and zero.
    """

    product_count: int
    skus: Texts
    descriptions: Texts
    things: Numbers
    prices: Texts
    countries: Texts
    country_currency: Numbers
    country_shares: npt.NDArray[np.float64]
    currencies: Texts


@lru_cache(maxsize=4)
def make_catalogue(seed: int) -> Catalogue:
    """The catalogue of a seed: always the same for the same one."""
    draw = np.random.Generator(np.random.PCG64([seed, 0]))
    numbers = 20_000 + np.argsort(draw.random(70_000))[:PRODUCT_COUNT]
    letters = np.where(draw.random(PRODUCT_COUNT) < 0.25, draw.random(PRODUCT_COUNT) * 26, -1)
    words = (
        draw.random((3, PRODUCT_COUNT)) * [[len(COLOURS)], [len(PATTERNS)], [len(THINGS)]]
    ).astype(int)
    pounds = 0.29 * np.exp(3.7 * draw.random(PRODUCT_COUNT))

    skus = [
        f"{number}{chr(65 + int(letter)) if letter >= 0 else ''}"
        for number, letter in zip(numbers, letters, strict=True)
    ]
    # A few gift items carry the code of their range instead of a number.
    for nth, item in enumerate(range(40, PRODUCT_COUNT, PRODUCT_COUNT // 8), start=1):
        skus[item] = f"DCGS{nth:04d}"
    descriptions = [f"{COLOURS[c]} {PATTERNS[p]} {THINGS[t]}" for c, p, t in words.T]

    skus += [code for code, _, _ in NON_PRODUCTS]
    descriptions += [text for _, text, _ in NON_PRODUCTS]
    pounds = np.append(pounds, [price for _, _, price in NON_PRODUCTS])
    names = [name for name, _ in CURRENCIES]
    return Catalogue(
        product_count=PRODUCT_COUNT,
        skus=_texts(skus),
        descriptions=_texts(descriptions),
        things=words[2],
        prices=_price_texts(pounds),
        countries=_texts([name for name, _, _ in COUNTRIES]),
        country_currency=np.array([names.index(c) for _, c, _ in COUNTRIES]),
        country_shares=np.cumsum([share for _, _, share in COUNTRIES])[:-1],
        currencies=_texts(names),
    )


def _price_texts(pounds: npt.NDArray[np.float64]) -> Texts:
    texts = np.empty((3, len(CURRENCIES), len(pounds)), dtype=object)
    for row, (currency, factor) in enumerate(CURRENCIES):
        for level, share in ((FULL_PRICE, 1.0), (REDUCED_PRICE, 0.9), (NO_PRICE, 0.0)):
            texts[level, row] = [_price_text(currency, p * factor * share) for p in pounds]
    return texts


def _price_text(currency: str, price: float) -> str:
    return f"{price:.0f}" if currency == "JPY" else f"{price:.2f}"


def _texts(values: list[Any]) -> Texts:
    texts = np.empty(len(values), dtype=object)
    texts[:] = values
    return texts
