"""``interaqt-sa check`` and ``interaqt-sa repair``: compare stored values with recomputed ones, and correct them."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ..engine.engine import CheckProgress, CheckReport, KeyRange
from ..runtime.system import System
from .target import on_database, run_on_system

C = TypeVar("C", bound=Callable[..., Any])

#: the number of differences that are listed
_LISTED = 20


def _chosen(command: C) -> C:
    """Add the options that choose rows and values, and ``--json``."""
    options = (
        click.option("--record", help="Only values of this record, such as Customer."),
        click.option("--property", "attribute", help="Only this property of the record."),
        click.option("--from", "first", help="Only rows from this primary key on."),
        click.option("--to", "last", help="Only rows up to this primary key."),
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
    )
    for option in options:
        command = option(command)
    return on_database(command)


@click.command()
@_chosen
def check(models: str, url: str, **chosen: Any) -> None:
    """Compare stored values with recomputed ones; exit with 1 if any differs.

    MODULE:NAME is the application's Base, registry or MetaData, as in app.models:Base.
    """
    report = _run(models, url, System.check, chosen)
    _tell(report, as_json=chosen["as_json"], was="")
    if not report:
        raise SystemExit(1)


@click.command()
@_chosen
def repair(models: str, url: str, **chosen: Any) -> None:
    """Correct stored values that differ from recomputed ones; other writers may be running.

    MODULE:NAME is the application's Base, registry or MetaData, as in app.models:Base.
    """
    _tell(_run(models, url, System.repair, chosen), as_json=chosen["as_json"], was="was ")


def _run(models: str, url: str, action: Callable[..., CheckReport], chosen: dict[str, Any]) -> CheckReport:
    record, first, last = chosen["record"], chosen["first"], chosen["last"]
    if record is None and (chosen["attribute"] or first is not None or last is not None):
        raise click.UsageError("--property, --from and --to belong to a record: give --record too")
    keys = None if first is None and last is None else KeyRange(_key(first), _key(last))
    with _progress() as report:
        return run_on_system(
            models,
            url,
            lambda system: action(system, record, property=chosen["attribute"], keys=keys, progress=report),
        )


def _key(text: str | None) -> Any:
    return int(text) if text is not None and text.lstrip("-").isdigit() else text


@contextmanager
def _progress() -> Generator[Callable[[CheckProgress], None]]:
    """Show a bar for each table, if standard error is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

        def show(step: CheckProgress) -> None:
            if step.record not in bars:
                bars[step.record] = progress.add_task(step.record)
            progress.update(bars[step.record], completed=step.done, total=step.total)

        yield show


def _tell(report: CheckReport, *, as_json: bool, was: str) -> None:
    if as_json:
        listed = [
            {"record": d.record, "id": d.id, "property": d.property, "stored": d.stored, "expected": d.expected}
            for d in report.differences
        ]
        found = {"ok": report.ok, "checked": report.checked, "differences": listed}
        click.echo(json.dumps(found, default=str, indent=2))
        return
    for d in report.differences[:_LISTED]:
        click.echo(f"{d.record} {d.id}: {d.property} {was or 'is '}{d.stored!r}, computed {d.expected!r}")
    if len(report.differences) > _LISTED:
        click.echo(f"… and {len(report.differences) - _LISTED:,} more; --json lists all of them")
    count = len(report.differences)
    told = "all are right" if not count else f"{count:,} differed and were corrected" if was else f"{count:,} differ"
    click.echo(f"{report.checked:,} values compared, {told}.")
