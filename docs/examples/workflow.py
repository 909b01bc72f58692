"""A state machine on a declarative model, moved by an interaction."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import interaqt_sa as iq


class Base(DeclarativeBase):
    """The app's base."""


Close = iq.Interaction("Close", payload=iq.Payload([iq.PayloadItem("claim", base="Claim", is_ref=True, required=True)]))
opened, closed = iq.StateNode("open"), iq.StateNode("closed")
machine = iq.StateMachine(
    states=[opened, closed],
    initial_state=opened,
    transfers=[
        iq.StateTransfer(
            current=opened,
            next=closed,
            trigger=iq.Trigger(Close),
            compute_target=lambda _, event: event.record["payload"]["claim"],
        )
    ],
)


class Claim(Base):
    """Its status is where its machine stands; nobody assigns it."""

    __tablename__ = "claim"
    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str] = iq.computed(machine)


def main(engine: sa.Engine) -> None:
    controller = iq.Controller(iq.System(engine, base=Base), event_sources=[Close])
    controller.setup(install=True)
    with controller.system.session_factory.begin() as session:
        session.add(Claim(id=1))
    args = {"user": {"id": 1}, "payload": {"claim": {"id": 1}}}
    result = controller.dispatch(Close, args).raise_for_error()
    assert {(event.type, event.record_name) for event in result.effects} == {
        ("create", "_Interaction_"),
        ("update", "Claim"),
    }
    with controller.system.session_factory() as session:
        assert session.get_one(Claim, 1).status == "closed"


if __name__ == "__main__":
    main(sa.create_engine("sqlite://", poolclass=sa.StaticPool))
