"""The `signalkit` command. Help answers at once: what is slow to import waits for its verb."""

from __future__ import annotations

import logging
import sqlite3
import sys
from pathlib import Path

import click

from signalkit import __version__
from signalkit.errors import SignalkitError


class _Plain(click.Group):
    """Commands whose refusals are one sentence on stderr and exit code 1."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except SignalkitError as refused:
            raise click.ClickException(str(refused)) from None
        except (OSError, sqlite3.Error) as refused:
            raise click.ClickException(f"the disk or the database refused: {refused}") from None


@click.group(cls=_Plain, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="signalkit")
@click.option("--quiet", is_flag=True, help="Say only what was asked for.")
def main(quiet: bool) -> None:
    """From market bars and news to a verdict a researcher can trust."""
    level = logging.WARNING if quiet else logging.INFO
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("signalkit").setLevel(level)


@main.command()
@click.argument("params", type=click.Path(path_type=Path))
def run(params: Path) -> None:
    """Execute the study that PARAMS asks for and write its report.

    What the store already holds under the same identity is read, not computed.
    """
    from signalkit import reports

    written, study = reports.run(params)
    table = study.verdict()
    numbers = ["value", "low", "high", "baseline", "lead", "lead_low", "lead_high"]
    table[numbers] = table[numbers].round(3)
    click.echo(f"\n{table.to_string()}\n")
    click.echo("\n".join(study.words()))
    click.echo(f"\n{written}")


@main.command()
@click.argument("study_name")
def verify(study_name: str) -> None:
    """Execute STUDY_NAME again in a clean process and compare every number with its report."""
    from signalkit import reports

    total, found = reports.verify(study_name)
    for difference in found[:20]:
        told = f"{difference.name}: the report has {difference.reported[:80]}"
        click.echo(f"{told}, the re-execution gives {difference.again[:80]}", err=True)
    if found:
        raise click.ClickException(
            f"{study_name}: {len(found)} of {total} numbers, texts and pictures differ"
        )
    click.echo(f"{study_name}: all {total} numbers, texts and pictures are the same")


@main.command()
def doctor() -> None:
    """Say what is installed and stored, and whether it is whole."""
    from signalkit.doctor import examine

    rows, whole = examine()
    width = max(len(name) for name, _ in rows)
    for name, told in rows:
        click.echo(f"{name:<{width}}  {told}")
    if not whole:
        raise click.ClickException("something is not whole; see above")


if __name__ == "__main__":
    main()
