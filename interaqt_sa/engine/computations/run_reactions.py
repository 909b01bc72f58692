"""Run state machines and Transforms when an event triggers them; each kind registers here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

from ...definitions.events import MutationEvent
from ..plan import Reaction
from ..propagation.propagation import Propagation


@singledispatch
def run_effect(
    effect: Any, propagation: Propagation, reactions: Sequence[Reaction], event: MutationEvent, ctx: Any
) -> None:
    """Run ``effect``, a node of the plan, for an event.

    :param reactions: the reactions that trigger it.
    :param ctx: the context of the running dispatch.
    """
    raise TypeError(f"no function is registered to run {effect!r}")
