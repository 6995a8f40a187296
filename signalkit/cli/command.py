"""The command itself: how its verbs are grouped, how lists are given, how it is refused."""

from __future__ import annotations

import logging
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from signalkit import __version__
from signalkit.errors import SignalkitError

if TYPE_CHECKING:
    import pandas as pd


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


class Listing(click.Command):
    """A command whose repeatable options take several values: --symbols A B."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments with the name of a list before each of its values."""
        lists = {name for option in self.params if option.multiple for name in option.opts}
        return super().parse_args(ctx, list(_spread(args, lists)))


def _spread(args: Iterable[str], lists: set[str]) -> Iterator[str]:
    """The arguments with the name of a list before each of its values."""
    name, first = "", False
    for arg in args:
        if arg.startswith("-"):
            name = arg.partition("=")[0] if arg.partition("=")[0] in lists else ""
            first = "=" not in arg
        elif name and not first:
            yield name
        else:
            first = False
        yield arg


def moment(text: str | None, *, whole_day: bool = False) -> pd.Timestamp | None:
    """The UTC time that an option names; of a date alone, its end where that is asked."""
    import pandas as pd

    from signalkit.params import timestamp

    if text is None:
        return None
    date_alone = "T" not in text and ":" not in text
    return pd.Timestamp(timestamp(text)) + pd.Timedelta(int(whole_day and date_alone), "D")


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Whether SIGINT or SIGTERM came; a second one ends the command at once."""
    told = threading.Event()
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, _: object) -> None:
        told.set()
        signal.signal(number, kept[number])

    for number in kept:
        signal.signal(number, note)
    try:
        yield told.is_set
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
