"""Finds known secrets in bytes and files, in whatever form a program would pass them on.

Looked for are a secret as it is, escaped for JSON, quoted for a URL, in hexadecimal, and in base64 beside whatever else
was encoded with it; and any token that Airflow has signed. What is gzip is unpacked, and a mail's parts are decoded.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path
from urllib.parse import quote, quote_plus

# Shorter ones are found by chance, in base64 above all.
SHORTEST = 8
# A signed token: whoever reads it is its bearer while it is valid.
_TOKEN = re.compile(rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}")


@dataclass(frozen=True)
class Leak:
    """A secret that was found: where, which by its name, and in which form. It does not hold the secret."""

    place: str
    name: str
    form: str

    def __str__(self) -> str:
        return f"{self.place}: {self.name} {self.form}"


def forms(secret: str) -> dict[bytes, str]:
    """What a secret may look like, and how that is called.

    :raises ValueError: for one of fewer than 8 bytes, without quoting it
    """
    raw = secret.encode()
    if len(raw) < SHORTEST:
        raise ValueError(
            f"A secret of {len(raw)} bytes is found by chance; it must have {SHORTEST}."
        )
    quoted = {
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        quote_plus(secret, safe="/"),
    }
    quoted |= {re.sub("%..", lambda found: found[0].lower(), each) for each in quoted}
    found = dict.fromkeys(_in_base64(raw), "in base64")
    found |= {raw.hex().encode(): "in hexadecimal", raw.hex().upper().encode(): "in hexadecimal"}
    found |= {each.encode(): "quoted for a URL" for each in quoted}
    found |= {
        json.dumps(secret, ensure_ascii=plain)[1:-1].encode(): "in JSON" for plain in (True, False)
    }
    return found | {raw: "as it is"}


def _in_base64(raw: bytes) -> Iterator[bytes]:
    """The characters that are the secret's alone, for each place in three bytes that it may begin at."""
    for before in range(3):
        first, end = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
        for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(before) + raw)[first:end]


class SecretSearch:
    """Looks for secrets, given by name."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._needles = {
            needle: (name, form)
            for name, secret in secrets.items()
            for needle, form in forms(secret).items()
        }

    def in_bytes(self, place: str, content: bytes) -> list[Leak]:
        """The first place of each secret in each form; ``place`` is named with the line, from 1."""
        found = [
            (at, name, form)
            for needle, (name, form) in self._needles.items()
            if (at := content.find(needle)) >= 0
        ]
        if token := _TOKEN.search(content):
            found.append((token.start(), "a signed token", "as it is"))
        lines = [(content.count(b"\n", 0, at) + 1, name, form) for at, name, form in sorted(found)]
        return [Leak(f"{place}, line {line}", name, form) for line, name, form in lines]

    def in_file(self, path: Path, place: str) -> list[Leak]:
        """In the file, unpacked and decoded too. One that is gone by now has none."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return []
        found = self.in_bytes(place, content)
        for part, decoded in _decoded(path.name, content):
            found += self.in_bytes(f"{place}, {part}", decoded)
        return found

    def in_folder(self, folder: Path, but: Iterable[str] = ()) -> tuple[int, list[Leak]]:
        """How many files there are below the folder, and what was found; ``but`` are paths that are left out."""
        left_out = {folder / path for path in but}
        files = [it for it in sorted(folder.rglob("*")) if it not in left_out and _is_plain(it)]
        found = [leak for it in files for leak in self.in_file(it, str(it.relative_to(folder)))]
        return len(files), found


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _decoded(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    if content.startswith(b"\x1f\x8b"):
        # One that is still written, or cut short.
        with suppress(OSError, EOFError, zlib.error):
            yield "unpacked", gzip.decompress(content)
    if name.endswith(".eml"):
        message = message_from_bytes(content, policy=policy.default)
        for number, part in enumerate(message.walk(), 1):
            headers = "\n".join(f"{header}: {value}" for header, value in part.items())
            payload = part.get_payload(decode=True)
            body = payload if isinstance(payload, bytes) else b""
            yield f"part {number}", headers.encode(errors="replace") + b"\n" + body
