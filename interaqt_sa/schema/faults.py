"""Collected faults of definitions and declarations, which are reported at once."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from ..errors import DefinitionFault


class NotYetKnown(DefinitionFault):
    """A reference to something with a fault of its own, or not declared yet; not a fault of the referring part."""


class Faults:
    """The faults found so far."""

    def __init__(self) -> None:
        self.found: list[DefinitionFault] = []

    def add(self, message: str, *, record: str | None = None, property: str | None = None) -> None:
        """Add a fault; ``message`` names record and property, and how to fix it."""
        self.found.append(DefinitionFault(message, record=record, property=property))

    @contextmanager
    def caught(self, where: str, *, record: str | None = None, property: str | None = None) -> Generator[None]:
        """Add a fault that is raised inside the block, prefixed by ``where``, and suppress it."""
        try:
            yield
        except NotYetKnown:
            pass
        except DefinitionFault as fault:
            self.add(f"{where}: {fault}", record=record, property=property)
            self.found[-1].__cause__ = fault.__cause__
