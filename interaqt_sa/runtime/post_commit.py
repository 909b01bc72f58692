"""Run ``post_commit`` and side effects after the commit of a dispatch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from sqlalchemy import MetaData

from ..definitions.event_source import EventSource, RecordMutationSideEffect
from ..definitions.events import MutationEvent
from ..errors import DefinitionFault, SideEffectError
from ..schema.filtered_lookup import filtered_record
from ..schema.foreign_key_relations import held_relation
from ..schema.merged_lookup import RECORD_TYPE, names_of_row
from ..schema.metadata_state import Catalog
from ..schema.record_lookup import record_name, resolve_record
from .context import Context
from .dispatch_arguments import is_mapping
from .result import POST_COMMIT, DispatchResult, SideEffectOutcome

_log = logging.getLogger(__name__)


class OpenContext(Protocol):
    """Create a context, with a new session unless one is given."""

    def __call__(self, source: EventSource, attempt: int, isolation: str, session: Any = None) -> Context: ...


class Aftermath:
    """Run ``post_commit`` and side effects, each with a new session; their errors do not affect the dispatch."""

    def __init__(
        self, metadata: MetaData, side_effects: Iterable[RecordMutationSideEffect], open_context: OpenContext
    ) -> None:
        self._open = open_context
        self._metadata = metadata
        self._side_effects: dict[str, list[RecordMutationSideEffect]] = {}
        self._names: dict[str, list[str]] = {}
        catalog = Catalog.of(metadata)
        for effect in side_effects:
            named = held_relation(metadata, effect.record) or filtered_record(metadata, effect.record)
            if named is not None:
                self._side_effects.setdefault(named.name, []).append(effect)
                continue
            mapper = resolve_record(metadata, effect.record)
            self._side_effects.setdefault(record_name(mapper), []).append(effect)
            if mapper.inherits is not None and mapper.class_ not in catalog.heard_classes:
                # events of rows of this class have its name from now on, not that of the class above
                catalog.heard_classes.add(mapper.class_)
                catalog.generation += 1

    def is_due(self, source: EventSource, effects: Sequence[MutationEvent]) -> bool:
        """Whether there is a ``post_commit`` or a side effect to run."""
        return source.post_commit is not None or any(self._effects_of(event) for event in effects)

    def follow(self, source: EventSource, args: Mapping[str, Any], result: DispatchResult) -> None:
        """Run ``post_commit`` and the side effects of a committed dispatch, and add their outcomes to ``result``."""
        if source.post_commit is not None:
            outcome = self._outcome(POST_COMMIT, source, result, partial(_post_commit, source, args, result))
            if not outcome.ok:
                result.side_effects[POST_COMMIT] = outcome
        if not self._side_effects:
            return
        for event in result.effects:
            for effect in self._effects_of(event):
                outcome = self._outcome(effect.name, source, result, partial(_side_effect, effect, event))
                earlier = result.side_effects.get(effect.name)
                if earlier is None or earlier.ok:
                    result.side_effects[effect.name] = outcome

    def _effects_of(self, event: MutationEvent) -> list[RecordMutationSideEffect]:
        found = [effect for name in self._names_of(event.record_name) for effect in self._side_effects.get(name, ())]
        if event.type == "update" and event.record_name in Catalog.of(self._metadata).merged:
            # updates have the name of the merged entity only
            names = names_of_row(self._metadata, event.record[RECORD_TYPE])
            found += (effect for name in names[1:] for effect in self._side_effects.get(name, ()))
        return found

    def _names_of(self, record: str) -> list[str]:
        """Return the name of a record, and of the mapped classes that it inherits from."""
        if record not in self._names:
            catalog = Catalog.of(self._metadata)
            names = [record]
            if record not in catalog.definitions and filtered_record(self._metadata, record) is None:
                with suppress(DefinitionFault):  # a link or a value, which has no class of its own
                    mapper = resolve_record(self._metadata, record)
                    names = [record_name(above) for above in mapper.iterate_to_root()]
            self._names[record] = names
        return self._names[record]

    def _outcome(
        self, name: str, source: EventSource, result: DispatchResult, work: Callable[[Context], Any]
    ) -> SideEffectOutcome:
        ctx = self._open(source, result.attempts, result.isolation)
        try:
            with ctx.sync_session:
                return SideEffectOutcome(work(ctx))
        except Exception as error:  # noqa: BLE001  the transaction is committed
            failure = SideEffectError(
                f"{name} of {source.name!r} failed after the commit, which is not undone: {error!r}", name=name
            )
            failure.__cause__ = error
            _log.error("%s", failure, exc_info=error)
            return SideEffectOutcome(error=failure)


def mapping_or_none(value: Any, where: str) -> dict[str, Any]:
    """Return ``value`` as a dict, an empty one for ``None``.

    :raises TypeError: if it is neither a mapping nor ``None``.
    """
    if value is None:
        return {}
    if not is_mapping(value):
        raise TypeError(f"{where} must return a mapping or None, not {value!r}")
    return dict(value)


def _post_commit(source: EventSource, args: Mapping[str, Any], result: DispatchResult, ctx: Context) -> None:
    assert source.post_commit is not None
    where = f"post_commit of {source.name!r}"
    found = ctx.settle(source.post_commit(ctx, args, result.data, dict(result.context)), where)
    result.context.update(mapping_or_none(found, where))


def _side_effect(effect: RecordMutationSideEffect, event: MutationEvent, ctx: Context) -> Any:
    return ctx.settle(effect.content(ctx, event), f"side effect {effect.name!r}")
