"""Figures of notebook 05: folds, gains over the baseline, scores over time."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from signalkit.plots.figure import (
    BLUE,
    GREY,
    ORANGE,
    canvas,
    finish,
    legend,
    log_axis,
    model_colour,
)


def plot_folds(
    folds: pd.DataFrame, close: pd.Series, *, finding: str, ax: Axes | None = None
) -> Axes:
    """Training and test windows of every fold over the price line.

    Parameters
    ----------
    folds : DataFrame indexed by fold
        `train_from train_to test_from test_to`.
    close : Series
        Closes of one symbol.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax, height=4.4)
    for fold, row in folds.iterrows():
        for start, stop, colour in (
            (row["train_from"], row["train_to"], BLUE),
            (row["test_from"], row["test_to"], ORANGE),
        ):
            ax.plot([start, stop], [fold, fold], color=colour, linewidth=5, solid_capstyle="butt")
    ax.set(xlabel="bar end (UTC)", ylabel="fold", ylim=(len(folds) - 0.4, -0.6))
    price = ax.twinx()
    price.plot(close, color=GREY, linewidth=0.7)
    log_axis(price)
    price.set_ylabel(f"close of {close.name}")
    price.spines["top"].set_visible(False)
    for colour, name, width in (
        (BLUE, "train, purged", 5),
        (ORANGE, "test", 5),
        (GREY, "close", 1),
    ):
        ax.plot([], [], color=colour, linewidth=width, label=name)
    legend(ax, below=True)
    shows = f"Training and test windows of {len(folds)} folds over the price line."
    return finish(ax, finding, shows)


def plot_gains(gains: pd.DataFrame, *, level: float, finding: str, ax: Axes | None = None) -> Axes:
    """Lead of each model over the baseline with its interval, in interval half-widths.

    Parameters
    ----------
    gains : DataFrame indexed by (model_id, metric)
        `gain gain_low gain_high`, more is better.
    level : float
        Coverage of the intervals.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    metrics, models = gains.index.unique("metric"), gains.index.unique("model_id")
    ax = canvas(ax, height=1.4 + 0.45 * len(metrics))
    half = (gains["gain_high"] - gains["gain_low"]) / 2
    for i, model in enumerate(models):
        row = gains.xs(model, level="model_id").reindex(metrics)
        width = half.xs(model, level="model_id").reindex(metrics)
        middle = row["gain"] / width
        reach = [middle - row["gain_low"] / width, row["gain_high"] / width - middle]
        places = np.arange(len(metrics))[::-1] + 0.22 * ((len(models) - 1) / 2 - i)
        colour = model_colour(model, i)
        ax.errorbar(middle, places, xerr=reach, fmt="o", ms=4, color=colour, label=model)
    ax.axvline(0, color=GREY, linewidth=1)
    ax.set_yticks(np.arange(len(metrics))[::-1], metrics)
    ax.set(xlabel=f"lead over the baseline (half-widths of its {level:.0%} interval)")
    ax.set_ylabel("score")
    legend(ax)
    shows = f"Dots with {level:.0%} intervals: lead of each model over MAJORITY in each score."
    return finish(ax, finding, shows)


def plot_scores_by_fold(
    scores: pd.DataFrame, *, metric: str, finding: str, ax: Axes | None = None
) -> Axes:
    """One score of every model from fold to fold.

    Parameters
    ----------
    scores : DataFrame indexed by test_from
        One column a model.
    metric : str
        Name and unit for the axis.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax)
    for i, model in enumerate(scores):
        ax.plot(scores[model], marker="o", ms=4, color=model_colour(model, i), label=model)
    ax.set(xlabel="first bar of the test window (UTC)", ylabel=metric)
    legend(ax)
    return finish(ax, finding, f"Line chart of {metric} of each model, fold by fold.")
