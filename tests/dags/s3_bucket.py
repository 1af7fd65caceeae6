"""A folder on S3 that a test writes to and looks into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Bucket:
    """A folder of its own in the bucket of the moto server, and a client to look into it."""

    url: str
    client: Any

    def put(self, name: str, body: bytes) -> str:
        """Writes an object; returns its URI."""
        bucket, _, prefix = self.url.removeprefix("s3://").partition("/")
        self.client.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=body)
        return f"{self.url}/{name}"

    def get(self, uri: str) -> bytes:
        """The object at a URI."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        body: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def names(self) -> list[str]:
        """The objects in the folder, sorted."""
        bucket, _, prefix = self.url.removeprefix("s3://").partition("/")
        found = self.client.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/")
        return [item["Key"].removeprefix(f"{prefix}/") for item in found.get("Contents", [])]
