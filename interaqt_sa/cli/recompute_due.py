"""``interaqt-sa recompute-due``: compute values whose time has come."""

from __future__ import annotations

import click

from .target import on_database, run_on_system


@click.command("recompute-due")
@on_database
@click.option("--batch", type=click.IntRange(min=1), default=100, show_default=True, help="Values per transaction.")
def recompute_due(models: str, url: str, batch: int) -> None:
    """Compute the RealTime values whose next time has come; run it regularly.

    MODULE:NAME is the application's Base, registry or MetaData, as in app.models:Base.
    """
    count = run_on_system(models, url, lambda system: system.recompute_due(batch=batch))
    click.echo(f"{count:,} values computed.")
