"""COPY as Redshift writes it: read word by word, since its options stand in any order and without commas."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from redshift_local.translation.errors import INVALID_PARAMETER, SYNTAX, NotImitated, RedshiftError
from redshift_local.translation.words import Words

# With these the files' own schema says what the option would.
_NOT_COLUMNAR = (
    "MAXERROR",
    "REGION",
    "DELIMITER",
    "IGNOREBLANKLINES",
    "IGNOREHEADER",
    "DATEFORMAT",
    "TIMEFORMAT",
    "ROUNDEC",
)
_IGNORED = ("COMPUPDATE", "STATUPDATE")
_LATER = (
    "ACCEPTANYDATE",
    "ACCEPTINVCHARS",
    "AVRO",
    "COMPROWS",
    "ENCODING",
    "ENCRYPTED",
    "ESCAPE",
    "EXPLICIT_IDS",
    "FIXEDWIDTH",
    "IGNOREALLERRORS",
    "LZOP",
    "MASTER_SYMMETRIC_KEY",
    "NOLOAD",
    "ORC",
    "READRATIO",
    "REMOVEQUOTES",
    "SERIALIZETOJSON",
    "SHAPEFILE",
    "SSH",
    "TRIMBLANKS",
    "ZSTD",
)


@dataclass(frozen=True)
class Copy:
    """A COPY. ``credentials`` are an access key, its secret and perhaps a token, or none of a role's.

    ``json`` is ``auto``, ``auto ignorecase`` or the URL of a file of JSONPaths; ``delimiter`` is that of
    CSV and of plain text.
    """

    table: tuple[str, ...]
    columns: tuple[str, ...]
    url: str
    credentials: tuple[str, ...] = field(repr=False)
    format: str = "TEXT"
    json: str = "auto"
    manifest: bool = False
    compression: str = ""
    delimiter: str = "|"
    quote: str = '"'
    null: str = "\\N"
    header: int = 0
    max_error: int = 0
    time: str = "auto"
    region: str = ""
    blanks_are_null: bool = False
    empty_is_null: bool = False
    truncates: bool = False
    fills: bool = False
    rounds: bool = False
    skips_blank_lines: bool = False


def read_copy(words: Words) -> Copy:
    """Raises RedshiftError for what Redshift refuses, NotImitated for an option that is not known here."""
    words.need("COPY")
    table = tuple(words.names())
    columns = tuple(words.columns())
    words.need("FROM")
    if words.word() == "STDIN":
        raise RedshiftError("COPY FROM STDIN is not supported", hint="COPY reads files on S3")
    url = words.string()
    if not url.startswith("s3://"):
        raise NotImitated(f"COPY from {url.split('://')[0]}: it reads s3://")
    authorization = Authorization("COPY")
    found: dict[str, object] = {}
    given: list[str] = []
    while words.left:
        words.take("WITH") or words.take("AS")
        option = words.word()
        given.append(option)
        if not authorization.take(words) and not _option(words, option, found):
            raise NotImitated(f"{option} of COPY") if option in _LATER else words.refusal()
    credentials = authorization.credentials()
    if found.get("format") == "PARQUET":
        for option in _NOT_COLUMNAR:
            if option in given:
                raise RedshiftError(f"{option} argument is not supported for PARQUET based COPY")
    if found.get("format") == "CSV":
        found.setdefault("delimiter", ",")
    return Copy(table, columns, url, credentials, **found)  # type: ignore[arg-type]


class Authorization:
    """Who reads or writes the files: read among the options of COPY and UNLOAD."""

    def __init__(self, statement: str) -> None:
        self._statement = statement
        self._credentials: tuple[str, ...] | None = None
        self._key: dict[str, str] = {}

    def take(self, words: Words) -> bool:
        """Reads one option when it is one of these."""
        option = words.word()
        if words.take("IAM_ROLE"):
            words.take("DEFAULT") or words.string()
            self._credentials = ()
        elif words.take("CREDENTIALS"):
            words.take("AS")
            self._credentials = _credentials(words.string())
        elif option in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
            words.need(option)
            self._key[option] = words.string()
        else:
            return False
        return True

    def credentials(self) -> tuple[str, ...]:
        """Access key, secret and token, or none of a role's. RedshiftError when nothing was said."""
        key = self._key
        if "ACCESS_KEY_ID" in key and "SECRET_ACCESS_KEY" in key:
            return (key["ACCESS_KEY_ID"], key["SECRET_ACCESS_KEY"], key.get("SESSION_TOKEN", ""))
        if self._credentials is None:
            raise RedshiftError(
                f"No credentials provided for {self._statement}",
                sqlstate=SYNTAX,
                hint="write IAM_ROLE, CREDENTIALS, or ACCESS_KEY_ID and SECRET_ACCESS_KEY",
            )
        return self._credentials


def _credentials(text: str) -> tuple[str, ...]:
    parts = dict(re.findall(r"([a-z_]+)=([^;]*)", text))
    if "aws_iam_role" in parts:
        return ()
    if "aws_access_key_id" in parts and "aws_secret_access_key" in parts:
        return (parts["aws_access_key_id"], parts["aws_secret_access_key"], parts.get("token", ""))
    raise RedshiftError(
        "Invalid credentials. Must be of the format: credentials 'aws_iam_role=...' or "
        "'aws_access_key_id=...;aws_secret_access_key=...[;token=...]'",
        sqlstate=INVALID_PARAMETER,
    )


def _option(words: Words, option: str, found: dict[str, object]) -> bool:
    """Reads one option; false when it is none that is known."""
    if words.take("FORMAT"):
        words.take("AS")
        if words.word() in _LATER:
            raise NotImitated(f"COPY of {words.word()}")
        if words.word() not in ("CSV", "PARQUET", "JSON"):
            return False
        return _option(words, words.word(), found)
    if words.take("PARQUET"):
        found["format"] = "PARQUET"
    elif words.take("CSV"):
        found["format"] = "CSV"
        if words.take("QUOTE"):
            words.take("AS")
            found["quote"] = _character(words, "QUOTE")
    elif words.take("JSON"):
        words.take("AS")
        found |= {"format": "JSON", "json": words.string() if words.is_string() else "auto"}
        if str(found["json"]).lower() in ("noshred", "auto ignorecase"):
            found["json"] = str(found["json"]).lower()
        if found["json"] == "noshred":
            raise NotImitated("COPY … JSON 'noshred'")
    elif words.take("MANIFEST"):
        found["manifest"] = True
    elif option in ("GZIP", "BZIP2"):
        words.need(option)
        found["compression"] = option
    elif words.take("IGNOREHEADER"):
        words.take("AS")
        found["header"] = words.number()
    elif words.take("MAXERROR"):
        words.take("AS")
        found["max_error"] = words.number()
    elif words.take("TIMEFORMAT"):
        words.take("AS")
        found["time"] = words.string().lower()
        if found["time"] not in ("auto", "epochsecs", "epochmillisecs", "yyyy-mm-dd hh:mi:ss"):
            raise NotImitated(f"TIMEFORMAT '{found['time']}' of COPY")
    elif words.take("DATEFORMAT"):
        words.take("AS")
        form = words.string().lower()
        if form not in ("auto", "yyyy-mm-dd"):
            raise NotImitated(f"DATEFORMAT '{form}' of COPY")
    elif option in _IGNORED:
        words.need(option)
        words.take("ON") or words.take("OFF") or words.take("TRUE") or words.take("FALSE")
        words.take("PRESET")
    elif words.take("BLANKSASNULL"):
        found["blanks_are_null"] = True
    elif words.take("EMPTYASNULL"):
        found["empty_is_null"] = True
    elif words.take("TRUNCATECOLUMNS"):
        found["truncates"] = True
    elif words.take("FILLRECORD"):
        found["fills"] = True
    elif words.take("ROUNDEC"):
        found["rounds"] = True
    elif words.take("IGNOREBLANKLINES"):
        found["skips_blank_lines"] = True
    else:
        return common_option(words, found)
    return True


def common_option(words: Words, found: dict[str, object]) -> bool:
    """Reads an option that COPY and UNLOAD have alike; false when it is none."""
    if words.take("DELIMITER"):
        words.take("AS")
        found["delimiter"] = _character(words, "DELIMITER")
    elif words.take("NULL"):
        words.take("AS")
        found["null"] = words.string()
    elif words.take("REGION"):
        words.take("AS")
        found["region"] = words.string()
    else:
        return False
    return True


def _character(words: Words, option: str) -> str:
    text = words.string().replace("\\t", "\t")
    if len(text) != 1:
        raise RedshiftError(f"{option} must be a single character", sqlstate=INVALID_PARAMETER)
    return text
