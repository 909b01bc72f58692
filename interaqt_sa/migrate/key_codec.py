"""Primary keys as text, for the cursor of a back-fill."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Column

Key = tuple[Any, ...]


class KeyCodec:
    """Conversion of primary keys to text and back.

    Keys of other types are not stored: an interrupted back-fill starts from the beginning.
    """

    _load: dict[type, Callable[[Any], Any]] = {  # noqa: RUF012  never changed
        int: int,
        str: str,
        UUID: UUID,
        Decimal: Decimal,
        datetime: datetime.fromisoformat,
        date: date.fromisoformat,
        time: time.fromisoformat,
        bytes: bytes.fromhex,
    }

    def __init__(self, columns: Sequence[Column[Any]]) -> None:
        self.columns = columns
        self._types = [_python_type(column) for column in columns]

    def dump(self, key: Key) -> str | None:
        """Return ``key`` as text; ``None`` if one of its types is not supported."""
        if any(
            type_ not in self._load or not isinstance(item, type_) for type_, item in zip(self._types, key, strict=True)
        ):
            return None
        return json.dumps([_dump(item) for item in key])

    def load(self, text: str | None) -> Key | None:
        """Return the key that :meth:`dump` has converted to ``text``."""
        if text is None:
            return None
        return tuple(self._load[type_](item) for type_, item in zip(self._types, json.loads(text), strict=True))


def _dump(item: Any) -> Any:
    if isinstance(item, (date, time)):
        return item.isoformat()
    if isinstance(item, bytes):
        return item.hex()
    return item if isinstance(item, (int, str)) else str(item)


def _python_type(column: Column[Any]) -> type:
    try:
        return column.type.python_type
    except NotImplementedError:
        return object
