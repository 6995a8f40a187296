"""The verb that collects: bars of an exchange and news, into the store."""

from __future__ import annotations

from contextlib import closing

import click

from signalkit.cli.command import Listing, main, moment, stop_on_signal
from signalkit.errors import ParamsError


@main.command(cls=Listing)
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
    asked = {"since": moment(since), "recheck": recheck}
    with closing(Exchange(source, url=url)) as market, Store.open() as store:
        if follow:
            with stop_on_signal() as stop:
                table = collector.follow(market, store, symbols, interval, stop=stop, **asked)
            click.echo(f"stopped; {table['added'].sum()} bars added, all that came is stored")
        else:
            until_then = moment(until, whole_day=True)
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
