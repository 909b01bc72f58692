"""Incrementally maintained derived data for SQLAlchemy applications.

Idiom: ``import interaqt_sa as iq``; some names (``Any``, ``UniqueConstraint``) would shadow others.
"""

from __future__ import annotations

import logging as _logging
from importlib.metadata import version as _version

from .definitions.aggregates import Any as Any
from .definitions.aggregates import Average as Average
from .definitions.aggregates import Count as Count
from .definitions.aggregates import Every as Every
from .definitions.aggregates import Summation as Summation
from .definitions.computation import Computation as Computation
from .definitions.computation_result import ComputationContext as ComputationContext
from .definitions.computation_result import ComputationResult as ComputationResult
from .definitions.constraints import NonNullConstraint as NonNullConstraint
from .definitions.constraints import UniqueConstraint as UniqueConstraint
from .definitions.custom import Custom as Custom
from .definitions.dictionary import Dictionary as Dictionary
from .definitions.event_source import Args as Args
from .definitions.event_source import EventSource as EventSource
from .definitions.event_source import RecordMutationSideEffect as RecordMutationSideEffect
from .definitions.events import MutationEvent as MutationEvent
from .definitions.events import Trigger as Trigger
from .definitions.extremes import Max as Max
from .definitions.extremes import Min as Min
from .definitions.first_and_latest import First as First
from .definitions.first_and_latest import Latest as Latest
from .definitions.match import MatchExp as MatchExp
from .definitions.real_time import RealTime as RealTime
from .definitions.records import Entity as Entity
from .definitions.records import Property as Property
from .definitions.records import Relation as Relation
from .definitions.retention import Retention as Retention
from .definitions.same_row import SameRow as SameRow
from .definitions.scoped_sequence import ScopedSequence as ScopedSequence
from .definitions.state_machine import StateMachine as StateMachine
from .definitions.state_machine import StateNode as StateNode
from .definitions.state_machine import StateTransfer as StateTransfer
from .definitions.transform import Transform as Transform
from .definitions.weighted_summation import WeightedSummation as WeightedSummation
from .dialects.database_errors import NormalizedDatabaseError as NormalizedDatabaseError
from .dialects.database_errors import is_require_serializable_retry as is_require_serializable_retry
from .dialects.database_errors import is_retryable_transaction_error as is_retryable_transaction_error
from .dialects.database_errors import normalize_database_error as normalize_database_error
from .engine.engine import CheckProgress as CheckProgress
from .engine.engine import CheckReport as CheckReport
from .engine.engine import ComputationGraph as ComputationGraph
from .engine.engine import Difference as Difference
from .engine.engine import GraphNode as GraphNode
from .engine.engine import KeyRange as KeyRange
from .errors import ActivityStateError as ActivityStateError
from .errors import BusinessTransactionBoundaryError as BusinessTransactionBoundaryError
from .errors import ComputationError as ComputationError
from .errors import ComputationProtocolError as ComputationProtocolError
from .errors import ComputedWriteError as ComputedWriteError
from .errors import ConstraintSetupError as ConstraintSetupError
from .errors import ConstraintViolationError as ConstraintViolationError
from .errors import DefinitionError as DefinitionError
from .errors import DefinitionFault as DefinitionFault
from .errors import FrameworkError as FrameworkError
from .errors import IdempotencyError as IdempotencyError
from .errors import InteractionGuardError as InteractionGuardError
from .errors import InvalidValueError as InvalidValueError
from .errors import MissingDependencyError as MissingDependencyError
from .errors import NestedDispatchError as NestedDispatchError
from .errors import RequireSerializableRetry as RequireSerializableRetry
from .errors import SchedulerError as SchedulerError
from .errors import SideEffectError as SideEffectError
from .errors import TransactionCapabilityError as TransactionCapabilityError
from .errors import TransactionOutcomeUnknownError as TransactionOutcomeUnknownError
from .errors import TransactionRetryExhaustedError as TransactionRetryExhaustedError
from .errors import UnattachedWriteWarning as UnattachedWriteWarning
from .errors import UnfollowedWriteWarning as UnfollowedWriteWarning
from .errors import UnmanagedWriteError as UnmanagedWriteError
from .interactions.conditions import BoolExp as BoolExp
from .interactions.conditions import Condition as Condition
from .interactions.conditions import Conditions as Conditions
from .interactions.interaction import Action as Action
from .interactions.interaction import Interaction as Interaction
from .interactions.interaction import InteractionEventEntity as InteractionEventEntity
from .interactions.payload import Payload as Payload
from .interactions.payload import PayloadItem as PayloadItem
from .runtime.async_controller import AsyncController as AsyncController
from .runtime.async_controller import AsyncDispatchContext as AsyncDispatchContext
from .runtime.async_system import AsyncSystem as AsyncSystem
from .runtime.controller import Controller as Controller
from .runtime.controller import DispatchContext as DispatchContext
from .runtime.result import DispatchResult as DispatchResult
from .runtime.system import System as System
from .schema.compile_schema import compile_schema as compile_schema
from .schema.computed import computed as computed
from .schema.computed import computed_names as computed_names
from .schema.schema_inspection import Schema as Schema
from .session.retry import run_with_transaction_retry as run_with_transaction_retry
from .session.violations import find_constraint_violation_error as find_constraint_violation_error
from .storage import AsyncStorage as AsyncStorage
from .storage import Storage as Storage

__all__ = [
    "Action",
    "ActivityStateError",
    "Any",
    "Args",
    "AsyncController",
    "AsyncDispatchContext",
    "AsyncStorage",
    "AsyncSystem",
    "Average",
    "BoolExp",
    "BusinessTransactionBoundaryError",
    "CheckProgress",
    "CheckReport",
    "Computation",
    "ComputationContext",
    "ComputationError",
    "ComputationGraph",
    "ComputationProtocolError",
    "ComputationResult",
    "ComputedWriteError",
    "Condition",
    "Conditions",
    "ConstraintSetupError",
    "ConstraintViolationError",
    "Controller",
    "Count",
    "Custom",
    "DefinitionError",
    "DefinitionFault",
    "Dictionary",
    "Difference",
    "DispatchContext",
    "DispatchResult",
    "Entity",
    "EventSource",
    "Every",
    "First",
    "FrameworkError",
    "GraphNode",
    "IdempotencyError",
    "Interaction",
    "InteractionEventEntity",
    "InteractionGuardError",
    "InvalidValueError",
    "KeyRange",
    "Latest",
    "MatchExp",
    "Max",
    "Min",
    "MissingDependencyError",
    "MutationEvent",
    "NestedDispatchError",
    "NonNullConstraint",
    "NormalizedDatabaseError",
    "Payload",
    "PayloadItem",
    "Property",
    "RealTime",
    "RecordMutationSideEffect",
    "Relation",
    "RequireSerializableRetry",
    "Retention",
    "SameRow",
    "SchedulerError",
    "Schema",
    "ScopedSequence",
    "SideEffectError",
    "StateMachine",
    "StateNode",
    "StateTransfer",
    "Storage",
    "Summation",
    "System",
    "TransactionCapabilityError",
    "TransactionOutcomeUnknownError",
    "TransactionRetryExhaustedError",
    "Transform",
    "Trigger",
    "UnattachedWriteWarning",
    "UnfollowedWriteWarning",
    "UniqueConstraint",
    "UnmanagedWriteError",
    "WeightedSummation",
    "compile_schema",
    "computed",
    "computed_names",
    "find_constraint_violation_error",
    "is_require_serializable_retry",
    "is_retryable_transaction_error",
    "normalize_database_error",
    "run_with_transaction_retry",
]

for _name in __all__:
    # tracebacks and documentation show the public path
    if getattr(globals()[_name], "__module__", "").startswith(f"{__name__}."):
        globals()[_name].__module__ = __name__

_logging.getLogger(__name__).addHandler(_logging.NullHandler())


def __getattr__(name: str) -> str:
    if name == "__version__":
        return _version("interaqt_sa")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
