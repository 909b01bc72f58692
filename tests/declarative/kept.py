"""A database whose computed values are kept true, as the tests of this package use it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Engine, MetaData, select
from sqlalchemy.orm import Session, sessionmaker

from interaqt_sa import System

#: makes the tables of a base and keeps its computed values true
Keep = Callable[..., "Kept"]


class Kept:
    """The tables of ``base`` on ``engine``, and a system that keeps their computed values true.

    :param options: further arguments of the system's ``sessionmaker``.
    """

    def __init__(self, engine: Engine, base: Any, **options: Any) -> None:
        self.engine = engine
        self.metadata: MetaData = base if isinstance(base, MetaData) else base.metadata
        self.metadata.create_all(engine)
        self.sessions: sessionmaker[Session] = sessionmaker(engine, **options)
        # tests break values on purpose, past every session
        self.system = System(self.sessions, base=base, unattached="allow")

    def begin(self) -> AbstractContextManager[Session]:
        """Return a session in a transaction that is committed at the end of the block."""
        return self.sessions.begin()

    def run(self, statement: Any, parameters: Any = None) -> int:
        """Run a statement through a session of its own and commit; return how many rows it has written, if it tells."""
        with self.begin() as session:
            result: Any = session.execute(statement, parameters)
            return int(getattr(result, "rowcount", -1))

    def stored(self, *columns: Any) -> list[tuple[Any, ...]]:
        """Return what is stored, ordered by the first column, after proof that every computed value is true."""
        self.verify()
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(select(*columns).order_by(columns[0]))]

    def verify(self) -> None:
        """Compare every computed value with its recompute."""
        report = self.system.check()
        assert report.ok, report.differences
