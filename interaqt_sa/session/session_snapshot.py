"""Snapshots of the objects of a session, restored after a rollback to a savepoint."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy.orm import InstanceState, Session


class SessionMark:
    """The objects of a session when a savepoint of the connection begins.

    ``Session.begin_nested()`` records the same, but flushes, and calls the application's ``after_commit`` listeners
    when it is released.
    """

    # SQLAlchemy has no public access to the state that it restores: _new, _deleted, _expunge_states, _update_impl.

    def __init__(self, session: Session) -> None:
        self._session: Any = session
        self._pending = set(self._session._new)
        self._to_delete = set(self._session._deleted)
        self._deleted = set(self._transaction()._deleted)

    def _transaction(self) -> Any:
        session: Session = self._session
        return session.get_nested_transaction() or session.get_transaction() or self._session._autobegin_t()

    def go_back(self, flushed: Iterable[InstanceState[Any]], *, keeps_assigned: bool) -> None:
        """Expunge objects added since, restore deleted ones, and expire all others.

        :param flushed: new objects of the flushes since.
        :param keeps_assigned: whether assigned values that are not flushed are kept.
        """
        session, transaction = self._session, self._transaction()
        came = {state for state in flushed if state in transaction._new} | (set(session._new) - self._pending)
        for state in came:
            transaction._new.pop(state, None)
        session._expunge_states(came, to_transient=True)
        for state in (set(transaction._deleted) - self._deleted) | (set(session._deleted) - self._to_delete):
            transaction._deleted.pop(state, None)
            session._update_impl(state, revert_deletion=True)
        for state in session.identity_map.all_states():
            if keeps_assigned and state.committed_state:
                names = (*state.mapper.column_attrs.keys(), *state.mapper.relationships.keys())
                state._expire_attributes(state.dict, [name for name in names if name not in state.committed_state])
            else:
                state._expire(state.dict, session.identity_map._modified)
