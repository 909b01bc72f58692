"""Call the functions of Custom computations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column

from ...definitions.computation_result import ComputationContext, ComputationResult
from ...definitions.custom import Custom
from ...definitions.validation import refuse_awaitable
from ...errors import ComputationError, FrameworkError
from ..database.input_rows import InputRow
from ..plan import ComputedValue, Plan
from ..plan.inputs import add_inputs
from ..plan.kinds import add_value
from ..plan.watched_tables import Sources
from .evaluated_values import Occasion, evaluate


@add_value.register(Custom)
def _add(custom: Custom[Any], plan: Plan, sources: Sources, value: ComputedValue) -> None:
    add_inputs(plan, sources, value, custom.dependencies)


@evaluate.register(Custom)
def _evaluate(
    custom: Custom[Any], value: ComputedValue, row: InputRow, occasion: Occasion
) -> Mapping[Column[Any], Any] | None:
    where = f"{value.name}: Custom({custom.name!r})"
    try:
        answer: Any = custom.compute(
            ComputationContext(custom.name, occasion.dispatch, occasion.isolation), row.data, row.record
        )
    except FrameworkError:
        raise
    except Exception as error:
        raise ComputationError(f"{where} failed: {error}", record=value.record, property=value.attribute) from error
    refuse_awaitable(answer, where)
    if not isinstance(answer, ComputationResult):
        return {value.column: answer}
    if answer.kind == "skip":
        return None
    raise ComputationError(
        f"{where} returned {answer!r}, which compute() must not return", record=value.record, property=value.attribute
    )
