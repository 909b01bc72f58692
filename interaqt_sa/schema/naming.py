"""Physical names of tables, columns, indexes and constraints."""

from __future__ import annotations

import hashlib
import re

#: PostgreSQL silently truncates longer identifiers.
MAX_IDENTIFIER_BYTES = 63

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake_case(name: str) -> str:
    """Return ``name`` in snake case: ``OrderItem`` becomes ``order_item``."""
    return _HUMP.sub("_", name).lower()


def fit_identifier(name: str) -> str:
    """Return ``name``, shortened to 63 bytes if it is longer.

    The end is replaced by a hash of the whole name, so that long names do not collide and do not depend on the order of
    declarations.
    """
    raw = name.encode(errors="surrogatepass")  # such names are refused, after their tables are planned
    if len(raw) <= MAX_IDENTIFIER_BYTES:
        return name
    digest = hashlib.sha256(raw).hexdigest()[:8]
    head = raw[: MAX_IDENTIFIER_BYTES - len(digest) - 1].decode(errors="ignore")
    return f"{head}_{digest}"
