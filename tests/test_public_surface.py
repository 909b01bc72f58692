"""What the package shows: its names, what importing it loads, and what its errors and docstrings are good for."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
from typing import Any

import pytest

import interaqt_sa as iq

ERRORS = [
    getattr(iq, name)
    for name in iq.__all__
    if inspect.isclass(getattr(iq, name)) and issubclass(getattr(iq, name), iq.FrameworkError)
]

#: by the parts of the package: what users may rely on
PROMISED = {
    "definitions": "Dictionary Entity NonNullConstraint Property Relation Retention UniqueConstraint",
    "computations": "Any Average Computation ComputationContext ComputationResult Count Custom Every First Latest Max "
    "Min RealTime ScopedSequence Summation WeightedSummation",
    "reactions": "StateMachine StateNode StateTransfer Transform Trigger",
    "columns": "SameRow computed computed_names",
    "compilation": "Schema compile_schema",
    "systems": "AsyncSystem CheckProgress CheckReport ComputationGraph Difference GraphNode KeyRange MutationEvent "
    "System",
    "storage": "AsyncStorage MatchExp Storage",
    "dispatch": "Args AsyncController AsyncDispatchContext Controller DispatchContext DispatchResult EventSource "
    "RecordMutationSideEffect",
    "interactions": "Action BoolExp Condition Conditions Interaction InteractionEventEntity Payload PayloadItem",
    "errors": "ActivityStateError BusinessTransactionBoundaryError ComputationError ComputationProtocolError "
    "ComputedWriteError ConstraintSetupError ConstraintViolationError DefinitionError DefinitionFault FrameworkError "
    "IdempotencyError InteractionGuardError InvalidValueError MissingDependencyError NestedDispatchError "
    "RequireSerializableRetry "
    "SchedulerError SideEffectError TransactionCapabilityError TransactionOutcomeUnknownError "
    "TransactionRetryExhaustedError UnattachedWriteWarning UnfollowedWriteWarning UnmanagedWriteError",
    "errors of databases": "NormalizedDatabaseError find_constraint_violation_error is_require_serializable_retry "
    "is_retryable_transaction_error normalize_database_error run_with_transaction_retry",
}


def test_all_is_sorted_and_what_is_promised() -> None:
    assert iq.__all__ == sorted(iq.__all__)
    assert set(iq.__all__) == {name for names in PROMISED.values() for name in names.split()}


def test_nothing_else_is_public() -> None:
    public = {name for name, value in vars(iq).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert public - {"annotations"} == set(iq.__all__)


def test_names_show_their_public_path() -> None:
    for name in iq.__all__:
        value: Any = getattr(iq, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__module__ == "interaqt_sa", name
            assert value.__qualname__ == name


def test_everything_public_is_documented() -> None:
    bare = []
    for name in iq.__all__:
        value = getattr(iq, name)
        if inspect.isclass(value):
            members = {m: v for m, v in vars(value).items() if inspect.isfunction(v) or isinstance(v, property)}
            bare += [f"{name}.{m}" for m, v in members.items() if not m.startswith("_") and not inspect.getdoc(v)]
        if (inspect.isclass(value) or inspect.isfunction(value)) and not inspect.getdoc(value):
            bare.append(name)
    assert bare == []


def test_the_version_is_that_of_the_distribution() -> None:
    assert iq.__version__.startswith("0.")
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = iq.nothing


# -- what importing loads ---------------------------------------------------------------------------------------------

_LOADED = """
import sys
import sqlalchemy.orm
before = set(sys.modules)
import {module}
print(*sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}))
"""


def loaded_by(module: str) -> set[str]:
    """Return the top-level packages that importing ``module`` loads beyond those of SQLAlchemy itself."""
    script = _LOADED.format(module=module)
    run = subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, capture_output=True, text=True)
    return set(run.stdout.split())


def test_importing_the_package_loads_no_driver_and_no_extra() -> None:
    loaded = loaded_by("interaqt_sa")
    assert not loaded & {"aiosqlite", "alembic", "asyncpg", "click", "greenlet", "psycopg", "rich", "sqlite3"}
    assert "interaqt_sa" in loaded


def test_importing_the_entry_point_of_the_alembic_plugin_loads_no_alembic() -> None:
    assert "alembic" not in loaded_by("interaqt_sa.migrate._plugin")


def test_what_migrate_promises_is_there_whatever_was_imported_before() -> None:
    program = (
        "import pkgutil; from importlib import import_module; import interaqt_sa.migrate as m; "
        "[import_module(f'interaqt_sa.migrate.{one.name}') for one in pkgutil.iter_modules(m.__path__) "
        "if one.name != '__main__']; "
        "assert all(callable(getattr(m, name)) for name in m.__all__)"
    )
    for before in ("", "import alembic, interaqt_sa.migrate.operations; "):
        subprocess.run(
            [sys.executable, "-c", f"{before}from interaqt_sa.migrate import *; {program}"], check=True, timeout=60
        )


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [cls for cls in ERRORS if not issubclass(cls, iq.DefinitionError)])
@pytest.mark.parametrize("duplicate", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy], ids=["pickle", "copy"])
def test_errors_survive_pickling_with_their_data(cls: type[iq.FrameworkError], duplicate: Any) -> None:
    error = cls("what happened", record="Order", property="total", properties=("a", "b"))
    again = duplicate(error)
    assert type(again) is cls
    assert str(again) == "what happened"
    assert again.context == error.context
    assert (again.record, again.property, again.properties) == ("Order", "total", ("a", "b"))


def test_groups_of_faults_survive_pickling() -> None:
    faults = [iq.DefinitionFault("one", record="A", property="x"), iq.DefinitionFault("two", record="B")]
    again = pickle.loads(pickle.dumps(iq.DefinitionError("cannot be compiled", faults)))
    assert str(again).startswith("cannot be compiled\n  - one\n  - two")
    assert [(fault.record, fault.property) for fault in again.exceptions] == [("A", "x"), ("B", None)]
    assert isinstance(again, iq.FrameworkError)


@pytest.mark.parametrize("cls", [cls for cls in ERRORS if not issubclass(cls, iq.DefinitionError)])
def test_the_summary_of_an_error_is_its_default_message(cls: type[iq.FrameworkError]) -> None:
    assert cls.__doc__
    assert str(cls("")) == cls.__doc__.strip().partition("\n")[0]


def test_the_drawing_of_the_hierarchy_is_true() -> None:
    import interaqt_sa.errors as errors

    assert errors.__doc__ is not None
    drawn = [line for line in errors.__doc__.splitlines() if "──" in line]
    names = {line.split("── ")[1].split()[0] for line in drawn}
    assert names == {cls.__name__ for cls in ERRORS} - {"FrameworkError"}


def test_a_missing_dependency_is_an_import_error() -> None:
    assert issubclass(iq.MissingDependencyError, ImportError)
