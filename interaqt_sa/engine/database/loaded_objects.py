"""Set computed values on loaded objects after a write, and restore them after a rollback to a savepoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from weakref import ref

from sqlalchemy.orm import InstanceState, Mapper, Session
from sqlalchemy.orm.attributes import instance_dict, instance_state, set_committed_value
from sqlalchemy.sql.elements import ClauseElement

from ...session.state import SessionState
from ..plan import ComputedValue, Plan


class Memory:
    """The loaded objects of one session.

    :param plan: determines the classes by which one row may be loaded.
    :param placed: objects of the running flush that the identity map does not contain under their keys yet: new ones,
        and those whose key has changed.
    """

    def __init__(self, session: Session, plan: Plan, placed: Iterable[object] = ()) -> None:
        self._session = session
        self._state = SessionState.of(session)
        self._plan = plan
        self._placed: dict[tuple[type[Any], tuple[Any, ...]], object] = {}
        #: rows of loaded objects in which the database has changed other columns too
        self._behind: dict[Mapper[Any], dict[tuple[Any, ...], None]] = {}
        for instance in placed:
            mapper = instance_state(instance).mapper
            identity = tuple(mapper.primary_key_from_instance(instance))
            self._placed[mapper._identity_class, identity] = instance

    def find(self, mapper: Mapper[Any], key: tuple[Any, ...]) -> Iterator[object]:
        """Yield the loaded objects of a row: one for each class by which it may be loaded."""
        for other in (mapper, *self._plan.other_classes(mapper)):
            found = self._placed.get((other._identity_class, key))
            if found is None:
                found = self._session.identity_map.get(other.identity_key_from_primary_key(key))
            if found is not None:
                yield found

    def refresh(self, values: Sequence[ComputedValue], key: tuple[Any, ...], fresh: Sequence[Any]) -> None:
        """Set the values ``fresh`` on the loaded objects of a row."""
        if values:
            names = [value.attribute for value in values]
            self.refresh_attributes(values[0].mapper, key, dict(zip(names, fresh, strict=True)))

    def refresh_attributes(self, mapper: Mapper[Any], key: tuple[Any, ...], fresh: dict[str, Any]) -> None:
        """Set attributes of the loaded objects of a row that the engine has written."""
        journalled = self._state.transaction.in_savepoint  # possibly a savepoint of the connection
        is_loaded = False
        for instance in self.find(mapper, key):
            own = instance_state(instance).mapper
            if own.base_mapper is mapper.base_mapper:
                # with single-table inheritance the row may have columns that its class does not map
                self._put(instance, {n: now for n, now in fresh.items() if n in own.column_attrs}, journalled)
            else:
                columns = {mapper.column_attrs[name].columns[0]: now for name, now in fresh.items()}
                self.put_columns(instance, columns)
            is_loaded = is_loaded or bool(self._plan.kept_by_database(own))
        if is_loaded:
            self._behind.setdefault(mapper, {})[key] = None
        if journalled:
            self._remember_unloaded(mapper, key, fresh)

    def put_columns(self, instance: object, fresh: Mapping[Any, Any]) -> None:
        """Set values of columns on an object, except those that it does not map."""
        journalled = self._state.transaction.in_savepoint
        known = instance_state(instance).mapper.columns
        names = instance_state(instance).mapper.get_property_by_column
        self._put(instance, {names(c).key: now for c, now in fresh.items() if known.contains_column(c)}, journalled)

    def _put(self, instance: object, fresh: Mapping[str, Any], journalled: bool) -> None:
        loaded = instance_dict(instance)
        before = {name: loaded.get(name, _ABSENT) for name in fresh}
        for name, now in fresh.items():
            set_committed_value(instance, name, now)
        if journalled:
            self._remember(instance, before)

    def take_behind(self) -> Iterable[tuple[Mapper[Any], Sequence[tuple[Any, ...]]]]:
        """Return the loaded rows with columns that the database itself has changed, and clear the list."""
        if not self._behind:
            return ()
        found = [(mapper, list(keys)) for mapper, keys in self._behind.items()]
        self._behind.clear()
        return found

    def _remember(self, instance: object, before: dict[str, Any]) -> None:
        # a rollback to a savepoint expires only the changes of the session itself
        held = ref(instance)

        def restore() -> None:
            target = held()
            if target is None or instance_state(target).session_id is None:
                return
            loaded = instance_dict(target)
            forget_attributes(target, [name for name, value in before.items() if value is _ABSENT])
            for name, value in before.items():
                if value is not _ABSENT and name in loaded:
                    set_committed_value(target, name, value)

        self._state.transaction.undo.append(restore)

    def _remember_unloaded(self, mapper: Mapper[Any], key: tuple[Any, ...], names: Iterable[str]) -> None:
        # an object loaded later in the savepoint has values that its rollback reverts
        session, identity, unloaded = self._session, mapper.identity_key_from_primary_key(key), tuple(names)
        if identity in session.identity_map:
            return

        def forget() -> None:
            target = session.identity_map.get(identity)
            if target is not None:
                forget_attributes(target, unloaded)

        self._state.transaction.undo.append(forget)


def forget_attributes(instance: object, names: Iterable[str]) -> None:
    """Expire attributes of a persistent object; remove them from any other object."""
    state, loaded = instance_state(instance), instance_dict(instance)
    known = [name for name in names if name in state.mapper.column_attrs]
    if state.key is None:
        for name in known:
            loaded.pop(name, None)
    elif known:
        state._expire_attributes(loaded, known)  # Session.expire() raises during a rollback


def identity_of(state: InstanceState[Any]) -> tuple[Any, ...]:
    """Return the primary key with which a row was loaded, whatever its object's attributes are now."""
    assert state.key is not None
    return state.key[1]


def changed_attributes(state: InstanceState[Any]) -> set[str]:
    """Return the attributes that a flush will write, without those that were assigned their old value."""
    return {name for name, before in state.committed_state.items() if not _is_unchanged(state, name, before)}


def _is_unchanged(state: InstanceState[Any], name: str, before: Any) -> bool:
    """Whether an attribute is unchanged, as the unit of work decides it."""
    impl: Any = state.manager[name].impl
    now = state.dict.get(name, _ABSENT)
    if now is _ABSENT or impl.collection or isinstance(now, ClauseElement) or hasattr(now, "__clause_element__"):
        return False
    if name in state.mapper.column_attrs:
        return impl.is_equal(now, before) is True
    return now is before


_ABSENT = object()
