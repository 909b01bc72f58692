"""An operation that does nothing."""

from __future__ import annotations

from alembic.operations import MigrateOperation


class Note(MigrateOperation):
    """A placeholder where nothing has to be done, such as the reverse of a data change; rendered as a comment.

    :param subject: the operation that it reverses.
    """

    def __init__(self, text: str, subject: MigrateOperation) -> None:
        self.text = text
        self.subject = subject

    def reverse(self) -> MigrateOperation:
        return self.subject

    def to_diff_tuple(self) -> tuple[str, str]:
        return ("interaqt_note", self.text)
