"""A call with the arguments of an event as keywords says how to give them."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData
from sqlalchemy.ext.asyncio import AsyncEngine

import interaqt_sa as iq
from interaqt_sa.interactions import Interaction, Payload, PayloadItem

PAY = Interaction("pay", payload=Payload([PayloadItem("order"), PayloadItem("note")]))


def definitions() -> dict[str, Any]:
    done = iq.Entity(name="Done", properties=[iq.Property(name="note", type="string")])
    return {"entities": [done], "event_sources": [iq.EventSource("done", "Done"), PAY]}


CALLS: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    (("done",), {"order": 5}, r"not order=: dispatch\('done', \{…\}\)"),
    (("done", {}), {"order": 5, "note": 1}, r"not order=, note="),
    ((PAY,), {"order": 5}, r"dispatch\('pay', \{'user': \{…\}, 'payload': \{'order': …, 'note': …\}\}\)"),
    (("done",), {}, "but 1 arguments were given"),
    (("done", {}, None), {}, "but 3 arguments were given"),
    (("nothing",), {"order": 5}, r"dispatch\('nothing', \{…\}\)"),
    (([],), {"order": 5}, r"dispatch\(\[\], \{…\}\)"),
    ((), {"order": 5}, "order="),
]


@pytest.mark.parametrize(("args", "kwargs", "message"), CALLS)
def test_a_dispatch_with_keywords(engine: Engine, args: Any, kwargs: Any, message: str) -> None:
    controller = iq.Controller(iq.System(engine, base=MetaData()), **definitions())
    with pytest.raises(TypeError, match=message):
        controller.dispatch(*args, **kwargs)
    if args and isinstance(args[0], str):
        with pytest.raises(TypeError, match=message.replace("dispatch", "call_interaction")):
            controller.call_interaction(*args, **kwargs)


@pytest.mark.parametrize(("args", "kwargs", "message"), CALLS)
async def test_an_asynchronous_dispatch_with_keywords(
    async_engine: AsyncEngine, args: Any, kwargs: Any, message: str
) -> None:
    controller = iq.AsyncController(iq.AsyncSystem(async_engine, base=MetaData()), **definitions())
    with pytest.raises(TypeError, match=message):
        await controller.dispatch(*args, **kwargs)
    assert inspect.iscoroutinefunction(controller.dispatch)


def test_right_calls(engine: Engine) -> None:
    controller = iq.Controller(iq.System(engine, base=MetaData()), **definitions())
    controller.setup(install=True)
    assert controller.dispatch("done", {}).ok
    assert controller.dispatch(event_source="done", args={}).ok
    assert controller.dispatch("done", args={}, session=None).ok
    assert controller.call_interaction(name="pay", args={"user": {}, "payload": {"order": 1}}).ok
    assert list(inspect.signature(controller.dispatch).parameters) == ["event_source", "args", "session"]
