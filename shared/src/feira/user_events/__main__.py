"""``python -m feira.user_events`` writes the contract's Avro schema beside the contract, where it is a new one."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress

from feira.core.errors import PermanentError
from feira.user_events.codec import SchemaError, new_schema, schema_file


def main() -> str:
    """Writes the file, whole or not at all; returns what was done.

    :raises SchemaError: where it cannot be written, or another schema is missing or damaged
    """
    new = new_schema()
    if new is None:
        return "The contract's schema is the newest of those beside it."
    schema_id, schema = new
    path = schema_file(schema_id)
    making = path.with_name(f"{path.name}.new")
    try:
        making.write_text(json.dumps(json.loads(schema), indent=2) + "\n")
        os.replace(making, path)
    except OSError as error:
        with suppress(OSError):
            making.unlink()
        raise SchemaError(
            f"{path} was not written, and nothing is changed: {error}. Run this again once it can be."
        ) from error
    return f"Wrote {path}. Commit it: it stays as it is from the first message on that is written with it."


if __name__ == "__main__":
    try:
        print(main())
    except PermanentError as error:
        sys.exit(str(error))
