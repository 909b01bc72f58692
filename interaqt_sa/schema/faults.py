"""Faults of declarations, collected so that all of them are reported at once."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from ..errors import DefinitionFault


class NotYetKnown(DefinitionFault):
    """What is asked about has a fault of its own, or is yet to be declared: no fault of who asks."""


class Faults:
    """The faults found so far."""

    def __init__(self) -> None:
        self.found: list[DefinitionFault] = []

    def add(self, message: str, *, record: str | None = None, property: str | None = None) -> None:
        """Note a fault; ``message`` names record and property and says the way out."""
        self.found.append(DefinitionFault(message, record=record, property=property))

    @contextmanager
    def caught(self, where: str, *, record: str | None = None, property: str | None = None) -> Generator[None]:
        """Note a fault that is raised inside, with ``where`` in front, and go on after the block."""
        try:
            yield
        except NotYetKnown:
            pass
        except DefinitionFault as fault:
            self.add(f"{where}: {fault}", record=record, property=property)
            self.found[-1].__cause__ = fault.__cause__
