"""After `alembic upgrade head` every declared value is filled, or it fails and says which is not."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import Float, String
from sqlalchemy.orm import mapped_column

import interaqt_sa as iq
from interaqt_sa.migrate.upgrade_completeness import UnfilledValuesError
from tests.migrate.boxes import boxes, is_true
from tests.migrate.environment import Environment

ROWS = (
    "INSERT INTO box (id, name) VALUES (1, 'a'), (2, 'b')",
    "INSERT INTO item (id, box_id, n) VALUES (1, 1, 10), (2, 1, 20)",
)


def named(value: Any = None, *, mean: bool = False, state: str = "", label: Any = None) -> Any:
    """Return a base whose boxes have a name, and may have a computed `value`, a mean, a state and a label."""
    attributes: dict[str, Any] = {"name": mapped_column(String, nullable=False)}
    if value is not None:
        attributes["value_"] = iq.computed(value, Float(), name="value", nullable=False)
    if mean:
        attributes["mean_"] = iq.computed(iq.Average("items", "n"), Float(), name="mean", nullable=False)
    if state == "plain":
        attributes["state_"] = mapped_column("state", String)
    elif state == "machine":
        nodes = [iq.StateNode("open"), iq.StateNode("closed")]
        machine = iq.StateMachine(states=nodes, transfers=[], initial_state=nodes[0])
        attributes["state_"] = iq.computed(machine, String(), name="state", nullable=False)
    if label is not None:
        attributes["label_"] = iq.computed(label, String(), nullable=False)
    return boxes(**attributes)


def values(environment: Environment) -> list[Any]:
    return [row[0] for row in environment.rows("SELECT value FROM box ORDER BY id")]


def test_a_revision_of_another_declaration_computes_what_is_declared_now(environment: Environment) -> None:
    environment.migrate(named())
    environment.run(*ROWS)
    environment.use(named(iq.Summation("items", "n")))
    environment.revision()
    base = named(iq.Summation("items", "n", where={"n": (">", 10)}))  # changed before the revision has run
    environment.use(base)

    environment.upgrade()

    assert values(environment) == [20, 0]
    assert is_true(environment, base)
    environment.check()


def test_a_value_that_no_revision_fills_is_an_error(environment: Environment) -> None:
    environment.migrate(named())
    environment.run(*ROWS)
    environment.use(named(iq.Average("items", "n")))
    environment.revision()
    for path in environment.versions.glob("*back_fill*"):
        path.write_text(path.read_text().replace("op.interaqt_backfill(", "(lambda *_, **__: None)("))

    with pytest.raises(UnfilledValuesError, match=r"1 declared values are not filled:\n  Box.value_: no revision"):
        environment.upgrade()
    with pytest.raises(UnfilledValuesError, match=r"Box.value_"):  # and not only the first time
        environment.upgrade()

    base = named(iq.Average("items", "n"))
    environment.migrate(base)
    assert is_true(environment, base)


def test_a_column_that_no_revision_adds_is_an_error(environment: Environment) -> None:
    environment.migrate(named())
    environment.use(named(iq.Average("items", "n")))
    with pytest.raises(UnfilledValuesError, match=r"Box.value_: its column does not exist"):
        environment.upgrade()
    environment.migrate(named(iq.Average("items", "n")))


def test_a_process_that_leaves_values_out_fails(sqlite_environment: Environment) -> None:
    environment = sqlite_environment
    environment.migrate(named())
    module = environment.versions.parent / "unfilled_models.py"
    module.write_text(
        "from interaqt_sa import Count, computed\n"
        "from sqlalchemy import ForeignKey\n"
        "from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship\n"
        "class Base(DeclarativeBase): pass\n"
        "class Item(Base):\n"
        "    __tablename__ = 'item'\n"
        "    id: Mapped[int] = mapped_column(primary_key=True)\n"
        "    box_id: Mapped[int] = mapped_column(ForeignKey('box.id'))\n"
        "class Box(Base):\n"
        "    __tablename__ = 'box'\n"
        "    id: Mapped[int] = mapped_column(primary_key=True)\n"
        "    items: Mapped[list[Item]] = relationship()\n"
        "    counted: Mapped[int] = computed(Count('items'))\n"
    )
    settings = environment.settings() | {"models": "unfilled_models:Base"}
    program = (
        "from alembic import command; from alembic.config import Config; config = Config()\n"
        f"for name, value in {settings!r}.items(): config.set_main_option(name, value)\n"
        "command.upgrade(config, 'head')"
    )
    paths = {"PYTHONPATH": f".:{':'.join(sys.path)}"}
    made = subprocess.run(
        [sys.executable, "-c", program], cwd=module.parent, env=paths, capture_output=True, text=True, check=False
    )
    assert made.returncode == 1
    assert "Box.counted" in made.stderr + made.stdout


def test_a_downgrade_says_what_the_older_version_has_to_fill(
    environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    old = named(iq.Summation("items", "n"))
    environment.migrate(old)
    environment.run(*ROWS)
    iq.System(environment.engine, base=old, configure_sqlite=False).repair()
    (head,) = environment.rows("SELECT version_num FROM alembic_version")[0]
    environment.migrate(named(iq.Average("items", "n")))  # has a running state of its own
    assert values(environment) == [15, 0]

    with caplog.at_level(logging.WARNING):
        environment.downgrade(head)

    assert "Box.value_: computed by the newer declaration" in caplog.text
    old = named(iq.Summation("items", "n"))
    environment.use(old)
    for path in environment.versions.glob("*.py"):  # those of the newer version are not deployed
        if f"revision: str = '{head}'" not in path.read_text() and head in path.read_text():
            path.unlink()
    for path in environment.versions.glob("*back_fill*"):
        path.unlink()
    environment.upgrade()
    assert values(environment) == [30, 0]
    assert is_true(environment, old)
    environment.check()


def test_a_new_value_is_forgotten_by_a_downgrade(environment: Environment) -> None:
    environment.migrate(named())
    environment.run(*ROWS)
    made = environment.migrate(named(iq.Summation("items", "n")))
    environment.downgrade(f"-{len(made)}")
    assert environment.rows("SELECT name FROM interaqt_backfill") == []


def test_rows_without_a_state_enter_the_initial_one(environment: Environment) -> None:
    environment.migrate(named(state="plain"))
    environment.run(*ROWS, "UPDATE box SET state = 'closed' WHERE id = 2")
    environment.migrate(named(state="machine"))
    assert environment.rows("SELECT state FROM box ORDER BY id") == [("open",), ("closed",)]


def test_an_interrupted_back_fill_goes_on_with_the_value_that_it_stopped_at(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interaqt_sa.migrate import backfill_passes as work

    environment.migrate(named())
    environment.run(*ROWS)
    base = named(iq.Summation("items", "n"), mean=True, label=lambda box: f"{box.value_}")
    environment.use(base)
    environment.revision()
    real, seen = work.backfill_values, list[list[str]]()

    def step(statements: Any, group: Any, *args: Any, **kw: Any) -> Any:
        seen.append([value.name for value in group])
        if len(seen) == 2:
            raise RuntimeError("stopped")
        return real(statements, group, *args, **kw)

    monkeypatch.setattr(work, "backfill_values", step)
    with pytest.raises(RuntimeError, match="stopped") as caught:
        environment.upgrade("head", "batch=1")
    assert "is not filled; alembic upgrade continues" in caught.value.__notes__[0]
    environment.upgrade("head", "batch=1")

    assert len(seen) == 4  # one pass for all values of the table: row 1, the failure, row 2, the end
    assert sorted(seen[0]) == ["Box.label_", "Box.mean_", "Box.value_"]
    assert is_true(environment, base)
    environment.check()


def test_the_pace_is_checked(sqlite_environment: Environment) -> None:
    from alembic.util import CommandError

    sqlite_environment.use(named(iq.Summation("items", "n")))
    sqlite_environment.revision()
    for wrong in ("batch=many", "batch=0", "pause=-1"):
        with pytest.raises(CommandError, match="-x batch="):
            sqlite_environment.upgrade("head", wrong)
    sqlite_environment.upgrade("head", "batch=5", "pause=0.01")


def test_what_a_revision_creates_is_noted_in_that_revision(environment: Environment) -> None:
    (source,) = environment.migrate(named(iq.Summation("items", "n"), mean=True))
    assert "inline=True" in source
    assert sorted(environment.rows("SELECT name, phase FROM interaqt_backfill")) == [
        ("box.mean", "done"),
        ("box.value", "done"),
    ]
