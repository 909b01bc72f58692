"""Arguments as plain data."""

from __future__ import annotations

import dataclasses
import enum
from collections import OrderedDict
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType, SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from interaqt_sa.runtime import dispatch_arguments as plain
from interaqt_sa.runtime.dispatch_arguments import plain_copy
from tests.runtime.models import Customer


class Color(enum.Enum):
    RED = 1


def test_scalars_stay() -> None:
    value = {
        "all": [
            None,
            True,
            1,
            1.5,
            "x",
            b"y",
            Decimal("1.50"),
            uuid4(),
            date(2026, 1, 2),
            datetime.now(UTC),
            Color.RED,
        ],
        "tuple": (1, [2]),
        "set": {1, 2},
    }
    assert plain_copy(value) == value


def test_containers_are_copied() -> None:
    inner = [1, {"a": [2]}]
    value = {"inner": inner, "proxy": MappingProxyType({"b": inner}), "ordered": OrderedDict(c=inner)}
    copied = plain_copy(value)
    inner[1]["a"].append(3)  # type: ignore[index]
    assert copied == {"inner": [1, {"a": [2]}], "proxy": {"b": [1, {"a": [2]}]}, "ordered": {"c": [1, {"a": [2]}]}}
    assert type(copied["proxy"]) is type(copied["ordered"]) is dict


class PydanticLike:
    def model_dump(self) -> dict[str, Any]:
        return {"when": date(2026, 1, 2), "lines": [{"n": 1}]}


def test_models_that_dump_themselves() -> None:
    assert plain_copy({"payload": PydanticLike()}) == {
        "payload": {"when": date(2026, 1, 2), "lines": [{"n": 1}]},
    }


def test_models_of_msgspec(monkeypatch: pytest.MonkeyPatch) -> None:
    class Struct:
        n = 1

    def to_builtins(value: Any, builtin_types: Any) -> dict[str, Any]:
        assert Decimal in builtin_types
        return {"n": value.n}

    monkeypatch.setitem(plain.sys.modules, "msgspec", SimpleNamespace(Struct=Struct, to_builtins=to_builtins))  # type: ignore[arg-type]
    assert plain_copy({"payload": Struct()}) == {"payload": {"n": 1}}


@dataclasses.dataclass
class Thing:
    n: int


async def coroutine() -> None: ...


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Customer(), r"args\['payload'\] is an instance of the mapped class Customer"),
        ([Customer()], r"args\['payload'\] is an instance"),
        ({"a": {"b": Thing(1)}}, r"args\['payload'\]\['a'\]\['b'\] is a .*\.Thing;"),
        (object, "builtins.type"),
    ],
)
def test_what_is_refused(value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        plain_copy({"payload": value})


def test_awaitables_are_refused() -> None:
    with pytest.raises(TypeError, match="await it first"):
        plain_copy({"payload": coroutine()})
