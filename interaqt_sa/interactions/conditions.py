"""Conditions of interactions."""

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
    """A boolean expression over conditions, built with ``&``, ``|`` and ``~``.

    :param operator: ``"and"``, ``"or"``, ``"not"`` or ``"atom"``.
    :param operands: the expressions that are combined; of an atom its :class:`Condition`.

    ::

        may_close = (is_owner | is_admin) & ~is_locked
    """

    operator: Literal["and", "or", "not", "atom"]
    operands: tuple[Any, ...]

    @classmethod
    def atom(cls, condition: Condition) -> BoolExp:
        """Return the expression that is true if ``condition`` holds.

        :param condition: a :class:`Condition`.
        """
        return cls("atom", (condition,))

    def __and__(self, other: BoolExp | Condition) -> BoolExp:
        return BoolExp("and", (self, _expression(other)))

    def __or__(self, other: BoolExp | Condition) -> BoolExp:
        return BoolExp("or", (self, _expression(other)))

    def __invert__(self) -> BoolExp:
        return BoolExp("not", (self,))

    def conditions(self) -> Iterator[Condition]:
        """Yield the conditions of the expression."""
        for operand in self.operands:
            if isinstance(operand, BoolExp):
                yield from operand.conditions()
            else:
                yield operand

    def evaluate(self, holds: Callable[[Condition], bool]) -> bool:
        """Return the value of the expression; ``and`` and ``or`` short-circuit.

        :param holds: a function that returns whether a condition holds.
        """
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
    """A condition of an interaction, which rejects the dispatch if it does not hold.

    :param name: name of the condition, for the error.
    :param content: ``content(ctx, args)`` returns ``True`` or ``False``. Any other result, including ``None``, and an
        exception reject the dispatch, so that a programming error never grants access. Errors of the package and of the
        database are passed on. Under an :class:`.AsyncController` it may be a coroutine function.
    :raises DefinitionFault: if ``content`` cannot be called.

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
    """A wrapper of an expression over conditions, equivalent to the expression itself.

    :param content: a :class:`Condition` or :class:`BoolExp`.

    ::

        Interaction("Close", conditions=Conditions(is_owner | is_admin))
    """

    content: BoolExp | Condition


def condition_expression(given: Condition | Conditions | BoolExp | None) -> BoolExp | None:
    """Return the ``conditions`` argument of an interaction as an expression."""
    return None if given is None else _expression(given.content if isinstance(given, Conditions) else given)


def check_conditions(expression: BoolExp, ctx: Context, args: Mapping[str, Any]) -> None:
    """Check the conditions of an interaction.

    :raises InteractionGuardError: with the ``code`` ``CONDITION_REJECTED``, ``CONDITION_INVALID_RESULT`` or
        ``CONDITION_THROWN``, and the name of the rejecting ``condition``.
    """
    failed: list[str] = []

    def holds(condition: Condition) -> bool:
        held = _holds(condition, ctx, args)
        if not held:
            failed.append(condition.name)
        return held

    if not expression.evaluate(holds):
        names = ", ".join(map(repr, failed)) or "a negated condition holds"
        raise _rejection(ctx, f"condition not met: {names}", "CONDITION_REJECTED", failed[-1] if failed else None)


def _holds(condition: Condition, ctx: Context, args: Mapping[str, Any]) -> bool:
    try:
        found = ctx.settle(condition.content(ctx, args), f"condition {condition.name!r}")
    except (FrameworkError, DBAPIError):
        raise  # the transaction may be retried after them
    except Exception as error:
        text = f"condition {condition.name!r} threw exception: {error!r}"
        raise _rejection(ctx, text, "CONDITION_THROWN", condition.name) from error
    if not isinstance(found, bool):
        # raised, not returned, because ~condition would turn it into True
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
