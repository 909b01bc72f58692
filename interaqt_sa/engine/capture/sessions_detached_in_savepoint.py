"""Sessions that are detached while a savepoint is open, and so get no event when it ends."""

from __future__ import annotations

from typing import Any
from weakref import ref

from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.orm.attributes import instance_dict

from ...session.state import SessionState
from ..database.loaded_objects import forget_attributes
from ..plan import Plan, watch_of


def leave_savepoint(session: Session, plan: Plan | None) -> None:
    """Expire the computed attributes of a session's objects now and after each rollback in its transaction.

    The engine has set them on loaded objects, so SQLAlchemy does not restore them on a rollback to the savepoint.

    :param plan: the plan that was compiled last; ``None`` if there is none, so that the engine has set nothing.
    """
    if plan is None or not SessionState.of(session).transaction.in_savepoint:
        return
    _forget_computed(session, plan)
    root = session.get_transaction()
    held = None if root is None else ref(root)

    def after_rollback(session: Session, previous: SessionTransaction) -> None:
        if held is not None and held() is _root_of(previous):
            _forget_computed(session, plan)

    # never removed: SQLAlchemy cannot remove a listener while it calls the listeners of the event
    event.listen(session, "after_soft_rollback", after_rollback)


def _root_of(transaction: SessionTransaction) -> SessionTransaction:
    while transaction.parent is not None:
        transaction = transaction.parent
    return transaction


def _forget_computed(session: Session, plan: Plan) -> None:
    instances: list[Any] = list(session.identity_map.values())
    for instance in instances:
        watch = watch_of(plan, type(instance))
        if watch is not None:
            loaded = instance_dict(instance)
            forget_attributes(instance, [name for name in watch.computed if name in loaded])
