"""Figures of notebook 05: whether confidence keeps its word, who carries it, and the placebo."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from signalkit.plots.figure import (
    BLACK,
    GREY,
    canvas,
    dots,
    finish,
    legend,
    model_colour,
    names_of_rows,
    nothing,
)

# rows of a figure that can have a name each
_NAMED = 20
# largest dot of a reliability diagram, in square points
_DOT = 70


def plot_reliability(
    reliability: pd.DataFrame, *, level: float, finding: str, ax: Axes | None = None
) -> Axes:
    """How often each model was right, by how sure it was, calibrated beside raw.

    Parameters
    ----------
    reliability : DataFrame indexed by (model_id, bin)
        `confidence accuracy accuracy_low accuracy_high n`, NaN where a bin is empty, and `raw`
        and `raw_confidence`, the same before calibration, NaN where a model has none. In the
        order to draw. Empty where the target has no probabilities.
    level : float
        Coverage of the intervals.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    xlabel, ylabel = "confidence: largest probability (%)", "share that was right (%)"
    if reliability.empty:
        return nothing(ax, finding, xlabel=xlabel, ylabel=ylabel)
    models = reliability.index.unique("model_id")
    across = 2 if len(models) == 4 else min(len(models), 3)
    down = -(-len(models) // across)
    host = canvas(ax, height=0.9 + 2.4 * down)
    host.set(xticks=[], yticks=[])
    host.spines[["left", "bottom"]].set_visible(False)
    host.set_xlabel(xlabel, labelpad=4)
    host.set_ylabel(ylabel, labelpad=26)
    whole = reliability[["confidence", "accuracy_low", "accuracy_high", "raw_confidence", "raw"]]
    reach = (100 * whole.min().min() - 3, 100 * whole.max().max() + 3)
    for i, model in enumerate(models):
        left, low = (i % across) / across, 1 - (i // across + 1) / down
        place = [left, low + 0.14 / down, 1 / across - 0.05, 0.74 / down]
        panel = host.inset_axes(place)
        _panel(panel, 100 * reliability.loc[model], model, colour=model_colour(model, i))
        panel.set(xlim=reach, ylim=reach)
    host.plot([], [], "o-", color=BLACK, label="calibrated, with interval")
    handles, labels = host.child_axes[0].get_legend_handles_labels()
    own, named = host.get_legend_handles_labels()
    host.figure.legend(
        handles + own,
        labels + named,
        frameon=False,
        loc="outside lower center",
        ncols=3,
    )
    shows = f"Reliability diagrams of {', '.join(models)}: share that was right by confidence,"
    return finish(host, finding, f"{shows} with {level:.0%} intervals, dashed before calibration.")


def _panel(ax: Axes, rows: pd.DataFrame, model: str, *, colour: str) -> None:
    """One model's diagram, in percent; a larger dot holds more rows."""
    seen = rows[rows["n"] > 0]
    ax.axline((0, 0), slope=1, color=GREY, linewidth=0.8, label="confidence keeps its word")
    ax.plot(
        rows["raw_confidence"],
        rows["raw"],
        "--",
        color=GREY,
        linewidth=1.2,
        label="before calibration",
    )
    ax.vlines(seen["confidence"], seen["accuracy_low"], seen["accuracy_high"], color=colour)
    ax.plot(seen["confidence"], seen["accuracy"], color=colour)
    ax.scatter(seen["confidence"], seen["accuracy"], s=_DOT * seen["n"] / seen["n"].sum(), c=colour)
    ax.set_title(model, fontsize=9, loc="center", color=colour)
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)


def plot_ensemble(
    weights: pd.DataFrame, disagreement: pd.Series, *, finding: str, ax: Axes | None = None
) -> Axes:
    """What each member of the ensemble weighs over time, and how far they disagree.

    Parameters
    ----------
    weights : DataFrame indexed by time
        A column a member; rows sum to 1.
    disagreement : Series indexed by time
        From 0 to 1.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax, height=4.2)
    colours = [model_colour(model, i) for i, model in enumerate(weights)]
    ax.stackplot(
        weights.index, 100 * weights.to_numpy().T, colors=colours, labels=list(weights), alpha=0.85
    )
    ax.margins(x=0)
    ax.set(xlabel="bar end (UTC)", ylabel="weight (%)", ylim=(0, 135), yticks=[0, 25, 50, 75, 100])
    lane = ax.inset_axes([0, 0.78, 1, 0.22], sharex=ax)
    lane.plot(disagreement, color=BLACK, linewidth=0.9)
    lane.margins(x=0)
    lane.set_ylabel("disagree-\nment", fontsize=8)
    lane.set_ylim(0, None)
    lane.tick_params(labelbottom=False, labelsize=8)
    lane.spines[["top", "right"]].set_visible(False)
    legend(ax)
    shows = f"Stacked weights of {', '.join(weights)} over time, under a line of their disagreement"
    return finish(ax, finding, f"{shows} from 0 to 1.")


def plot_placebo(
    real: pd.Series,
    placebo: pd.DataFrame,
    *,
    metric: str,
    level: float,
    finding: str,
    ax: Axes | None = None,
) -> Axes:
    """Lead of a model over the baseline on its labels, beside that on shifted labels.

    Parameters
    ----------
    real : Series
        `value low high` of the lead on the labels; its name is the model's.
    placebo : DataFrame indexed by shift
        `value low high` of the lead on labels shifted by so many rows; drawn from the best.
    metric : str
        Name of the score that is led in, for the axis.
    level : float
        Coverage of the intervals.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    xlabel = f"lead over the baseline in {metric}, with {level:.0%} interval"
    if placebo.empty:
        return nothing(ax, finding, xlabel=xlabel, ylabel="labels")
    shifted = placebo.sort_values("value", ascending=False, kind="stable")
    few = len(shifted) <= _NAMED
    ax = canvas(ax, height=1.6 + (0.26 * len(shifted) if few else 3.4))
    rows = pd.concat([real.to_frame().T.astype(float), shifted])[["value", "low", "high"]]
    first = np.repeat(np.arange(len(rows))[:, None] == 0, 3, axis=1)
    dots(ax, rows.where(~first), shift=0, colour=GREY, name="placebo: shifted labels")
    own = model_colour(str(real.name), 0)
    dots(ax, rows.where(first), shift=0, colour=own, name=f"{real.name}, real labels")
    ax.axvline(0, color=BLACK, linewidth=0.9, zorder=0, label="baseline")
    names = ["real", *(f"shift {shift}" if few else "" for shift in shifted.index)]
    names_of_rows(ax, pd.Index(names), what="labels")
    ax.set(xlabel=xlabel)
    legend(ax, below=True)
    shows = f"Dots with intervals: lead of {real.name} in {metric} on the real labels, and on"
    return finish(ax, finding, f"{shows} {len(shifted)} placebos.")
