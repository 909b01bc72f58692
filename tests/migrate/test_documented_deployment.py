"""The procedure for two versions at work, as docs/migrations.md says it: its models, its commands, in its order."""

from __future__ import annotations

import importlib
import logging
import re
import shlex
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from alembic.config import main
from sqlalchemy.orm import Session, sessionmaker

import interaqt_sa as iq
import interaqt_sa.migrate
from tests.examples.pages import ROOT
from tests.migrate.environment import Environment
from tests.support.urls import SYNC_DRIVERS

SECTION = "## While two versions run"
_BLOCK = re.compile(r"^```(python|shell)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> list[str]:
    page = (ROOT / "docs" / "migrations.md").read_text(encoding="utf-8")
    section = page.partition(SECTION)[2].partition("\n## ")[0]
    return [text for found, text in _BLOCK.findall(section) if found == kind]


def versions() -> tuple[str, str]:
    """Return the models of both versions; the page shows of the new ones what is not as before."""
    old, changed = blocks("python")
    before, rest = old.split("class Order(Base):")
    return old, f"{before}{changed}\n\n{'class Item(Base):' + rest.partition('class Item(Base):')[2]}"


class Project:
    """A project of Alembic whose models are a file."""

    def __init__(self, directory: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._models = directory / "app" / "models.py"
        self._models.parent.mkdir()
        self._url = url
        monkeypatch.chdir(directory)
        monkeypatch.syspath_prepend(str(directory))
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        template = Path(interaqt_sa.migrate.__file__).parent / "templates" / "interaqt_sa"
        main(["init", "-t", str(template), "migrations"])

    def deploy(self, models: str) -> None:
        self._models.write_text(models)

    def run(self, line: str) -> None:
        """Run a line of the page, as in a process that has not imported the models."""
        program, *arguments = shlex.split(line)
        assert program == "alembic"
        for name in ("app", "app.models"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        main(["-x", f"sqlalchemy.url={self._url}", *arguments])

    def revisions(self) -> list[str]:
        """Return the titles of all revisions."""
        return sorted(path.stem.partition("_")[2] for path in Path("migrations/versions").glob("*.py"))


def application(environment: Environment, models: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the models as a module of its own, with sessions of that version."""
    name = f"app_models_{len(models)}"
    module: Any = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(models, name, "exec", dont_inherit=True), module.__dict__)
    module.sessions = sessionmaker(environment.engine)
    module.system = iq.System(module.sessions, base=module.Base)
    return module


def add_order(version: Any, *prices: int, returned: bool = False) -> None:
    session: Session
    with version.sessions.begin() as session:
        items = [version.Item(price=price, returned=returned) for price in prices]
        session.add(version.Order(items=items))


def add_item(version: Any, order: int, price: int, *, returned: bool = False) -> None:
    session: Session
    with version.sessions.begin() as session:
        found = session.get_one(version.Order, order)
        found.items.append(version.Item(price=price, returned=returned))


@pytest.fixture
def _logging_as_before() -> Generator[None]:
    """Undo what alembic.ini says about logging."""
    loggers = [logging.getLogger(name) for name in (None, "alembic", "sqlalchemy.engine")]
    before = [(one.level, list(one.handlers)) for one in loggers]
    yield
    for one, (level, handlers) in zip(loggers, before, strict=True):
        one.setLevel(level)
        one.handlers[:] = handlers


@pytest.mark.usefixtures("_logging_as_before")
@pytest.mark.parametrize("driver", SYNC_DRIVERS)
def test_the_page_is_followed(
    environment_for: Callable[[str], Environment],
    driver: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    environment = environment_for(driver)
    revision, expand, finish = blocks("shell")
    first, second = versions()
    (tmp_path / "project").mkdir()
    url = environment.engine.url.render_as_string(hide_password=False)
    project = Project(tmp_path / "project", url, monkeypatch)
    project.deploy(first)
    project.run('alembic revision --autogenerate -m "first"')
    project.run("alembic upgrade head")
    old = application(environment, first, monkeypatch)
    add_order(old, 5, 7)
    add_order(old, 9, returned=True)

    project.deploy(second)
    project.run(revision)
    assert project.revisions() == ["first", "returned_items", "returned_items_back_fill", "returned_items_contract"]
    project.run(expand)
    add_item(old, 1, 1)
    new = application(environment, second, monkeypatch)
    add_item(new, 1, 2)
    add_item(old, 2, 3, returned=True)
    add_order(old, 4)
    add_order(new, 6, 8, returned=True)
    project.run(finish)

    assert re.search(r"Verified: \d+ values are correct", capsys.readouterr().err)
    assert environment.rows('SELECT id, total, dearest FROM "order" ORDER BY id') == [
        (1, 15, 7),
        (2, 0, 9),
        (3, 4, 4),
        (4, 0, 8),
    ]
    assert new.system.check()
    assert "item_count" not in str(environment.rows('SELECT * FROM "order"'))
    project.run("alembic check")
