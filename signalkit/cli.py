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
from typing import TYPE_CHECKING, Any

import click

from signalkit import __version__
from signalkit.errors import ParamsError, SignalkitError

if TYPE_CHECKING:
    import pandas as pd

    from signalkit.store import Registered


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
    from signalkit.study import telling

    written, study = reports.run(params)
    table = study.verdict()
    numbers = ["value", "low", "high", "baseline", "lead", "lead_low", "lead_high"]
    table[numbers] = table[numbers].round(3)
    click.echo(f"\n{table.to_string()}\n")
    for told, alarm in telling.ordered(study.words(), study.alarms()):
        click.secho(told, fg="red" if alarm else None, bold=alarm or None)
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


@main.command(cls=_Listing)
@click.option("--model-type", required=True, help="XGBOOST, LIGHTGBM, LSTM or GRU.")
@click.option("--target", default="signal_direction", help="What is predicted.")
@click.option("--symbols", multiple=True, required=True, help="One or more: BTCUSDT ETHUSDT.")
@click.option("--interval", default="1h", help="Spacing of the stored bars; 1h if omitted.")
@click.option("--training-days", default=180, help="Days before the newest bar; 180 if omitted.")
@click.option("--prediction-horizon", default=24.0, help="Hours ahead; 24 if omitted.")
@click.option("--walk-forward", is_flag=True, help="Score it out of sample first.")
@click.option("--source", help="Exchange of the bars, where several are stored.")
def train(*, walk_forward: bool, **asked: Any) -> None:
    """Train a model on stored bars and enter it into the registry.

    With --walk-forward it is scored on windows that it has not seen, and its scores are kept
    with it; an interrupted one goes on where it was.
    """
    from signalkit.store import Store
    from signalkit.study import Study, register, request

    with Store.open() as store:
        study = Study.open(request.name(**asked), **request.sections(store, **asked))
    request.check(study, **asked)
    scores = study.evidence("scores") if walk_forward else None
    if scores is not None:
        shown = scores.loc[[asked["model_type"], "MAJORITY"], ["value", "low", "high", "gain"]]
        click.echo(f"{shown.round(4).to_string()}\n")
    for model, number in register(study, scores).items():
        click.echo(f"{model} is model {number}; signalkit models show {number}")


@main.command()
@click.argument("asked")
def backtest(asked: str) -> None:
    """Simulate the study of a PARAMS file, or a registered model by its number.

    Trades go to the database, the configuration to the ledger of trials. A model is simulated
    by its own walk-forward predictions, as its study asks.
    """
    from signalkit import params
    from signalkit.store import Store
    from signalkit.study import Study, study_of

    if asked.isdigit():
        with Store.open() as store:
            model = store.models.find(int(asked))
            sections = study_of(model, store.models.files(model.id))
    else:
        sections = params.read(Path(asked)).model_dump()
    study = Study.open(**sections)
    found = study.backtest()
    bracket = found.table("bracket").drop(columns=["low_run", "high_run"])
    click.echo(f"{bracket.round(4).to_string()}\n")
    click.echo(f"{len(found.table('trades'))} trades of {study.params.study_name} are stored")
    for words in study.words():
        click.echo(words)


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


@main.group(invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """List the trained models; show, deploy or archive one."""
    if context.invoked_subcommand is None:
        context.invoke(list_models)


@models.command("list")
def list_models() -> None:
    """One line a model, oldest first."""
    import pandas as pd

    from signalkit.store import Store
    from signalkit.store.models import NO_MODELS

    with Store.open() as store:
        rows = [_model_line(model) for model in store.models.list()]
    click.echo(pd.DataFrame(rows).to_string(index=False) if rows else NO_MODELS)


def _model_line(model: Registered) -> dict[str, str | int]:
    """What tells a model from the others."""
    usual = [name for name in ("auc", "accuracy", "mse", "mae") if name in model.metrics]
    name = next(iter([*usual, *model.metrics]), None)
    return {
        "id": model.id,
        "name": model.name,
        "type": model.model_type,
        "target": model.target_variable,
        "horizon": model.prediction_horizon,
        "status": model.status,
        "metric": "none" if name is None else f"{name} {model.metrics[name]:.4g}",
        "created": model.created_at,
    }


@models.command("show")
@click.argument("name_or_id")
def show_model(name_or_id: str) -> None:
    """Everything about a model, and whether its files are whole.

    Of several models of a name it is the deployed one, otherwise the newest.
    """
    from dataclasses import asdict

    from signalkit.errors import StoreError
    from signalkit.store import Store

    with Store.open() as store:
        model = store.models.find(name_or_id)
        for name, value in asdict(model).items():
            click.echo(f"{name:<18}  {_model_cell(value)}")
        try:
            files = store.models.files(model.id)
        except StoreError as damage:
            raise click.ClickException(str(damage)) from None
    sizes = ", ".join(f"{name} ({len(content):,} bytes)" for name, content in files.items())
    click.echo(f"{'files':<18}  whole: {sizes}")


def _model_cell(value: object) -> str:
    """A value of a model in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_model_cell(part)}" for name, part in value.items()) or "none"
    if isinstance(value, list):
        return f"{len(value)}: {', '.join(map(str, value))}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@models.command("deploy")
@click.argument("number", metavar="ID", type=int)
def deploy_model(number: int) -> None:
    """Make model ID the deployed one of its name.

    The one that was deployed before it is archived.
    """
    from signalkit.store import Store

    with Store.open() as store:
        store.models.deploy(number, actor="command")
        click.echo(f"model {number} {store.models.find(number).name!r} is deployed")


@models.command("archive")
@click.argument("number", metavar="ID", type=int)
@click.option("--force", is_flag=True, help="Even if it is deployed.")
def archive_model(number: int, force: bool) -> None:
    """Put model ID away; its files stay."""
    from signalkit.store import Store

    with Store.open() as store:
        store.models.archive(number, force=force, actor="command")
        click.echo(f"model {number} {store.models.find(number).name!r} is archived")


if __name__ == "__main__":
    main()
