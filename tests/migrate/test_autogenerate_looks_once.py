"""Autogenerate looks at each declaration once, so that its time does not grow faster than the number of tables."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import Float, Integer

import interaqt_sa as iq
from interaqt_sa.migrate import declared, object_filter
from tests.migrate.boxes import boxes
from tests.migrate.environment import Environment


def test_each_once(sqlite_environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    sqlite_environment.use(
        boxes(
            total=iq.computed(iq.Summation("items", "n"), Integer(), nullable=False),
            mean=iq.computed(iq.Average("items", "n"), Float(), nullable=False),
        )
    )
    calls: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        real = getattr(module, name)

        def counted(*args: Any) -> Any:
            calls[name] += 1
            return real(*args)

        monkeypatch.setattr(module, name, counted)

    count(declared, "value_fingerprint")
    count(object_filter, "tables_of_package")
    sqlite_environment.revision()
    assert calls["value_fingerprint"] == 2
    assert calls["tables_of_package"] <= 2  # not for each table and column
