"""The `signalkit` command. Help answers at once: what is slow to import waits for its verb."""

from __future__ import annotations

import logging
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from signalkit import __version__
from signalkit.errors import ParamsError, SignalkitError

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


class _Listing(click.Command):
    """A command whose repeatable options take several values: --symbols A B."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
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


@main.command(cls=_Listing)
@click.option("--source", help="Exchange as ccxt calls it, such as binance.")
@click.option("--symbols", multiple=True, help="One or more: BTCUSDT ETHUSDT.")
@click.option("--interval", help="Spacing of the bars: 1m, 15m, 1h, 4h, 1d, 1w.")
@click.option("--since", help="UTC time of the first bar; needed where nothing is stored yet.")
@click.option("--until", help="UTC time up to which to collect; of a date alone, to its end.")
@click.option("--follow", is_flag=True, help="Collect again at every bar's end, until stopped.")
@click.option("--url", help="Address in place of the exchange's hosts: a mirror or a proxy.")
@click.option("--recheck", is_flag=True, help="Ask again for bars that were noted as an outage.")
@click.option("--news", multiple=True, help="Feeds or files of news: URL or path, one or more.")
@click.option("--tz", help="Zone of news times that state none.")
@click.option("--latency", default="1min", help="Time from publication to use; 1min if omitted.")
def collect(
    *,
    source: str | None,
    symbols: tuple[str, ...],
    interval: str | None,
    since: str | None,
    until: str | None,
    follow: bool,
    url: str | None,
    recheck: bool,
    news: tuple[str, ...],
    tz: str | None,
    latency: str,
) -> None:
    """Collect bars of an exchange and news into the store, whole and once each.

    The same command goes on where the last one stopped, however it was stopped.
    """
    from signalkit.collection import collector
    from signalkit.collection.exchange import Exchange
    from signalkit.store import Store

    bars = {"--source": source, "--symbols": symbols, "--interval": interval}
    lacking = [name for name, given in bars.items() if not given]
    if lacking and (len(lacking) < len(bars) or not news):
        raise ParamsError(f"collect needs {', '.join(lacking)}, or --news alone")
    if follow and lacking:
        raise ParamsError("--follow is for bars; name --source, --symbols and --interval")
    failed = [path for path in news if not _collect_news(path, tz, latency)]
    if lacking:
        _tell_failed(failed)
        return
    if follow and until:
        raise ParamsError(f"--follow has no end; leave out --until {until}")
    asked = {"since": _moment(since), "recheck": recheck}
    with closing(Exchange(source, url=url)) as market, Store.open() as store:
        if follow:
            with _stop_on_signal() as stop:
                table = collector.follow(market, store, symbols, interval, stop=stop, **asked)
            click.echo(f"stopped; {table['added'].sum()} bars added, all that came is stored")
        else:
            until_then = _moment(until, whole_day=True)
            table = collector.collect(market, store, symbols, interval, until=until_then, **asked)
    click.echo(table.to_string())
    _tell_failed(failed)


def _tell_failed(failed: list[str]) -> None:
    """Fail at the end for what was refused on the way."""
    if failed:
        raise click.ClickException(f"{len(failed)} of the news were refused: {', '.join(failed)}")


def _collect_news(path: str, tz: str | None, latency: str) -> bool:
    """Put the news of a feed or a file into the store, and say what was read or refused."""
    from signalkit.collection import read_news, sentiment
    from signalkit.errors import DataError, SourceError
    from signalkit.store import Store

    try:
        found = read_news(path, tz=tz, latency=latency)
    except (DataError, SourceError) as refused:
        click.echo(f"refused: {refused}", err=True)
        return False
    report = found.attrs["report"]
    scored = found.assign(sentiment=sentiment.score(found["title"]))
    with Store.open() as store:
        added = store.write_news(scored, scorer="vader_finance")
    click.echo(
        f"{path}: {report.format}, {report.items} items of {report.rows} rows, {added} new;"
        f" {report.republished} published again, {sum(report.refused.values())} refused"
    )
    return True


def _moment(text: str | None, *, whole_day: bool = False) -> pd.Timestamp | None:
    """The UTC time that an option names; of a date alone, its end where that is asked."""
    import pandas as pd

    from signalkit.params import timestamp

    if text is None:
        return None
    date_alone = "T" not in text and ":" not in text
    return pd.Timestamp(timestamp(text)) + pd.Timedelta(int(whole_day and date_alone), "D")


@contextmanager
def _stop_on_signal() -> Iterator[Callable[[], bool]]:
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
