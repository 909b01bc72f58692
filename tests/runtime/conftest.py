"""Systems and controllers over the orders of `models`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine

from interaqt_sa.runtime.controller import Controller
from interaqt_sa.runtime.system import System
from tests.runtime.models import Base, Customer


@pytest.fixture
def make(engine: Engine) -> Callable[..., Controller]:
    """Return what makes a controller on a database where customer 1 exists; takes the controller's arguments."""

    def make(*event_sources: Any, **kwargs: Any) -> Controller:
        controller = Controller(System(engine, base=Base), event_sources=event_sources, **kwargs)
        controller.setup(install=True)
        with controller.system.session_factory.begin() as session:
            session.add(Customer(id=1))
        return controller

    return make
