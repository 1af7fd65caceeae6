"""Who may write the keys of a version in Valkey: one publisher at a time, and one server all the while."""

from __future__ import annotations

import secrets
from typing import Any

import valkey
from valkey.exceptions import ResponseError

from feira.recommendations.serving.layout import VERSIONS, claim_key

# Keys in one command: it is a millisecond or two of the server, in which it answers nobody else.
BATCH = 1_000
# Of what is removed the claim begins so: who publishes need not wait for it, nor who removes it too.
REMOVING = b"removing "
# A publisher that has written nothing for so long is taken for dead by others.
_SECONDS = 300
Command = tuple[Any, ...]


class ClaimLostError(RuntimeError):
    """Another publisher has taken the version over, or Valkey was emptied or started anew meanwhile."""


class Claim:
    """The right to write a version's keys, or to remove them; whoever claims last has it.

    It is watched from one transaction to the next, on a connection of its own: each is one round trip, at whose end
    the claim is watched and looked at for the next.
    """

    def __init__(self, client: valkey.Valkey, version: str, mark: bytes = b"") -> None:
        self._client, self.version = client, version
        self._key = claim_key(version)
        self._token = mark + secrets.token_hex(16).encode()
        self._held = True
        self._connection = client.connection_pool.get_connection("WATCH")
        try:
            taken = ("SET", self._key, self._token, "EX", _SECONDS)
            self.is_first = bool(self._done(("SADD", VERSIONS, version), taken)[0])
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *of: object) -> None:
        # It still watches.
        self._connection.disconnect()
        self._client.connection_pool.release(self._connection)

    def transaction(self, *commands: Command) -> list[Any]:
        """The answers to commands that are done whole, and only under the claim.

        :raises ClaimLostError: where they were not done
        """
        return self._done(("EXPIRE", self._key, _SECONDS), *commands)[1:]

    def unlink_all(self) -> None:
        """Removes every key of the version but the claim, some at a time."""
        keys: list[bytes] = []
        own = self._key.encode()
        for key in self._client.scan_iter(match=f"reco:{self.version}:*", count=BATCH):
            if key != own:
                keys.append(key)
            if len(keys) >= BATCH:
                self.transaction(("UNLINK", *keys))
                keys.clear()
        if keys:
            self.transaction(("UNLINK", *keys))

    def _done(self, *commands: Command) -> list[Any]:
        answers = None
        if self._held:
            # A connection that has failed is made anew by itself. Then it watches nothing, and a server that was
            # killed may have lost what was written.
            self._held = False
            watch = (("WATCH", self._key), ("GET", self._key))
            *_, answers, _, token = self._answers(("MULTI",), *commands, ("EXEC",), *watch)
            self._held = token == self._token
        if answers is None:
            raise ClaimLostError(
                f"{self.version}: another publisher has taken it over, or Valkey was emptied or started "
                "anew. What is served was not changed by this one."
            )
        if failed := [each for each in answers if isinstance(each, Exception)]:
            raise failed[0]
        return list(answers)

    def _answers(self, *commands: Command) -> list[Any]:
        packed = self._connection.pack_commands(commands)
        self._connection.send_packed_command(packed, check_health=False)
        answers, failed = [], []
        for _ in commands:
            try:
                answers.append(self._connection.read_response())
            except ResponseError as error:
                failed.append(error)
        if failed:
            raise failed[0]
        return answers
