"""``interaqt-sa check`` and ``interaqt-sa repair``, on every driver."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, text

import interaqt_sa as iq
from interaqt_sa.cli.commands import main

_MODELS = """
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
import interaqt_sa as iq

class Base(DeclarativeBase):
    pass

class Shelf(Base):
    __tablename__ = "shelf"
    id: Mapped[int] = mapped_column(primary_key=True)
    books: Mapped[list["Book"]] = relationship()
    pages: Mapped[int] = iq.computed(iq.Summation("books", "pages"))
    doubled: Mapped[int] = iq.computed(lambda shelf: shelf.pages * 2)

class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"))
    pages: Mapped[int]

class Label(Base):
    __tablename__ = "label"
    __computation__ = iq.Transform(Shelf, lambda shelf: {"text": f"{shelf.pages} pages"}, attribute_query=["pages"])
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
"""


@pytest.fixture
def models(module: Callable[[str], str]) -> str:
    return module(_MODELS)


@pytest.fixture
def shelves(engine: Engine, models: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """Thirty shelves with one book each, of which SQL has changed two behind the system's back."""
    monkeypatch.syspath_prepend(tmp_path)
    found = import_module(models)
    found.Base.metadata.create_all(engine)
    system = iq.System(engine, base=found.Base)
    with system.session_factory.begin() as session:
        session.add_all([found.Shelf(id=n, books=[found.Book(pages=n)]) for n in range(1, 31)])
    with engine.begin() as connection, pytest.warns(iq.UnattachedWriteWarning):
        connection.execute(text("UPDATE shelf SET pages = 999 WHERE id IN (5, 20)"))
    return system


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def _url(engine: Engine, *, is_async: bool = False) -> str:
    url = engine.url
    if is_async:
        url = url.set(drivername="sqlite+aiosqlite" if engine.dialect.name == "sqlite" else "postgresql+asyncpg")
    return url.render_as_string(hide_password=False)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.usefixtures("shelves")
def test_differences_are_found_and_corrected(engine: Engine, models: str, *, is_async: bool) -> None:
    database = [f"{models}:Base", "--url", _url(engine, is_async=is_async)]
    found = _run("check", *database)
    assert found.exit_code == 1
    assert "Shelf 5: pages is 999, computed 5" in found.output
    repaired = _run("repair", *database)
    assert repaired.exit_code == 0
    assert "Shelf 20: pages was 999, computed 20" in repaired.output
    assert "differed and were corrected" in repaired.output
    clean = _run("check", *database)
    assert clean.exit_code == 0, clean.output
    assert "all are right" in clean.output


@pytest.mark.usefixtures("shelves")
def test_rows_and_values_can_be_chosen(engine: Engine, models: str) -> None:
    options = ["--url", _url(engine), "--record", "Shelf", "--property", "pages", "--json"]
    found = _run("check", f"{models}:Base", *options, "--from", "6", "--to", "25")
    assert found.exit_code == 1
    listed = [{"record": "Shelf", "id": 20, "property": "pages", "stored": 999, "expected": 20}]
    assert json.loads(found.output) == {"ok": False, "checked": 20, "differences": listed}
    clean = _run("check", f"{models}:Base", *options, "--to", "4")
    assert clean.exit_code == 0
    assert json.loads(clean.output) == {"ok": True, "checked": 4, "differences": []}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from", "3"], "give --record too"),
        (["--property", "pages"], "give --record too"),
        (["--record", "Nothing"], "Nothing"),
        (["--record", "Shelf", "--property", "colour"], "no computed value 'colour'"),
    ],
    ids=["range alone", "property alone", "no such record", "no such property"],
)
@pytest.mark.usefixtures("shelves")
def test_wrong_arguments(engine: Engine, models: str, options: list[str], message: str) -> None:
    found = _run("check", f"{models}:Base", "--url", _url(engine), *options)
    assert found.exit_code not in (0, None)
    assert message in found.output
    assert "Traceback" not in found.output


def test_the_graph_needs_no_database(models: str) -> None:
    found = _run("graph", f"{models}:Base")
    assert found.exit_code == 0, found.output
    assert "Shelf.pages = Summation(source='books', field='pages')\n    from Book\n    from Book.pages" in found.output
    assert _run("graph", f"{models}:Base", "--mermaid").output.startswith("flowchart LR\n")
    nodes = json.loads(_run("graph", f"{models}:Base", "--json", "--affected-by", "Book.pages").output)["nodes"]
    assert [node["name"] for node in nodes] == ["Shelf.pages", "Label", "Shelf.doubled"]
    assert _run("graph", f"{models}:Base", "--affected-by", "Label.text").output == "Nothing is computed.\n"
