"""Call the functions of RealTime computations."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column

from ...definitions.real_time import RealTime
from ...definitions.validation import refuse_awaitable
from ...errors import ComputationError, DefinitionFault, FrameworkError
from ..database.input_rows import InputRow
from ..plan import ComputedValue, Plan
from ..plan.inputs import add_inputs
from ..plan.kinds import add_value
from ..plan.watched_tables import Sources
from .evaluated_values import Occasion, evaluate


@add_value.register(RealTime)
def _add(real_time: RealTime[Any], plan: Plan, sources: Sources, value: ComputedValue) -> None:
    if not real_time.dependencies and real_time.next_recompute_time is None:
        raise DefinitionFault(
            "RealTime would be computed only once, for a new row: name the attributes that it reads in "
            "attribute_query=, or return the next time in next_recompute_time="
        )
    add_inputs(plan, sources, value, real_time.dependencies)
    value.due = value.running[-1]


@evaluate.register(RealTime)
def _evaluate(
    real_time: RealTime[Any], value: ComputedValue, row: InputRow, occasion: Occasion
) -> Mapping[Column[Any], Any] | None:
    column, last, due = value.running
    if occasion.now is None and row.record is None and row.stored[last] is None:
        return None  # the row of a dictionary is created with its table, and computed when it is due
    now = occasion.now or row.stored[last] or datetime.now(UTC)
    answer = _call(value, real_time.callback, now, row.data)
    following = None
    if real_time.next_recompute_time is not None:
        following = _call(value, real_time.next_recompute_time, now, row.data)
        is_time = isinstance(following, datetime) and following.tzinfo is not None
        if following is not None and not (is_time and following > now):
            raise ComputationError(
                f"{value.name}: next_recompute_time returned {following!r}; return a datetime with a time zone that is "
                f"later than {now}, or None",
                record=value.record,
                property=value.attribute,
            )
    return {column: answer, last: now, due: following}


def _call(value: ComputedValue, function: Any, now: datetime, data: Mapping[str, Any]) -> Any:
    try:
        answer = function(now, data)
    except FrameworkError:
        raise
    except Exception as error:
        raise ComputationError(
            f"{value.name}: {function!r} failed: {error}", record=value.record, property=value.attribute
        ) from error
    return refuse_awaitable(answer, value.name)
