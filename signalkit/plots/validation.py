"""Figures of notebook 05: folds and their borders, gains, scores in parts, drift."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from signalkit.plots.figure import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    canvas,
    dots,
    finish,
    legend,
    log_axis,
    model_colour,
    names_of_rows,
)

# colour of what a bar near the border of a fold is used for
_PARTS = {"train": BLUE, "purged": RED, "gap": GREEN, "test": ORANGE}


def plot_folds(
    folds: pd.DataFrame, close: pd.Series, *, finding: str, ax: Axes | None = None
) -> Axes:
    """Training and test windows of every fold over the price line.

    Parameters
    ----------
    folds : DataFrame indexed by fold
        `train_from train_to gap_from test_from test_to`; what lies between `train_to` and
        `gap_from` was purged, and what lies between that and `test_from` is the gap.
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
            (row["train_to"], row["gap_from"], RED),
            (row["gap_from"], row["test_from"], GREEN),
            (row["test_from"], row["test_to"], ORANGE),
        ):
            ax.plot([start, stop], [fold, fold], color=colour, linewidth=5, solid_capstyle="butt")
    ax.set(xlabel="bar end (UTC)", ylabel="fold", ylim=(len(folds) - 0.4, -0.6))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    price = ax.twinx()
    price.plot(close, color=GREY, linewidth=0.7)
    log_axis(price)
    price.set_ylabel(f"close of {close.name}")
    price.spines["top"].set_visible(False)
    for colour, name, width in (
        (BLUE, "train", 5),
        (RED, "purged", 5),
        (GREEN, "gap", 5),
        (ORANGE, "test", 5),
        (GREY, "close, log scale", 1),
    ):
        ax.plot([], [], color=colour, linewidth=width, label=name)
    legend(ax, below=True)
    shows = f"Training, purged and test spans of {len(folds)} folds over the price line."
    return finish(ax, finding, shows)


def plot_border(edge: pd.DataFrame, *, finding: str, ax: Axes | None = None) -> Axes:
    """The border between a training and a test window, bar by bar, with each label's reach.

    Parameters
    ----------
    edge : DataFrame indexed by time
        Bars of one symbol around the first test bar: `close`, `known_at`, when the bar's label
        settles, and `part`: train, purged, gap or test.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax, height=3.6)
    ax.plot(edge["close"], color=GREY, linewidth=0.7, zorder=1)
    for part, colour in _PARTS.items():
        rows = edge[edge["part"] == part]
        if rows.empty:
            continue
        ax.hlines(rows["close"], rows.index, rows["known_at"], color=colour, linewidth=1, alpha=0.6)
        ax.plot(rows["close"], "o", ms=5, color=colour, label=f"{part}: {len(rows)} bars")
    first = edge.index[edge["part"] == "test"]
    if len(first):
        ax.axvline(first[0], color=ORANGE, linewidth=1, linestyle="--", label="first test bar")
    ax.set(xlabel="bar end (UTC)", ylabel="close")
    legend(ax)
    shows = "Closes around the first test bar, a dot a bar in the colour of what it is used for,"
    return finish(ax, finding, f"{shows} with a line from each bar to when its label settles.")


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
    ax = canvas(ax, height=1.4 + 0.08 * (len(models) + 2) * len(metrics))
    half = (gains["gain_high"] - gains["gain_low"]) / 2
    scaled = gains[["gain", "gain_low", "gain_high"]].div(half, axis=0)
    scaled = scaled.set_axis(["value", "low", "high"], axis=1)
    step = 0.8 / len(models)
    for i, model in enumerate(models):
        rows = scaled.xs(model, level="model_id").reindex(metrics)
        shift = step * ((len(models) - 1) / 2 - i)
        dots(ax, rows, shift=shift, colour=model_colour(model, i), name=model)
    ax.axvline(0, color=GREY, linewidth=1, zorder=0)
    names_of_rows(ax, metrics, what="score")
    ax.set(xlabel=f"lead over the baseline (half-widths of its {level:.0%} interval)")
    legend(ax)
    shows = f"Dots with {level:.0%} intervals: lead of each model over MAJORITY in each score."
    return finish(ax, finding, shows)


def plot_parts(
    parts: pd.DataFrame,
    *,
    metric: str,
    level: float,
    finding: str,
    mark: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """One number in every part of the data, with its interval and what it is held against.

    Parameters
    ----------
    parts : DataFrame indexed by (kind, part)
        `value low high`, in the order to draw; `baseline` too where each part has its own.
        A part that is too short has no interval.
    metric : str
        Name and unit for the axis.
    level : float
        Coverage of the intervals.
    finding : str
        What the reader should see; the title.
    mark : float, optional
        What every part is held against.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax, height=1.3 + 0.22 * len(parts))
    dots(ax, parts, shift=0.0, colour=BLUE, name=f"with {level:.0%} interval")
    if "baseline" in parts:
        places = np.arange(len(parts))[::-1]
        ax.plot(parts["baseline"], places, "|", ms=11, mew=2, color=ORANGE, label="baseline")
    if mark is not None:
        ax.axvline(mark, color=ORANGE, linewidth=1.2, zorder=0, label=f"held against {mark:g}")
    names = [part if part.startswith(kind) else f"{kind}: {part}" for kind, part in parts.index]
    names_of_rows(ax, pd.Index(names), what="part of the data")
    kinds = parts.index.get_level_values("kind")
    for place in np.flatnonzero(kinds[1:] != kinds[:-1]):
        ax.axhline(len(parts) - 1.5 - place, color="#cccccc", linewidth=0.8)
    ax.set(xlabel=metric)
    legend(ax, below=True)
    shows = f"Dots with {level:.0%} intervals: {metric} in {len(parts)} parts of the data"
    return finish(ax, finding, f"{shows}, by {', '.join(kinds.unique())}.")


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


def plot_adversarial(table: pd.DataFrame, *, finding: str, ax: Axes | None = None) -> Axes:
    """How well a model tells test rows from training rows, fold by fold, beside a yardstick.

    Parameters
    ----------
    table : DataFrame indexed by test_from
        `auc` with its standard error `auc_error`, and `auc_inside` with `inside_error`, the same
        of the newer against the older half of the training window; NaN where a window is short.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax)
    style = {"ms": 4, "elinewidth": 1, "linewidth": 1}
    for value, error, colour, name in (
        ("auc_inside", "inside_error", GREY, "halves of the training window"),
        ("auc", "auc_error", BLUE, "test from training window"),
    ):
        ax.errorbar(
            table.index, table[value], table[error], fmt="o-", color=colour, label=name, **style
        )
    ax.axhline(0.5, color=BLACK, linewidth=0.9, label="cannot be told apart")
    ax.set(xlabel="first bar of the test window (UTC)", ylabel="AUC")
    legend(ax, below=True)
    shows = "Line chart, fold by fold, of the AUC with which a model tells test rows from training"
    return finish(ax, finding, f"{shows} rows, beside that of halves of the training window.")
