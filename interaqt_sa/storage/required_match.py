"""The match of a write, which has to say which records are meant."""

from __future__ import annotations

from typing import Any

from ..errors import DefinitionFault
from ..schema.filtered_lookup import is_missing


def require_match(record: str, match: Any) -> None:
    """Check that there is a match, so that a missing value cannot select all records.

    :raises DefinitionFault: if it is ``None`` or an empty mapping.
    """
    if is_missing(match):
        raise DefinitionFault(
            f"{record}: say which records are meant; for all of them give lambda cls: sqlalchemy.true()", record=record
        )
