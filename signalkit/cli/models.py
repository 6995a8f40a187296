"""The verbs of registered models: listed, shown, deployed, archived."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from signalkit.cli.command import main

if TYPE_CHECKING:
    from signalkit.store import Registered


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
