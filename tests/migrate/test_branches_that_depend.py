"""The check at the end of an upgrade is made on branches of revisions too, linked by ``depends_on`` or not."""

from __future__ import annotations

from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory

import interaqt_sa as iq
from interaqt_sa.migrate.upgrade_completeness import UnfilledValuesError
from tests.migrate.environment import Environment
from tests.migrate.test_no_value_is_skipped import ROWS, named


@pytest.mark.parametrize("linked", ["", "by a label", "by an id", "to its base"])
def test_a_value_that_no_branch_fills_is_an_error(environment: Environment, linked: str) -> None:
    environment.use(named())
    command.revision(environment.config(), message="first", autogenerate=True, branch_label="first")
    environment.upgrade()
    environment.run(*ROWS)
    (first,) = environment.heads()
    links = {"by a label": "first", "by an id": first[:6], "to its base": first}
    command.revision(environment.config(), message="later", head="base", depends_on=links.get(linked))
    if linked == "to its base":
        command.revision(environment.config(), message="more", head="first@head")
    environment.use(named(iq.Average("items", "n")))  # no revision adds its column

    for _ in range(2):  # and not only the first time
        with pytest.raises(UnfilledValuesError, match=r"Box.value_: its column does not exist"):
            environment.upgrade("heads")


def test_a_branch_alone_need_not_be_complete(environment: Environment) -> None:
    environment.use(named())
    command.revision(environment.config(), message="first", autogenerate=True)
    environment.upgrade()
    (first,) = environment.heads()
    command.revision(environment.config(), message="second", head=first)
    made: Any = command.revision(environment.config(), message="later", head="base", depends_on=first)
    environment.use(named(iq.Average("items", "n")))
    environment.upgrade(made.revision)
    assert len(ScriptDirectory.from_config(environment.config()).get_heads()) == 2
