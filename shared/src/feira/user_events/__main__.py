"""``python -m feira.user_events`` writes the contract's Avro schema beside the contract, where it is a new one."""

from __future__ import annotations

import json
import sys

from feira.core.contracts import ContractError
from feira.user_events.codec import new_schema, schema_file


def main() -> str:
    """Writes the file; returns what was done."""
    new = new_schema()
    if new is None:
        return "The contract's schema is the newest of those beside it."
    schema_id, schema = new
    path = schema_file(schema_id)
    path.write_text(json.dumps(json.loads(schema), indent=2) + "\n")
    return f"Wrote {path}. Commit it: it stays as it is from the first message on that is written with it."


if __name__ == "__main__":
    try:
        print(main())
    except ContractError as error:
        sys.exit(str(error))
