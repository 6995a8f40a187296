"""The verbs of a deployed study: one answer now, one step of the loop, the loop that stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from signalkit.cli.command import main, moment, stop_on_signal

if TYPE_CHECKING:
    from signalkit.inference import EnsemblePrediction
    from signalkit.params import Params


@main.command()
@click.argument("symbol")
@click.option("--hours", default=24.0, help="Hours ahead; 24 if omitted.")
@click.option("--target", default="signal_direction", help="What is predicted.")
@click.option("--interval", help="Spacing of the bars, where models of several answer.")
@click.option("--at", help="Answer as at this UTC moment; now if omitted.")
@click.option("--json", "as_json", is_flag=True, help="Write the whole answer as JSON.")
def predict(symbol: str, *, hours: float, at: str | None, as_json: bool, **asked: Any) -> None:
    """Say what the deployed models predict of SYMBOL, each vote and what takes away from it."""
    from signalkit.inference import Predictor
    from signalkit.store import Store

    with Store.open() as store:
        told = Predictor(store).get_ensemble_prediction(symbol, hours, at=moment(at), **asked)
    click.echo(json.dumps(told.to_dict(), indent=1) if as_json else "\n".join(_lines(told)))


def _lines(told: EnsemblePrediction) -> Iterator[str]:
    """An answer for people."""
    asked = f"{told.symbol} {told.target}, {told.hours:g} hours ahead"
    when = "no bar" if told.time is None else f"bar of {told.time:%Y-%m-%d %H:%M}Z"
    yield f"{asked}, {when}: {_said(told.value, told.probabilities, told.confidence)}"
    if told.refused:
        yield "refused"
    if told.prediction_set is not None:
        yield f"to be reckoned with: {', '.join(told.prediction_set) or 'nothing'}"
    if told.prediction_interval is not None:
        low, high = told.prediction_interval
        yield f"to be reckoned with: from {low:.6g} to {high:.6g}"
    for vote in told.votes:
        said = _said(vote.value, vote.probabilities, vote.confidence)
        yield f"  model {vote.model} {vote.name}, weight {vote.weight:.3f}: {said}"
    for one in told.left_out:
        yield f"  model {one.model} {one.name} left out, {one.code}: {one.reason}"
    for flag in told.flags:
        yield f"  {flag.code}: {flag.detail}"


def _said(value: float | None, shares: dict[str, float] | None, confidence: float | None) -> str:
    """A value with its probabilities and how sure it is."""
    if value is None:
        return "no answer"
    if shares is None:
        return f"{value:.6g}"
    each = ", ".join(f"{side} {share:.3f}" for side, share in shares.items())
    sure = "" if confidence is None else f", confidence {confidence:.3f}"
    name = {-1: "sell", 0: "hold", 1: "buy"}[int(value)]
    return f"{name} ({each}{sure})"


@main.command()
@click.argument("params", required=False, type=click.Path(path_type=Path))
@click.option("--at", help="Play this UTC moment: nothing is collected, nothing later is read.")
@click.option("--url", help="Address in place of the exchange's hosts: a mirror or a proxy.")
def tick(params: Path | None, *, at: str | None, url: str | None) -> None:
    """Bring predictions, outcomes, scores, alarms and signals up to now: one step of the loop.

    Safe to run from cron and to run again. PARAMS names one study and says how it is watched;
    without it every deployed one is stepped. Places no orders.
    """
    from signalkit.live import Loop
    from signalkit.store import Store

    asked = _asked(params)
    with Store.open() as store, _collecting(store, url) as collect:
        click.echo(Loop(store, asked, collect=collect).step(moment(at)).words())


@main.command()
@click.argument("params", required=False, type=click.Path(path_type=Path))
@click.option("--url", help="Address in place of the exchange's hosts: a mirror or a proxy.")
@click.option("--delay", default=2.0, help="Seconds after a bar's end; 2 if omitted.")
def live(params: Path | None, *, url: str | None, delay: float) -> None:
    """Step at every bar's end until stopped.

    PARAMS names one study and says how it is watched; without it every deployed one is stepped.
    Places no orders.
    """
    from signalkit.live import Loop, follow
    from signalkit.store import Store

    asked = _asked(params)
    with Store.open() as store, stop_on_signal() as stop, _collecting(store, url, stop) as collect:
        loop = Loop(store, asked, collect=collect, stop=stop)
        steps = follow(loop, store, stop=stop, delay_seconds=delay)
    click.echo(f"stopped after {steps} steps; what was written is whole")


def _asked(path: Path | None) -> Params | None:
    """Params of a file."""
    from signalkit import params

    return None if path is None else params.read(path)


@contextmanager
def _collecting(store: Any, url: str | None, stop: Any = None) -> Iterator[Any]:
    """What collects, closed at the end."""
    from signalkit.live import Collecting

    with closing(Collecting(store, url=url, stop=stop or (lambda: False))) as collect:
        yield collect
