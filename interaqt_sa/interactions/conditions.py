"""Conditions: who may do what, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.exc import DBAPIError

from ..errors import DefinitionFault, FrameworkError, InteractionGuardError
from ..runtime.context import Context

CHECK = "condition"


@dataclass(frozen=True, eq=False)
class BoolExp:
    """A boolean expression over conditions, written with ``&``, ``|`` and ``~``."""

    operator: Literal["and", "or", "not", "atom"]
    operands: tuple[Any, ...]

    @classmethod
    def atom(cls, condition: Condition) -> BoolExp:
        """Return the expression that is true where ``condition`` holds."""
        return cls("atom", (condition,))

    def __and__(self, other: BoolExp | Condition) -> BoolExp:
        return BoolExp("and", (self, _expression(other)))

    def __or__(self, other: BoolExp | Condition) -> BoolExp:
        return BoolExp("or", (self, _expression(other)))

    def __invert__(self) -> BoolExp:
        return BoolExp("not", (self,))

    def conditions(self) -> Iterator[Condition]:
        """Iterate over the conditions in it."""
        for operand in self.operands:
            if isinstance(operand, BoolExp):
                yield from operand.conditions()
            else:
                yield operand

    def evaluate(self, holds: Callable[[Condition], bool]) -> bool:
        """Return the truth of the expression; ``and`` and ``or`` stop as soon as it is known."""
        match self.operator:
            case "and":
                return all(operand.evaluate(holds) for operand in self.operands)
            case "or":
                return any(operand.evaluate(holds) for operand in self.operands)
            case "not":
                return not self.operands[0].evaluate(holds)
            case "atom":
                return holds(self.operands[0])


@dataclass(frozen=True, eq=False)
class Condition:
    """Something that must hold, or a dispatch is rejected.

    :param name: for the error.
    :param content: ``content(ctx, args)`` returns ``True`` or ``False``. Everything else, also ``None``, and an error
        that it raises reject the dispatch, so that a mistake never lets anybody in. Under an
        :class:`.AsyncController` it may be a coroutine function.

    ::

        is_owner = Condition("is_owner", lambda ctx, args: args["user"]["id"] == args["payload"]["owner"])
        Interaction("Close", conditions=is_owner | is_admin)
    """

    name: str
    content: Callable[[Any, Any], Any]

    def __post_init__(self) -> None:
        if not callable(self.content):
            raise DefinitionFault(f"condition {self.name!r} needs a function content(ctx, args), not {self.content!r}")

    def __and__(self, other: BoolExp | Condition) -> BoolExp:
        return BoolExp.atom(self) & other

    def __or__(self, other: BoolExp | Condition) -> BoolExp:
        return BoolExp.atom(self) | other

    def __invert__(self) -> BoolExp:
        return ~BoolExp.atom(self)


@dataclass(frozen=True, eq=False)
class Conditions:
    """An expression over conditions: ``Conditions(is_owner | is_admin)``, the same as the expression itself."""

    content: BoolExp | Condition


def condition_expression(given: Condition | Conditions | BoolExp | None) -> BoolExp | None:
    """Return what an interaction was given as conditions, as an expression."""
    return None if given is None else _expression(given.content if isinstance(given, Conditions) else given)


def check_conditions(expression: BoolExp, ctx: Context, args: Mapping[str, Any]) -> None:
    """Check the conditions of an interaction.

    :raises InteractionGuardError: with ``code`` ``CONDITION_REJECTED``, ``CONDITION_INVALID_RESULT`` or
        ``CONDITION_THROWN``, and the ``condition`` that decided.
    """
    failed: list[str] = []

    def holds(condition: Condition) -> bool:
        held = _holds(condition, ctx, args)
        if not held:
            failed.append(condition.name)
        return held

    if not expression.evaluate(holds):
        names = ", ".join(map(repr, failed)) or "what it must not be holds"
        raise _rejection(ctx, f"condition not met: {names}", "CONDITION_REJECTED", failed[-1] if failed else None)


def _holds(condition: Condition, ctx: Context, args: Mapping[str, Any]) -> bool:
    try:
        found = ctx.settle(condition.content(ctx, args), f"condition {condition.name!r}")
    except (FrameworkError, DBAPIError):
        raise  # of the package and of the database: they may call for another attempt
    except Exception as error:
        text = f"condition {condition.name!r} threw exception: {error!r}"
        raise _rejection(ctx, text, "CONDITION_THROWN", condition.name) from error
    if not isinstance(found, bool):
        # raised, not returned: ~condition must not turn it into a yes
        text = f"condition {condition.name!r} returned {found!r}; it must return True or False"
        raise _rejection(ctx, text, "CONDITION_INVALID_RESULT", condition.name)
    return found


def _rejection(ctx: Context, text: str, code: str, condition: str | None) -> InteractionGuardError:
    return InteractionGuardError(
        f"{ctx.event_source.name}: {text}", check=CHECK, type="condition check failed", code=code, condition=condition
    )


def _expression(value: object) -> BoolExp:
    if isinstance(value, BoolExp):
        return value
    if isinstance(value, Condition):
        return BoolExp.atom(value)
    raise DefinitionFault(f"{value!r} is not a condition; give a Condition, or several joined by &, | and ~")
