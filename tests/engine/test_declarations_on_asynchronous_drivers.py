"""Unusual declarations are followed on asyncpg and aiosqlite too: the tests of synchronous drivers, in a greenlet."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

import interaqt_sa as iq
from tests.declarative import test_leaders_of_other_forms as leaders
from tests.declarative import test_single_table as single_table
from tests.declarative.kept import Kept
from tests.engine import test_foreign_models_untouched as foreign
from tests.engine import test_spellings_of_declarations as spellings

CASES: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    (spellings.test_info_beside_a_computation_keeps_both_in_every_spelling, {}),
    (spellings.test_info_in_dataclasses_tables_and_copies_of_tables, {}),
    (spellings.test_two_metadata_under_one_base, {}),
    (spellings.test_two_registries_over_one_metadata, {}),
    (spellings.test_a_foreign_key_on_a_subclass_of_a_single_table, {}),
    (spellings.test_a_column_of_the_applications_own_is_not_taken_for_a_hidden_one, {}),
    *(
        (spellings.test_a_table_of_versions_takes_values_and_declares_nothing, {"how": how})
        for how in ("to_metadata", "copied columns", "class over copied columns")
    ),
    *(
        (spellings.test_models_over_a_database_that_has_the_hidden_columns, {"how": how})
        for how in ("automap", "deferred", "autoload_with")
    ),
    *((foreign.test_abstract_concrete_classes_can_be_mapped, {"strict": strict}) for strict in (True, False)),
    (foreign.test_concrete_classes_can_be_mapped, {}),
    (leaders.test_trees, {}),
    (leaders.test_joined_and_single_table_inheritance, {}),
    (leaders.test_keys_and_types_that_are_converted, {}),
    (leaders.test_one_table_is_created, {}),
    (foreign.test_nothing_has_an_info_that_gave_none, {}),
]


def _name(case: tuple[Callable[..., Any], dict[str, Any]]) -> str:
    function, arguments = case
    return "-".join([function.__name__.removeprefix("test_"), *map(str, arguments.values())])


@pytest.mark.parametrize("case", CASES, ids=_name)
async def test_as_on_synchronous_drivers(
    async_engine: AsyncEngine, case: tuple[Callable[..., Any], dict[str, Any]]
) -> None:
    function, arguments = case
    engine = async_engine.sync_engine

    def make_system(base: Any, **options: Any) -> iq.System:
        system = iq.System(engine, base=base, **options)
        base.metadata.create_all(engine)
        return system

    def keep(base: Any, **options: Any) -> Kept:
        return Kept(engine, base, **options)

    given = {"engine": engine, "make_system": make_system, "keep": keep}
    asked = {name: given[name] for name in inspect.signature(function).parameters if name in given}
    assert asked
    await greenlet_spawn(function, **asked, **arguments)


async def test_classes_of_a_single_table(async_engine: AsyncEngine) -> None:
    def run() -> None:
        for name, function in vars(single_table).items():
            if name.startswith("test_") and "market" in inspect.signature(function).parameters:
                single_table.Base.metadata.drop_all(async_engine.sync_engine)
                market = inspect.unwrap(single_table.market)
                function(market(lambda base, **options: Kept(async_engine.sync_engine, base, **options)))

    await greenlet_spawn(run)
