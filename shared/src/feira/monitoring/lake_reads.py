"""The lake's small files for who looks at them once a minute: requests that botocore signs. The client of S3
and the filesystem over it hold 40 MiB, most of it the description of all that S3 can do."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

import requests
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from feira.core.lake import lake_files
from feira.core.settings import LakeSettings

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


def lake_reads(settings: LakeSettings, patience: float) -> AbstractFileSystem | SignedReads:
    """The lake with ``ls`` and ``cat_file`` as fsspec has them, which raise OSError, or what botocore raises, where
    it does not answer within ``patience`` seconds.

    A store that is named with its key is read by signed requests; S3 on AWS, whose address and key are looked
    up where AWS's tools do, and a folder, as ``lake_files`` reads them.
    """
    if settings.endpoint and settings.access_key and settings.secret_key:
        return SignedReads(settings, patience)
    return lake_files(settings, patience)


class _Signature(requests.auth.AuthBase):
    def __init__(self, settings: LakeSettings) -> None:
        key = ReadOnlyCredentials(settings.access_key, settings.secret_key, settings.session_token)
        self.signer = S3SigV4Auth(key, "s3", settings.region)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        signed = AWSRequest(request.method, request.url)
        self.signer.add_auth(signed)
        request.headers.update(signed.headers.items())
        return request


class SignedReads:
    """The lake of an endpoint with a key, addressed by paths; URIs are as ``s3://bucket/folder/name``.

    It is asked by the environment's proxy where botocore would: by ``HTTP_PROXY`` unless ``NO_PROXY`` names
    its host. What runs in a stack has loopback named there.
    """

    def __init__(self, settings: LakeSettings, patience: float) -> None:
        assert settings.endpoint is not None
        self.endpoint, self.patience = settings.endpoint.rstrip("/"), patience
        self.session = requests.Session()
        self.session.auth = _Signature(settings)
        # As the clients of AWS read it; a session's own is overruled by the environment.
        self.verify = settings.verify
        if self.verify is None:
            self.verify = os.environ.get("AWS_CA_BUNDLE") or True

    def invalidate_cache(self) -> None:
        """Nothing: no listing is kept."""

    def cat_file(self, uri: str) -> bytes:
        """A file's content; raises FileNotFoundError where there is none, OSError for any other answer."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self._get(f"{bucket}/{quote(key, safe='/~')}", {}, uri)

    def ls(self, uri: str, detail: bool = False) -> list[str]:
        """The paths, ``bucket/folder/name``, of what a folder holds, in the store's order; raises
        FileNotFoundError for one that holds nothing, OSError for any other answer."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        asked = {"list-type": "2", "delimiter": "/", "prefix": f"{key.rstrip('/')}/"}
        found: list[str] = []
        while True:
            try:
                page = ElementTree.fromstring(self._get(bucket, asked, uri))
            except ElementTree.ParseError as error:
                raise OSError(
                    f"{uri}: {self.endpoint} answered what is no list: {error}"
                ) from error
            for each in ("{*}CommonPrefixes/{*}Prefix", "{*}Contents/{*}Key"):
                found += [f"{bucket}/{name.text}".rstrip("/") for name in page.iterfind(each)]
            following = page.findtext("{*}NextContinuationToken")
            if not following:
                break
            asked["continuation-token"] = following
        if not found:
            raise FileNotFoundError(uri)
        return found

    def _get(self, path: str, query: Mapping[str, str], uri: str) -> bytes:
        # In the one spelling that is signed: a blank is %20.
        asked = urlencode(query, quote_via=quote, safe="~")
        answer = self.session.get(
            f"{self.endpoint}/{path}{'?' if asked else ''}{asked}",
            timeout=self.patience,
            verify=self.verify,
            allow_redirects=False,
        )
        if answer.status_code == 404:
            raise FileNotFoundError(uri)
        if answer.status_code != 200:
            code = re.search(r"<Code>(\w+)</Code>", answer.text)
            raise OSError(
                f"{uri}: {self.endpoint} answered {answer.status_code}{f' {code[1]}' if code else ''}"
            )
        return answer.content
