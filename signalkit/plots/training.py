"""Figures of notebook 04: how models learned, what they lean on, what each column is worth."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from signalkit.plots.figure import (
    BLUE,
    GREY,
    canvas,
    dots,
    finish,
    legend,
    model_colour,
    names_of_rows,
    nothing,
)


def plot_learning(curves: pd.DataFrame, *, finding: str, ax: Axes | None = None) -> Axes:
    """Loss of every watched model while it learned, on what it learned from and on later rows.

    Parameters
    ----------
    curves : DataFrame indexed by (model_id, step)
        `train` and `watch`, as multiples of the model's first watched loss; a step is an epoch
        or a round, counted from 1. Empty where no model was watched.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    xlabel, ylabel = "epoch or round (log scale)", "loss (first watched = 1)"
    if curves.empty:
        return nothing(ax, finding, xlabel=xlabel, ylabel=ylabel)
    ax = canvas(ax)
    for i, model in enumerate(curves.index.unique("model_id")):
        mine, colour = curves.loc[model], model_colour(model, i)
        ax.plot(mine["train"], "--", linewidth=1, color=colour, label=f"{model}, learned from")
        ax.plot(mine["watch"], linewidth=1.5, color=colour, label=f"{model}, watched")
        ax.plot(mine["watch"].idxmin(), mine["watch"].min(), "o", ms=7, color=colour)
    ax.plot([], [], "o", ms=7, color=GREY, label="best, kept")
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale="log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    legend(ax)
    shows = "Line chart of each watched model's loss by step: dashed on the rows it learned from,"
    return finish(ax, finding, f"{shows} solid on later rows, a dot at the step that was kept.")


def plot_trials(trials: pd.DataFrame, *, metric: str, finding: str, ax: Axes | None = None) -> Axes:
    """Score of every trial of each model's search for settings, and the best so far.

    Parameters
    ----------
    trials : DataFrame indexed by (model_id, number)
        `value`, less is better, NaN where a trial was given up, and `best`, the least so far.
    metric : str
        Name and unit of the score, for the axis.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax)
    for i, model in enumerate(trials.index.unique("model_id")):
        mine, colour = trials.loc[model], model_colour(model, i)
        ax.plot(mine["value"], "o", ms=4, color=colour, alpha=0.6, label=model)
        ax.plot(mine["best"], drawstyle="steps-post", color=colour, linewidth=1.2)
    ax.set(xlabel="trial (the first has the settings of the params)", ylabel=metric)
    legend(ax)
    shows = f"Dots: {metric} of every trial by model, with a line at the best so far."
    return finish(ax, finding, shows)


def plot_importance(importance: pd.DataFrame, *, finding: str, ax: Axes | None = None) -> Axes:
    """Share of gain of each feature, one bar a model.

    Parameters
    ----------
    importance : DataFrame of shape (n_features, n_models)
        Shares of gain that sum to 1 a column, in the order to draw; empty without trees.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    if importance.empty:
        return nothing(ax, finding, xlabel="share of the gain (%)", ylabel="feature")
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
        `permutation low high`; the features of the first model give the order to draw. Empty
        without trees.
    level : float
        Coverage of the intervals.
    unit : str
        Unit of the loss, for the axis.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    told = f"rise of the loss when permuted ({unit}), with {level:.0%} interval"
    if worth.empty:
        return nothing(ax, finding, xlabel=told, ylabel="feature")
    models = worth.index.unique("model_id")
    names = worth.loc[models[0]].index
    ax = canvas(ax, height=1.2 + 0.24 * len(names))
    for i, model in enumerate(models):
        rows = worth.loc[model].reindex(names).rename(columns={"permutation": "value"})
        shift = 0.3 * ((len(models) - 1) / 2 - i) if len(models) > 1 else 0.0
        dots(ax, rows, shift=shift, colour=model_colour(model, i), name=model)
    ax.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    names_of_rows(ax, names, what="feature")
    ax.set(xlabel=told)
    legend(ax, below=True)
    shows = f"Dots with {level:.0%} intervals: rise of each model's loss by permuted feature."
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
        dots(ax, rows.where(found), shift=0.0, colour=colour, name=name)
    ax.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    names_of_rows(ax, rows.index, what="feature")
    ax.set(xlabel=f"rank IC with the label, with {level:.0%} interval")
    legend(ax, below=True)
    shows = f"Dots with {level:.0%} intervals: rank IC of each feature with the label."
    return finish(ax, finding, shows)
