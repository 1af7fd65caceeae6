"""UNLOAD as Redshift writes it: a query as a text, and options in any order."""

from __future__ import annotations

from dataclasses import dataclass, field

from redshift_local.translation.copying import Authorization, common_option
from redshift_local.translation.errors import NotImitated, RedshiftError
from redshift_local.translation.words import Words

_LATER = (
    "CLEANPATH",
    "ENCRYPTED",
    "ESCAPE",
    "EXTENSION",
    "FIXEDWIDTH",
    "JSON",
    "KMS_KEY_ID",
    "PARTITION",
    "ROWGROUPSIZE",
    "ZSTD",
    "BZIP2",
)


@dataclass(frozen=True)
class Unload:
    """An UNLOAD. ``query`` is as it was written, in Redshift's SQL; ``null`` is what stands for NULL."""

    query: str
    url: str
    credentials: tuple[str, ...] = field(repr=False)
    format: str = "TEXT"
    delimiter: str = "|"
    null: str = ""
    header: bool = False
    quotes: bool = False
    compressed: bool = False
    manifest: bool = False
    verbose: bool = False
    overwrites: bool = False
    parallel: bool = True
    region: str = ""


def read_unload(words: Words) -> Unload:
    """Raises RedshiftError for what Redshift refuses, NotImitated for an option that is not known here."""
    words.need("UNLOAD", "(")
    query = words.string()
    words.need(")", "TO")
    url = words.string()
    if not url.startswith("s3://"):
        raise RedshiftError(
            f"UNLOAD destination is not supported: {url}", hint="it is an s3:// prefix"
        )
    authorization = Authorization("UNLOAD")
    found: dict[str, object] = {}
    while words.left:
        words.take("WITH") or words.take("AS")
        option = words.word()
        if not authorization.take(words) and not _option(words, found):
            raise (
                NotImitated(f"{option} of UNLOAD")
                if option.split(" ")[0] in _LATER
                else words.refusal()
            )
    if found.get("format") == "CSV":
        found.setdefault("delimiter", ",")
    if found.get("format") == "PARQUET":
        for name, option in (
            ("delimiter", "DELIMITER"),
            ("header", "HEADER"),
            ("compressed", "GZIP"),
        ):
            if found.get(name):
                raise RedshiftError(f"{option} is not supported for UNLOAD to PARQUET")
    return Unload(query, url, authorization.credentials(), **found)  # type: ignore[arg-type]


def _option(words: Words, found: dict[str, object]) -> bool:
    if words.take("FORMAT"):
        words.take("AS")
        if words.word() in _LATER:
            raise NotImitated(f"UNLOAD as {words.word()}")
        return words.word() in ("CSV", "PARQUET") and _option(words, found)
    if words.word() in ("CSV", "PARQUET"):
        found["format"] = words.any_text().upper()
    elif words.take("MANIFEST"):
        found |= {"manifest": True, "verbose": words.take("VERBOSE")}
    elif words.take("PARALLEL"):
        found["parallel"] = words.one_of("ON", "OFF", "TRUE", "FALSE") in ("ON", "TRUE")
    elif words.take("MAXFILESIZE"):
        # One file holds all that fits in memory, which is less than the smallest greatest size.
        words.take("AS")
        words.any_text()
        words.take("MB") or words.take("GB")
    elif words.take("HEADER"):
        found["header"] = True
    elif words.take("ADDQUOTES"):
        found["quotes"] = True
    elif words.take("GZIP"):
        found["compressed"] = True
    elif words.take("ALLOWOVERWRITE"):
        found["overwrites"] = True
    else:
        return common_option(words, found)
    return True
