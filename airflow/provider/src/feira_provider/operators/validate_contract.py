"""Validates a dataset on S3 against its Open Data Contract; keeps the rows that break it."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException
from fsspec.utils import glob_translate

from feira.core.contracts.document import ContractError
from feira.core.landing.manifest import (
    FileManifest,
    ListedFile,
    ManifestError,
    passes_gate,
    read_manifest,
)
from feira.core.settings import SettingsError
from feira_provider.contracts.check import CheckResult, check
from feira_provider.contracts.rules import read_rules
from feira_provider.contracts.source import FORMATS
from feira_provider.contracts.terms import RuleSet
from feira_provider.datasets.files import (
    DatasetError,
    bucket_and_key,
    manifest_fields,
    s3_files,
    s3_folder,
    s3_hook,
    usable_s3,
)

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from fsspec import AbstractFileSystem

# By name what a listing says of a file or folder.
Facts = Mapping[str, Mapping[str, Any]]

_SUFFIXES = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
}


class ValidateContractOperator(BaseOperator):
    """Checks every row of a Parquet, CSV or NDJSON dataset against an ODCS v3.1 contract.

    A row that breaks a rule is invalid; more than ``max_invalid_percent`` of them, a column that no
    row has, or a metric or query beyond its own limit fail the task, with each rule and its count.
    Invalid rows are written to ``quarantine.parquet`` beside ``report.json``, before the task fails.

    :param contract: the ODCS file: a path, or an ``s3://`` URI (templated)
    :param dataset: ``s3://`` URI of a file, of a folder (with a slash at its end), or a pattern with
        ``*`` (templated)
    :param manifest: instead of ``dataset``, the manifest that lists the files (templated)
    :param report_prefix: ``s3://bucket/folder`` for report and quarantine (templated)
    :param max_invalid_percent: invalid rows in a hundred that are put up with; by default the contract's
        own gate, or none
    :param schema_name: which schema of the contract; may be left out where there is one (templated)
    :param file_format: ``parquet``, ``csv`` or ``ndjson``; by default as the files are named. Names
        that end in ``.gz`` are unpacked
    :param delimiter: between the fields of a CSV line
    :param files_at: the manifest's fields that list files, or the one that does
    :param allow_not_evaluated: go on although the contract asks what this operator does not check;
        the report names it
    :param memory_limit: what may be held in memory, as in ``1GB``; the rest goes to the worker's disk
    :param aws_conn_id: an ``aws`` connection (templated)
    :return: ``report`` and ``quarantine`` (URIs; None where no row is kept), ``rows``, ``valid``,
        ``invalid``
    :raises AirflowFailException: where the dataset does not keep the contract, is not complete or not
        as the manifest states it, or one of the two cannot be read, and where boto3 cannot use the connection or a
        bucket's name: another try would find the same
    """

    template_fields: Sequence[str] = (
        "contract",
        "dataset",
        "manifest",
        "report_prefix",
        "schema_name",
        "aws_conn_id",
    )
    ui_color = "#dbe9f4"

    def __init__(
        self,
        *,
        contract: str,
        report_prefix: str,
        dataset: str | None = None,
        manifest: str | None = None,
        max_invalid_percent: float | None = None,
        schema_name: str | None = None,
        file_format: str | None = None,
        delimiter: str = ",",
        files_at: Sequence[str] = ("entries",),
        allow_not_evaluated: bool = False,
        memory_limit: str = "1GB",
        aws_conn_id: str = "aws_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (dataset is None) == (manifest is None):
            raise ValueError(f"{self.task_id}: name either dataset or manifest.")
        if max_invalid_percent is not None and not 0 <= max_invalid_percent <= 100:
            raise ValueError(
                f"{self.task_id}: max_invalid_percent is {max_invalid_percent}; it is 0 to 100."
            )
        if len(delimiter) != 1:
            raise ValueError(f"{self.task_id}: delimiter is {delimiter!r}; it is one character.")
        if file_format is not None and file_format not in FORMATS:
            raise ValueError(
                f"{self.task_id}: file_format is {file_format!r}; it may be {', '.join(FORMATS)}."
            )
        self.contract = contract
        self.dataset = dataset
        self.manifest = manifest
        self.report_prefix = report_prefix
        self.max_invalid_percent = max_invalid_percent
        self.schema_name = schema_name
        self.file_format = file_format
        self.delimiter = delimiter
        self.files_at = manifest_fields(files_at)
        self.allow_not_evaluated = allow_not_evaluated
        self.memory_limit = memory_limit
        self.aws_conn_id = aws_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Validates, writes report and quarantine, and then passes or fails."""
        try:
            prefix = s3_folder(self.report_prefix, f"{self.task_id}: report_prefix")
            with usable_s3(self.task_id, self.aws_conn_id):
                return self._validate(prefix)
        except (ContractError, DatasetError, ManifestError, SettingsError) as error:
            raise AirflowFailException(str(error)) from error

    def _validate(self, prefix: str) -> dict[str, Any]:
        files = s3_files(self.aws_conn_id)
        s3 = s3_hook(self.aws_conn_id)
        rules = self._rules(files)
        manifest = self._manifest(files)
        dataset = list(manifest.files) if manifest else self._files(files)
        urls = [file.url for file in dataset]
        file_format = self.file_format or _format(urls)
        with tempfile.TemporaryDirectory(prefix="contract-") as folder:
            quarantine = Path(folder) / "quarantine.parquet"
            found = check(
                rules,
                dataset,
                file_format,
                files,
                quarantine,
                scratch=Path(folder),
                manifest=manifest,
                delimiter=self.delimiter,
                memory_limit=self.memory_limit,
            )
            kept = self._keep(s3, quarantine, prefix)
        limit = self.max_invalid_percent
        limit = rules.max_invalid_percent if limit is None else limit
        passed = not found.failures and passes_gate(found.rows, found.invalid, limit)
        uri = f"{prefix}/report.json"
        document = {
            "contract": rules.contract,
            "version": rules.version,
            "schema": rules.schema,
            "dataset": self.dataset or self.manifest,
            "format": file_format,
            "files": list(urls),
            "passed": passed,
            "max_invalid_percent": limit,
            **found.as_dict(),
            "not_evaluated": list(rules.not_evaluated),
            "quarantine": kept,
        }
        bucket, key = bucket_and_key(uri)
        body = json.dumps(document, indent=2, ensure_ascii=False).encode()
        s3.load_bytes(body, key, bucket, replace=True)
        if not passed:
            raise AirflowFailException(self._message(found, uri, kept, limit))
        self.log.info("%s: %s rows, %s invalid", uri, found.rows, found.invalid)
        return {
            "report": uri,
            "quarantine": kept,
            "rows": found.rows,
            "valid": found.rows - found.invalid,
            "invalid": found.invalid,
        }

    def _rules(self, files: AbstractFileSystem) -> RuleSet:
        try:
            if self.contract.startswith("s3://"):
                text = files.cat_file(self.contract).decode()
            else:
                text = Path(self.contract).read_text(encoding="utf-8")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise ContractError(f"There is no contract at {self.contract}.") from error
        except UnicodeDecodeError as error:
            raise ContractError(
                f"{self.contract} is no UTF-8 at byte {error.start}; a contract is YAML in UTF-8. Save it as that."
            ) from error
        rules = read_rules(text, self.contract, self.schema_name)
        if rules.not_evaluated and not self.allow_not_evaluated:
            raise ContractError(
                f"{self.contract} asks what this operator does not check: "
                f"{'; '.join(rules.not_evaluated)}. Set allow_not_evaluated to go on without."
            )
        return rules

    def _manifest(self, files: AbstractFileSystem) -> FileManifest | None:
        if self.manifest is None:
            return None
        try:
            body = files.cat_file(self.manifest)
        except FileNotFoundError as error:
            raise DatasetError(f"There is no manifest at {self.manifest}.") from error
        return read_manifest(body, self.manifest, self.files_at)

    def _files(self, files: AbstractFileSystem) -> list[ListedFile]:
        dataset = self.dataset or ""
        if dataset.endswith("/"):
            names = self._data(files.find(dataset, detail=True))
        elif "*" in dataset:
            named, within = _of_pattern(files, dataset.partition("://")[2])
            names = self._data(named)
            # Some writers give a folder the name of a file, and write parts into it.
            if left := self._data(within) - names:
                raise DatasetError(
                    f"{dataset} names the folder s3://{within[min(left)]['folder']}, and not what is in it, such as "
                    f"s3://{min(left)}. End the dataset with / to read all below a folder, or with a pattern of "
                    "its files."
                )
        else:
            names = self._data({dataset: {}} if files.exists(dataset) else {})
        if not names:
            raise DatasetError(f"There is no file at {dataset}; has its producer run?")
        return [ListedFile(f"s3://{name}") for name in sorted(names)]

    def _data(self, found: Facts) -> set[str]:
        """Those of the names that are of files with data, without their scheme.

        Names that begin with _ or . are markers of writers, and so is all in a folder of such a name: what a killed
        job has left in _temporary was never committed. Those that the dataset itself names are meant.
        """
        dataset = self.dataset or ""
        folder = dataset.partition("://")[2].partition("*")[0].rpartition("/")[0]
        names = {
            name.removeprefix("s3://")
            for name, facts in found.items()
            if not _is_folder(facts) and not _is_marker(name, facts)
        }
        return {
            name
            for name in names
            if not any(part.startswith(("_", ".")) for part in name[len(folder) + 1 :].split("/"))
        }

    def _keep(self, s3: S3Hook, quarantine: Path, prefix: str) -> str | None:
        """Uploads the quarantine; takes away that of an earlier try where there is none now."""
        uri = f"{prefix}/quarantine.parquet"
        bucket, key = bucket_and_key(uri)
        if quarantine.exists():
            s3.load_file(quarantine, key, bucket, replace=True)
            return uri
        s3.delete_objects(bucket, [key])
        return None

    def _message(self, found: CheckResult, uri: str, kept: str | None, limit: float) -> str:
        parts = []
        if not passes_gate(found.rows, found.invalid, limit):
            parts.append(
                f"{found.invalid_percent:.2f} % of {found.rows:,} rows invalid "
                f"(limit {limit:g} %): {found.broken()}"
            )
        parts += [f"{each.rule} is {each.count:g}, must be {each.limit}" for each in found.failures]
        rows = f" The rows are in {kept}," if kept else ""
        return f"{self.dataset or self.manifest}: {'; '.join(parts)}.{rows} the report is {uri}."


def _of_pattern(files: AbstractFileSystem, pattern: str) -> tuple[Facts, Facts]:
    """What a pattern names, and what is in the folders that it names, each with its ``folder``."""
    literal = re.split(r"[*?[]", pattern, maxsplit=1)[0]
    try:
        matches = re.compile(glob_translate(pattern)).match
    except ValueError as error:
        raise DatasetError(f"s3://{pattern} is no pattern: {error}.") from None
    if "**" in pattern:
        # It looks into every folder itself: one listing says both, and no file can come between two.
        below = _below(files, literal)
        found = {name: facts for name, facts in below.items() if matches(name)}
        folders = {each for name in below for each in _folders_of(name) if matches(each)}
    else:
        found = files.glob(pattern, detail=True)
        folders = {name for name, facts in found.items() if _is_folder(facts)}
        below = _below(files, literal) if folders else {}
    within = {
        name: {**facts, "folder": folder}
        for name, facts in below.items()
        if (folder := next((each for each in _folders_of(name) if each in folders), None))
    }
    return found, within


def _below(files: AbstractFileSystem, prefix: str) -> Facts:
    root, _, stem = prefix.rpartition("/")
    return files.find(f"{root}/", prefix=stem, detail=True)  # type: ignore[no-any-return]


def _folders_of(name: str) -> list[str]:
    """The folders that a file is in, the outermost first."""
    return list(accumulate(name.split("/")[:-1], "{}/{}".format))


def _is_folder(facts: Mapping[str, Any]) -> bool:
    return bool(facts.get("type") == "directory")


def _is_marker(name: str, facts: Mapping[str, Any]) -> bool:
    """Whether it is the empty object by which consoles and Hadoop mark a folder."""
    return facts.get("size") == 0 and name.endswith(("/", "_$folder$"))


def _format(urls: Sequence[str]) -> str:
    """The format that the files' names say, the same for all."""
    found = {Path(url.removesuffix(".gz")).suffix: url for url in urls}
    formats = {_SUFFIXES.get(suffix) for suffix in found}
    if not urls:
        return "parquet"
    if len(formats) != 1 or None in formats:
        named = ", ".join(sorted(found.values())[:3])
        raise DatasetError(
            f"The names of the files do not say one format ({named}); state file_format."
        )
    return str(formats.pop())
