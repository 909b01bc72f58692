"""``interaqt-sa graph``: what computed values are computed from."""

from __future__ import annotations

import json

import click
from sqlalchemy.orm import sessionmaker

from ..engine.engine import ComputationGraph
from ..errors import FrameworkError
from ..runtime.system import System
from .target import imported


@click.command()
@click.argument("models", metavar="MODULE:NAME")
@click.option("--affected-by", metavar="NAME", help="Only what a change of this attribute or record changes.")
@click.option("--mermaid", "as_mermaid", is_flag=True, help="Print a Mermaid flowchart.")
@click.option("--json", "as_json", is_flag=True, help="Print the graph as JSON.")
def graph(models: str, affected_by: str | None, as_mermaid: bool, as_json: bool) -> None:
    """Show what every computed value is computed from; no database is needed.

    MODULE:NAME is the application's Base, registry or MetaData, as in app.models:Base.
    """
    base = imported(models)
    try:
        found = System(sessionmaker(), base=base).graph()
    except (FrameworkError, TypeError) as error:
        raise click.ClickException(str(error)) from error
    if affected_by is not None:
        names = set(found.affected_by(affected_by))
        found = ComputationGraph([node for node in found.nodes if node.name in names])
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))
    elif as_mermaid:
        click.echo(found.mermaid(), nl=False)
    else:
        click.echo(str(found) or "Nothing is computed.")
