"""Numbers of behaviours in the ids of tests, as docs/behaviours.md lists them."""

from __future__ import annotations

import pytest


def behaviour(*numbers: str) -> pytest.MarkDecorator:
    """Put the numbers of what a test proves into its id: ``@behaviour("S-A8")``."""
    return pytest.mark.parametrize((), [pytest.param(id=" ".join(numbers))])
