"""Whether a request is signed with a key (Signature Version 4), by botocore's own way of signing it."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from redshift_local.data_api.model import ApiError

# AWS's own limit.
_OLDEST = timedelta(minutes=15)
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request, ?"
    r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})"
)


def require_signature(
    keys: Credentials, headers: Mapping[str, str], path: str, body: bytes
) -> None:
    """ApiError for a POST request that was not signed with ``keys`` in the last quarter of an hour."""
    lower = {name.lower(): value for name, value in headers.items()}
    signed = _AUTHORIZATION.fullmatch(lower.get("authorization", ""))
    if signed is None or not {"host", "x-amz-date"} <= set(signed[4].split(";")):
        raise ApiError("MissingAuthenticationTokenException", "Missing Authentication Token")
    key, region, service, names, signature = signed.groups()
    if key != keys.access_key:
        raise ApiError(
            "UnrecognizedClientException", "The security token included in the request is invalid."
        )
    stamp = lower["x-amz-date"]
    try:
        at = datetime.strptime(stamp, SIGV4_TIMESTAMP).replace(tzinfo=UTC)
    except ValueError:
        at = datetime.min.replace(tzinfo=UTC)
    if abs(datetime.now(UTC) - at) > _OLDEST:
        raise ApiError("InvalidSignatureException", f"Signature expired: {stamp}")
    request = AWSRequest(
        method="POST",
        url=f"http://{lower['host']}{path}",
        headers={name: lower.get(name, "") for name in names.split(";")},
        data=body,
    )
    request.context["timestamp"] = stamp
    signer = SigV4Auth(keys, service, region)
    wanted = signer.signature(
        signer.string_to_sign(request, signer.canonical_request(request)), request
    )
    content = hashlib.sha256(body).hexdigest()
    if (
        not hmac.compare_digest(wanted, signature)
        # The signature is of this header where there is one, and no longer of the body itself.
        or lower.get("x-amz-content-sha256", content) != content
    ):
        raise ApiError(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided.",
        )
