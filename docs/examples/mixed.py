"""A definition beside declarative models, with a foreign key to one of them."""

from __future__ import annotations

import sqlalchemy as sa

import interaqt_sa as iq

from .existing_app import Base, Customer

Ticket = iq.Entity("Ticket", [iq.Property("open", bool, default=True)])
TicketOf = iq.Relation(
    source=Ticket, source_property="customer", target=Customer, target_property="tickets", type="n:1"
)
OpenTickets = iq.Dictionary("open_tickets", int, computation=iq.Count(Ticket, where={"open": True}))
schema = iq.compile_schema(Base, entities=[Ticket], relations=[TicketOf], dictionaries=[OpenTickets])
TicketModel = schema.mapped_class(Ticket)


def main(engine: sa.Engine) -> None:
    system = iq.System(engine, base=Base)
    Base.metadata.create_all(engine)
    with system.session_factory.begin() as session:
        customer = Customer()
        session.add_all([TicketModel(customer=customer), TicketModel(customer=customer, open=False)])
        session.flush()
        assert session.scalar(sa.select(sa.func.count()).select_from(TicketModel).join(Customer)) == 2
    assert system.storage.dictionary.get(OpenTickets) == 1


if __name__ == "__main__":
    main(sa.create_engine("sqlite://", poolclass=sa.StaticPool))
