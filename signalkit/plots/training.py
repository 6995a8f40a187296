"""Figures of notebook 04: what the fitted models lean on, and what each column is worth."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from signalkit.plots.figure import BLUE, GREY, canvas, finish, legend, model_colour


def plot_importance(importance: pd.DataFrame, *, finding: str, ax: Axes | None = None) -> Axes:
    """Share of gain of each feature, one bar a model.

    Parameters
    ----------
    importance : DataFrame of shape (n_features, n_models)
        Shares of gain that sum to 1 a column, in the order to draw.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax, height=1.2 + 0.24 * len(importance))
    places = np.arange(len(importance))[::-1]
    height = 0.8 / importance.shape[1]
    for i, model in enumerate(importance):
        colour, shift = model_colour(model, i), 0.4 - (i + 0.5) * height
        ax.barh(places + shift, 100 * importance[model], height, color=colour, label=model)
    ax.set_yticks(places, importance.index, fontsize=8)
    ax.set(xlabel="share of the gain (%)", ylabel="feature")
    ax.grid(axis="x", color="#e6e6e6", linewidth=0.7)
    legend(ax)
    return finish(ax, finding, "Bar chart of the share of gain of each feature, by model.")


def plot_permutation(
    worth: pd.DataFrame, *, level: float, unit: str, finding: str, ax: Axes | None = None
) -> Axes:
    """What each model loses outside its training windows when a feature is permuted.

    Parameters
    ----------
    worth : DataFrame indexed by (model_id, feature)
        `permutation low high`; the features of the first model give the order to draw.
    level : float
        Coverage of the intervals.
    unit : str
        Unit of the loss, for the axis.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    models = worth.index.unique("model_id")
    names = worth.loc[models[0]].index
    ax = canvas(ax, height=1.2 + 0.24 * len(names))
    for i, model in enumerate(models):
        rows = worth.loc[model].reindex(names).rename(columns={"permutation": "value"})
        shift = 0.3 * ((len(models) - 1) / 2 - i) if len(models) > 1 else 0.0
        _intervals(ax, rows, shift=shift, colour=model_colour(model, i), name=model)
    ax.set(xlabel=f"rise of the loss when permuted ({unit}), with {level:.0%} interval")
    legend(ax, below=True)
    shows = (
        f"Dots with {level:.0%} intervals: rise of each model's loss when a feature is permuted."
    )
    return finish(ax, finding, shows)


def plot_information(
    information: pd.DataFrame, *, level: float, finding: str, ax: Axes | None = None
) -> Axes:
    """Rank IC of each feature outside the training windows, with its interval.

    Parameters
    ----------
    information : DataFrame indexed by feature
        `ic low high`, in the order to draw.
    level : float
        Coverage of the intervals.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax, height=1.2 + 0.24 * len(information))
    rows = information.rename(columns={"ic": "value"})
    aside = (rows["low"] > 0) | (rows["high"] < 0)
    for found, colour, name in (
        (aside, BLUE, "interval leaves out 0"),
        (~aside, GREY, "interval holds 0"),
    ):
        _intervals(ax, rows.where(found), shift=0.0, colour=colour, name=name)
    ax.set(xlabel=f"rank IC with the label, with {level:.0%} interval")
    legend(ax, below=True)
    shows = f"Dots with {level:.0%} intervals: rank IC of each feature with the label."
    return finish(ax, finding, shows)


def _intervals(ax: Axes, rows: pd.DataFrame, *, shift: float, colour: str, name: str) -> None:
    """Dots with intervals, a row a feature from the top, and the line of nought."""
    places = np.arange(len(rows))[::-1]
    reach = [rows["value"] - rows["low"], rows["high"] - rows["value"]]
    style = {"fmt": "o", "ms": 4, "elinewidth": 1.2, "color": colour, "label": name}
    ax.errorbar(rows["value"], places + shift, xerr=reach, **style)
    ax.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    ax.set_yticks(places, rows.index, fontsize=8)
    ax.set(ylabel="feature", ylim=(-0.7, len(rows) - 0.3))
    ax.grid(axis="x", color="#e6e6e6", linewidth=0.7)
