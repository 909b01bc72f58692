"""``interaqt-sa prune``: delete records that need not be kept any more."""

from __future__ import annotations

import click

from .target import on_database, run_on_system


@click.command()
@on_database
@click.option("--record", help="Only this entity; default: all entities with retention=.")
@click.option("--batch", type=click.IntRange(min=1), default=1000, show_default=True, help="Records per transaction.")
def prune(models: str, url: str, record: str | None, batch: int) -> None:
    """Delete the records that need not be kept any more, by retention= of their entities.

    MODULE:NAME is the application's Base, registry or MetaData, as in app.models:Base.
    """
    deleted = run_on_system(models, url, lambda system: system.storage.prune(record, batch=batch))
    for name, count in deleted.items():
        click.echo(f"{name}: {count:,} deleted")
    if not deleted:
        click.echo("No entity has retention=, so that all records are kept.")
