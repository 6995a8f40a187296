"""The verbs of a study: executed, trained, simulated, executed again; and the house's state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from signalkit.cli.command import Listing, main


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


@main.command(cls=Listing)
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

    With --walk-forward it is scored on windows that it has not seen; its scores and what it
    predicted there are kept with it. An interrupted one goes on where it was.
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
    past = study.validate() if walk_forward else None
    for model, number in register(study, scores, past).items():
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
