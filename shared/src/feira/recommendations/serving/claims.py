"""Who may write the keys of a version in Valkey: one publisher at a time, and one server all the while."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import valkey
from valkey.client import Pipeline
from valkey.exceptions import WatchError

from feira.recommendations.serving.layout import VERSIONS, claim_key

# Keys in one command: it is a millisecond or two of the server, in which it answers nobody else.
BATCH = 1_000
# Of what is removed the claim begins so: who publishes need not wait for it, nor who removes it too.
REMOVING = b"removing "
# A publisher that has written nothing for so long is taken for dead by others.
_SECONDS = 300


class ClaimLostError(RuntimeError):
    """Another publisher has taken the version over, or Valkey was emptied or started anew meanwhile."""


class Claim:
    """The right to write a version's keys, or to remove them; whoever claims last has it."""

    def __init__(self, client: valkey.Valkey, version: str, mark: bytes = b"") -> None:
        self._client, self.version = client, version
        # Which server it is: what one has lost that was killed is not missed otherwise.
        self._server = _server(client)
        self._token = mark + secrets.token_hex(16).encode()
        with client.pipeline() as pipe:
            pipe.sadd(VERSIONS, version)
            pipe.set(claim_key(version), self._token, ex=_SECONDS)
            self.is_first = bool(pipe.execute()[0])

    def transaction(self, queue: Callable[[Pipeline], object]) -> list[Any]:
        """The answers to what ``queue`` puts in, which is done whole, and only under the claim.

        :raises ClaimLostError: where it was not done
        """
        key = claim_key(self.version)
        with self._client.pipeline() as pipe:
            pipe.watch(key)
            if pipe.get(key) == self._token and _server(pipe) == self._server:
                pipe.multi()
                pipe.expire(key, _SECONDS)
                queue(pipe)
                try:
                    return list(pipe.execute())[1:]
                except WatchError:
                    pass
        raise ClaimLostError(
            f"{self.version}: another publisher has taken it over, or Valkey was emptied or started anew. "
            "What is served was not changed by this one."
        )

    def unlink_all(self) -> None:
        """Removes every key of the version but the claim, some at a time."""
        keys: list[bytes] = []
        own = claim_key(self.version).encode()
        for key in self._client.scan_iter(match=f"reco:{self.version}:*", count=BATCH):
            if key != own:
                keys.append(key)
            if len(keys) >= BATCH:
                self.transaction(lambda pipe: pipe.unlink(*keys))
                keys.clear()
        if keys:
            self.transaction(lambda pipe: pipe.unlink(*keys))


def _server(client: valkey.Valkey | Pipeline) -> bytes:
    # By this name the client does not parse the forty other lines, before each command of a claim.
    found: bytes = client.execute_command("INFO server")
    return found[found.index(b"run_id:") :].split()[0]
