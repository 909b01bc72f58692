"""``interaqt-sa prune``, on every driver."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, MetaData

import interaqt_sa as iq
from interaqt_sa.cli.commands import main

_MODELS = """
from datetime import datetime, timedelta
from sqlalchemy import MetaData
import interaqt_sa as iq

metadata, plain = MetaData(), MetaData()
visit = iq.Entity("Visit", [iq.Property("at", datetime)], retention=iq.Retention(by="at", max_age=timedelta(days=30)))
iq.compile_schema(metadata, entities=[visit, iq.Entity("Kept", [])])
"""


@pytest.fixture
def models(module: Callable[[str], str]) -> str:
    return module(_MODELS)


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["prune", *arguments])


def _url(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def _fill(engine: Engine, ages: list[int]) -> iq.Storage:
    metadata = MetaData()
    visit = iq.Entity("Visit", [iq.Property("at", datetime)], retention=iq.Retention(max_rows=1))
    system = iq.System(engine, base=metadata)
    iq.Controller(system, entities=[visit, iq.Entity("Kept", [])]).setup(install=True)
    for age in ages:
        system.storage.create("Visit", {"at": datetime.now(UTC) - timedelta(days=age)})
    return system.storage


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_outdated_records_are_deleted(engine: Engine, models: str, is_async: bool) -> None:
    storage = _fill(engine, [1, 20, 40, 50, 60])
    url = engine.url
    if is_async:
        url = url.set(drivername="sqlite+aiosqlite" if engine.dialect.name == "sqlite" else "postgresql+asyncpg")
    result = _run(f"{models}:metadata", "--url", url.render_as_string(hide_password=False), "--batch", "2")
    assert (result.output, result.exit_code) == ("Visit: 3 deleted\n", 0)
    assert storage.count("Visit") == 2


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("{}", [], "is not of the form module:name"),
        ("{}_none:metadata", [], "No module named"),
        ("{}:none", [], "has no 'none'"),
        ("{}:visit", [], "base must be a DeclarativeBase"),
        ("{}:metadata", ["--record", "Kept"], "Kept has no retention="),
        ("{}:metadata", ["--record", "None"], "None"),
        ("{}:metadata", ["--url", "nonsense"], "Could not parse SQLAlchemy URL"),
        ("{}:metadata", ["--url", "oracle://"], "racle"),  # its driver is missing: oracledb or cx_Oracle
        ("{}:metadata", ["--batch", "0"], "Invalid value for '--batch'"),
    ],
)
def test_wrong_arguments(engine: Engine, models: str, name: str, options: list[str], message: str) -> None:
    _fill(engine, [60])
    result = _run(name.format(models), "--url", _url(engine), *options)
    assert result.exit_code != 0
    assert message in result.output
    assert isinstance(result.exception, SystemExit), "no traceback"


def test_a_missing_table_is_no_traceback(engine: Engine, models: str) -> None:
    result = _run(f"{models}:metadata", "--url", _url(engine))
    assert result.exit_code == 1
    assert "visit" in result.output


def test_nothing_to_prune(engine: Engine, models: str) -> None:
    result = _run(f"{models}:plain", "--url", _url(engine))
    assert (result.output, result.exit_code) == ("No entity has retention=, so that all records are kept.\n", 0)
