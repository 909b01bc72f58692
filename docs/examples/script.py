"""A script: bulk statements, and a transaction that is repeated when another one stands in its way."""

from __future__ import annotations

from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.orm import Session

import interaqt_sa as iq

from .existing_app import Base, Customer, Order, SessionLocal, system


def close_all(session: Session) -> int:
    """Close all orders; called again in a fresh session after a conflict, so it does not commit."""
    closed = session.scalars(sa.update(Order).where(Order.status == "open").values(status="closed").returning(Order.id))
    return len(closed.all())


def main(engine: sa.Engine) -> None:
    SessionLocal.configure(bind=engine)
    Base.metadata.create_all(engine)
    with SessionLocal.begin() as session:
        session.add(Customer(id=1))
        session.flush()
        session.execute(sa.insert(Order), [{"customer_id": 1, "price": price, "qty": 1} for price in range(1, 101)])
    assert iq.run_with_transaction_retry(SessionLocal, close_all) == 100
    with SessionLocal() as session:
        customer = session.get_one(Customer, 1)
        assert (customer.n_open, customer.spent) == (0, Decimal(5050))
    assert system.check().ok


if __name__ == "__main__":
    main(sa.create_engine("sqlite://", poolclass=sa.StaticPool))
