"""Move rows along the transfers of a StateMachine."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Dialect, Enum, String, case, func, or_, update
from sqlalchemy import inspect as sa_inspect
from sqlalchemy.exc import NoInspectionAvailable
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.dml import Update

from ...definitions.events import MutationEvent
from ...definitions.state_machine import StateMachine, StateNode, StateTransfer
from ...definitions.state_names import state_in_column
from ...dialects.base import is_row
from ...errors import ComputationError, ComputationProtocolError, FrameworkError
from ...schema.computed import state_of
from ...schema.value_checks import may_be_stored
from ..plan import ComputedValue, Key, Machine, Plan, Reaction
from ..plan.column_replacement import labelled
from ..plan.event_reactions import add_reaction, resolved_trigger
from ..plan.kinds import add_value
from ..plan.watched_tables import Sources
from ..propagation.propagation import Propagation
from .engine_row_writes import lock_and_read, update_rows
from .initial_states import value_on_entering
from .run_reactions import run_effect


@add_value.register
def _add(declaration: StateMachine, plan: Plan, sources: Sources, value: ComputedValue) -> None:
    """Add the machine of a column and the triggers of its transfers.

    :raises DefinitionFault: if the engine cannot follow the rows of a record that it names.
    """
    source = sources.mapper(value.mapper)
    hidden = [c for c in value.table.columns if state_of(c) == (value.column.name, "state")]
    machine = Machine(value, declaration, source, hidden[0] if hidden else value.column)
    plan.machines.append(machine)
    for transfer in declaration.transfers:
        mapper, trigger, relation = resolved_trigger(plan, transfer.trigger)
        add_reaction(plan, sources, Reaction(mapper, trigger, machine, transfer, relation))


@run_effect.register
def _run(
    machine: Machine, propagation: Propagation, reactions: Sequence[Reaction], event: MutationEvent, ctx: Any
) -> None:
    transfers = [reaction.transfer for reaction in reactions if reaction.transfer is not None]
    run_machine(propagation, machine, transfers, event, ctx)


def run_machine(
    propagation: Propagation, machine: Machine, transfers: Sequence[StateTransfer], event: MutationEvent, ctx: Any
) -> None:
    """Move each target along the transfer that starts at its state; rows in other states do not move.

    :param transfers: the transfers that the event triggers.
    :raises ComputationError: if transfers from a row's state lead to different states.
    """
    targets: dict[Key, list[StateTransfer]] = {}
    dialect = propagation.db.connection(machine.source).dialect
    for transfer in transfers:
        for key in _targets(machine, transfer, event, ctx, dialect):
            targets.setdefault(key, []).append(transfer)
    if not targets:
        return
    if len(targets) == 1:
        ((key, leaving),) = targets.items()
        steps = _plain_steps(propagation, machine, leaving)
        if steps is not None:
            _take_step(propagation, machine, key, steps)
            return
    source, value = machine.source, machine.value
    lock = source.lock_to_change({machine.state, value.column})
    changes: dict[Key, dict[Column[Any], Any]] = {}
    rows = lock_and_read(propagation, source, value.mapper, targets, lock, (machine.state, value.column))
    for key, row in rows.items():
        entered = _next(machine, targets.get(key, ()), row[machine.state])
        if entered is not None:
            stored = value_on_entering(machine, entered, row[value.column], event)
            changes[key] = {machine.state: state_in_column(entered.name, machine.state.type), value.column: stored}
    if changes:
        update_rows(propagation, source, value.mapper, changes, locked=rows)


def _plain_steps(propagation: Propagation, machine: Machine, leaving: Sequence[StateTransfer]) -> dict[str, str] | None:
    """Return the transitions of a row if a plain UPDATE suffices, because nothing has to read the row before it."""
    source, column = machine.source, machine.value.column
    mutations = propagation.mutations
    if (
        machine.declaration.computes_values
        or not isinstance(column.type, String)
        or isinstance(column.type, Enum)
        or column.table is not source.table
        or column in source.inputs
        or source.same_row
        or (mutations is not None and mutations.has_reactions(machine.value.mapper))
    ):
        return None
    steps: dict[str, str] = {}
    for transfer in leaving:
        if steps.setdefault(transfer.current.name, transfer.next.name) != transfer.next.name:
            return None
    # the event contains the old state, which must be uniquely determined by the new one
    return steps if len(set(steps.values())) == len(steps) else None


def _take_step(propagation: Propagation, machine: Machine, key: Key, steps: Mapping[str, str]) -> None:
    """Move one row, in whichever state it is: a single row needs no lock before its UPDATE."""
    source, value, mutations = machine.source, machine.value, propagation.mutations
    heard = mutations is not None and mutations.wanted(value.mapper)
    stored = propagation.db.statements.stored(value.mapper)
    attributes = [*stored.items()] if heard else [(value.attribute, value.column)]

    def make() -> Update:
        state = func.coalesce(value.column, machine.declaration.initial_state.name)
        statement = update(source.table).where(
            is_row(source.key, "row", source.key_shape), or_(*(state == current for current in steps))
        )
        values = {value.column.key: case(dict(steps), value=state)}
        return statement.values(values).returning(*labelled(column for _, column in attributes))

    statement = propagation.db.statements.cached(("step", machine, tuple(steps.items()), heard), make)
    parameters = propagation.db.dialect.pack_some("row", source.key_shape, [key], one=True)
    for row in propagation.db.execute(source, statement, parameters):
        new = dict(zip((name for name, _ in attributes), row, strict=True))
        propagation.db.memory.refresh_attributes(value.mapper, key, {value.attribute: new[value.attribute]})
        if heard and mutations is not None:
            left = next(current for current, entered in steps.items() if entered == new[value.attribute])
            mutations.updated(value.mapper, [({**new, value.attribute: left}, new)])


def _next(machine: Machine, transfers: Iterable[StateTransfer], state: Any) -> StateNode | None:
    initial, kind = machine.declaration.initial_state, machine.state.type
    current = state_in_column(initial.name, kind) if state is None else state
    found = {transfer.next for transfer in transfers if state_in_column(transfer.current.name, kind) == current}
    if len(found) > 1:
        names = ", ".join(sorted(node.name for node in found))
        raise ComputationError(
            f"{machine.value.name}: one event leads from {current!r} to each of {names}; make the triggers disjoint",
            record=machine.value.record,
            property=machine.value.attribute,
        )
    return found.pop() if found else None


def _targets(machine: Machine, transfer: StateTransfer, event: MutationEvent, ctx: Any, dialect: Dialect) -> list[Key]:
    """Return the keys of the targets that ``compute_target`` returns; values that cannot be keys are omitted."""
    value = machine.value
    assert transfer.compute_target is not None
    try:
        answer = transfer.compute_target(ctx, event)
        if inspect.isawaitable(answer):
            answer = _awaited(answer, value.name)
    except FrameworkError:
        raise
    except Exception as error:
        raise ComputationError(
            f"{value.name}: compute_target of {transfer.current.name} -> {transfer.next.name} failed: {error}",
            record=value.record,
            property=value.attribute,
        ) from error
    if answer is None:
        return []
    columns = value.mapper.primary_key
    is_list = isinstance(answer, (list, tuple, set, frozenset)) and not (len(columns) > 1 and _is_key(answer))
    keys = [_key(value.mapper, one, value.name) for one in (answer if is_list else [answer])]
    known = (k for k in keys if all(may_be_stored(c, part, dialect) for c, part in zip(columns, k, strict=True)))
    return list(dict.fromkeys(known))


def _awaited(answer: Any, where: str) -> Any:
    from sqlalchemy.exc import MissingGreenlet
    from sqlalchemy.util import await_only

    try:
        return await_only(answer)
    except MissingGreenlet as error:
        if inspect.iscoroutine(answer):
            answer.close()
        raise ComputationProtocolError(
            f"{where}: compute_target is async, but this session is not; use an AsyncSession or a plain function"
        ) from error


def _is_key(answer: Any) -> bool:
    """Whether an answer is one key of several columns, not several targets."""
    return (
        isinstance(answer, tuple)
        and answer != ()
        and not any(
            isinstance(part, (Mapping, list, tuple)) or sa_inspect(part, raiseerr=False) is not None for part in answer
        )
    )


def _key(mapper: Mapper[Any], target: Any, where: str) -> Key:
    """Return the primary key of a target: a mapping that contains it, a mapped instance, or the key itself."""
    names = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
    if isinstance(target, Mapping):
        missing = [name for name in names if name not in target]
        if missing:
            raise ComputationError(f"{where}: a target of compute_target lacks {', '.join(missing)}: {target!r}")
        values = tuple(target[name] for name in names)
    else:
        try:
            state = sa_inspect(target)
        except NoInspectionAvailable:
            values = tuple(target) if isinstance(target, (tuple, list)) else (target,)
        else:
            values = tuple(getattr(target, name) for name in names) if hasattr(state, "mapper") else (target,)
    if len(values) != len(names):
        key = names[0] if len(names) == 1 else f"({', '.join(names)}) as a tuple or a mapping"
        raise ComputationError(f"{where}: the key of a target needs {key}, not {target!r}")
    return tuple(converted(column, value) for column, value in zip(mapper.primary_key, values, strict=True))


def converted(column: ColumnElement[Any], value: Any) -> Any:
    """Return a key with the Python type of its column; payloads often contain ids as text."""
    if isinstance(value, str):
        try:
            kind = column.type.python_type
        except NotImplementedError:
            return value
        if kind is not str:
            try:
                return kind(value)
            except (TypeError, ValueError):
                return value
    return value
