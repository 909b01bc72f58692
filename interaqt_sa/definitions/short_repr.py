"""Shortened representations of values for messages."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from difflib import get_close_matches

_LONGEST_NAME = 100
_REPR = reprlib.Repr()
_REPR.maxlevel = 3
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 80


def shorten(value: object) -> str:
    """Return the ``repr`` of ``value``, truncated if it is long or deep; its type's name if ``repr`` fails."""
    try:
        return _REPR.repr(value)
    except Exception:  # noqa: BLE001  such as that of an integer with more digits than Python shows
        return f"<{type(value).__name__}>"


def similar(name: object, known: Sequence[str]) -> list[str]:
    """Return the names in ``known`` that resemble ``name``, which need not be a string."""
    return get_close_matches(name[:_LONGEST_NAME], known) if isinstance(name, str) else []


def with_article(name: str) -> str:
    """Return ``name`` with its indefinite article, "a" or "an"."""
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
