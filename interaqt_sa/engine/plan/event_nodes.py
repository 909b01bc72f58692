"""Plan nodes that events trigger: state machines, derived rows, and their triggers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import Column
from sqlalchemy.orm import Mapper

from ...definitions.events import MutationEvent, Trigger
from ...definitions.state_machine import StateMachine, StateTransfer
from ...definitions.transform import Transform
from ...schema.filtered_record import FilteredRecord
from .plan_nodes import ComputedValue, Source


@dataclass(eq=False)
class Machine:
    """A state machine on a column.

    :ivar state: the column with the name of the state; the value itself unless a state computes one.
    """

    adds_rows: ClassVar[bool] = False
    value: ComputedValue
    declaration: StateMachine
    source: Source
    state: Column[Any]


@dataclass(eq=False)
class Derivation:
    """Rows of one record that are derived from rows, or events, of another.

    :ivar origin: the record of the source rows; ``None`` if event-driven.
    :ivar members: the filtered record of the source rows, if they are its members.
    :ivar source_column: hidden column with the key of the source row; ``None`` if event-driven.
    """

    adds_rows: ClassVar[bool] = True
    name: str
    transform: Transform
    target: Source
    mapper: Mapper[Any]
    origin: Mapper[Any] | None = None
    members: FilteredRecord | None = None
    attributes: tuple[str, ...] = ()
    source_column: Column[Any] | None = None
    index_column: Column[Any] | None = None


@dataclass(eq=False)
class Reaction:
    """A trigger and the node that it triggers.

    :ivar mapper: the record whose events are meant, subclasses included.
    :ivar relation: the relation stored as a foreign key of the rows, or the filtered or merged record of the rows, if
        the reaction is to events under that name.
    """

    mapper: Mapper[Any]
    trigger: Trigger | None
    effect: Machine | Derivation
    transfer: StateTransfer | None = None
    relation: str | None = None

    def fires(self, event: MutationEvent, relation: str | None) -> bool:
        """Whether an event of the record, or of a subclass, matches the trigger.

        :param relation: the relation stored as a foreign key of the row, or the filtered record of the row, if the
            event has that name.
        """
        return relation == self.relation and (self.trigger is None or self.trigger.matches(event))
