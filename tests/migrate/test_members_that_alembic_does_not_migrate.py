"""Members in views, and in tables and columns that the environment leaves out."""

from __future__ import annotations

from typing import Any

import pytest
from alembic.util import CommandError
from sqlalchemy import Integer

import interaqt_sa as iq
from tests.migrate.boxes import boxes
from tests.migrate.environment import Environment

SUMMED = iq.Summation("items", "n")


def leave_out(monkeypatch: pytest.MonkeyPatch, *left_out: str) -> None:
    """Let the environment have an `include_object`."""
    import interaqt_sa.migrate.env_configuration as module

    real = module.configure

    def configure(target_metadata: Any, **kw: Any) -> dict[str, Any]:
        def included(item: Any, name: str | None, *_: Any) -> bool:
            return name not in left_out

        return real(target_metadata, include_object=included, **kw)

    monkeypatch.setattr(module, "configure", configure)


ROWS = (
    "INSERT INTO box (id) VALUES (1), (2)",
    "CREATE TABLE stored (id INTEGER PRIMARY KEY, box_id INTEGER, n INTEGER)",
    "INSERT INTO stored VALUES (1, 1, 10), (2, 1, 20)",
    "CREATE VIEW item AS SELECT * FROM stored",
)


def test_members_in_a_view(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.migrate(boxes())
    environment.run("DROP TABLE item", *ROWS)
    leave_out(monkeypatch, "item", "stored")
    environment.use(boxes(total=iq.computed(SUMMED, Integer(), nullable=False)))
    environment.revision()
    environment.upgrade()
    assert environment.rows("SELECT total FROM box ORDER BY id") == [(30,), (0,)]


def test_members_in_a_table_that_is_left_out(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.migrate(boxes())
    environment.run("DROP TABLE item", ROWS[0])
    leave_out(monkeypatch, "item")
    environment.use(boxes(total=iq.computed(SUMMED, Integer(), nullable=False)))
    environment.revision()
    with pytest.raises(CommandError, match=r"Box.total.*(waits for|has no) item\.\w+"):
        environment.upgrade()
