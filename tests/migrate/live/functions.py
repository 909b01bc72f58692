"""What both versions compute alike, under one name."""

from __future__ import annotations

from typing import Any


def total(item: Any) -> int:
    """Return what an item costs."""
    return int(item.price * item.qty)
