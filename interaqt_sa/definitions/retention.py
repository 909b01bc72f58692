"""How long rows are kept."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Retention:
    """How long the rows of an entity are kept, at least one of ``max_age`` and ``max_rows``.

    Nothing is deleted by itself: :meth:`.Storage.prune` or the command ``interaqt-sa prune`` delete what need not be
    kept any more, as any other delete, with events and computed values.

    :param by: the property with the time of a row, a ``"timestamp"`` or ``datetime``; rows without a time are kept.
        ``None``: the newest rows are those with the highest ids.
    :param max_age: how long a row is kept after its time; needs ``by``.
    :param max_rows: how many of the newest rows are kept.

    ::

        Entity("Visit", [Property("at", datetime)], retention=Retention(by="at", max_age=timedelta(days=90)))
    """

    _: KW_ONLY
    by: str | None = None
    max_age: timedelta | None = None
    max_rows: int | None = None
