"""The columns of hosts that deltas are addressed by."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column

from ...dialects.base import RowShape, is_exact_key
from ..plan import Host


class HostKey:
    """Columns of a host that members refer to, and what they imply for an UPDATE.

    :ivar is_exact: whether Python and the database agree on the equality and order of their values.
    :ivar is_primary: whether they are the primary key.
    :ivar is_unique: whether their values identify at most one host.
    :ivar row_shape: the shape of rows of deltas: these columns, then one number for each running column.
    """

    def __init__(self, host: Host, columns: tuple[Column[Any], ...], row_shape: RowShape) -> None:
        self.columns = columns
        self.width = len(columns)
        self.is_exact = is_exact_key(columns)
        self.is_primary = columns == host.key
        self.is_unique = host.is_known_by(columns)
        self.row_shape = row_shape
