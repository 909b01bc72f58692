"""Refuse keys that listeners assign to objects after their rows were written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import UnmanagedWriteError
from ..database.database import Database
from ..plan import Key, Source, Watch


def refuse_unwritten_keys(
    db: Database,
    new: Iterable[tuple[Any, Watch]],
    rekeyed: Iterable[tuple[Any, Watch]],
    deleted: Mapping[Source, Mapping[Key, Any]],
) -> None:
    """Compare the keys of objects with the stored rows, if there are listeners to ``after_insert`` or ``after_update``.

    Such a listener runs after the row was written: with another key the object refers to a row that does not exist, and
    the row that was written cannot be determined.

    :param new: inserted objects.
    :param rekeyed: changed objects whose key differs from the loaded one.
    :param deleted: late changes of rows, ``None`` for rows that were deleted in the meantime.
    :raises UnmanagedWriteError: with the key.
    """
    asked: dict[Source, dict[Key, Any]] = {}
    for name, objects in (("after_insert", new), ("after_update", rekeyed)):
        for instance, watch in objects:
            key = tuple(watch.mapper.primary_key_from_instance(instance))
            is_gone = watch.source is None or deleted.get(watch.source, {}).get(key, _KEPT) is None
            if watch.source is not None and not is_gone and None not in key and getattr(watch.mapper.dispatch, name):
                asked.setdefault(watch.source, {})[key] = instance
    for source, keys in asked.items():
        statement = db.statements.read_rows(source, source.key)
        rows = db.execute(source, statement, db.dialect.pack("ids", source.key_shape, list(keys)))
        found = {tuple(row[: len(source.key)]) for row in rows}
        for key, instance in keys.items():
            if key not in found:
                name = type(instance).__name__
                shown = key[0] if len(key) == 1 else key
                raise UnmanagedWriteError(
                    f"{name} {shown!r} has no row: a listener to after_insert or after_update has changed the key of "
                    f"the object after its row was written; change keys in before_insert, before_update or "
                    "before_flush",
                    table=source.table.fullname,
                )


_KEPT = frozenset[Any]()
