"""Figures of notebook 08: performance beside its promise, the alarm, drift, and a challenger."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from signalkit.plots.figure import (
    BLUE,
    GREY,
    ORANGE,
    RED,
    canvas,
    finish,
    legend,
    log_axis,
    nothing,
)

# columns of a drift figure that can have a name each
_NAMED = 20


def plot_kept(
    scores: pd.Series, promise: pd.Series, *, what: str, finding: str, ax: Axes | None = None
) -> Axes:
    """A score of the newest predictions as outcomes come in, and where validation's windows lay.

    Parameters
    ----------
    scores : Series indexed by known_at
        One score of full windows.
    promise : Series
        `value low high` of it in validation.
    what : str
        Name of the score with its unit: the axis.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    if scores.empty:
        return nothing(ax, finding, xlabel="outcome known (UTC)", ylabel=what)
    ax = canvas(ax)
    ax.axhspan(
        promise["low"], promise["high"], color=GREY, alpha=0.18, label="validation's windows"
    )
    ax.axhline(promise["value"], color=GREY, linewidth=1.0, label="validation, whole")
    ax.plot(scores.index, scores, color=BLUE, label="newest window")
    ax.set(xlabel="outcome known (UTC)", ylabel=what)
    legend(ax)
    return finish(ax, finding, f"{what} of the newest window over time beside validation's range.")


def plot_evidence(
    evidence: pd.DataFrame, *, limit: float, finding: str, ax: Axes | None = None
) -> Axes:
    """What bettors against each claim have made of 1; above the limit the alarm is raised.

    Parameters
    ----------
    evidence : DataFrame indexed by time
        A column a stream: money after each outcome, from 1.
    limit : float
        Money at which the alarm is raised.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    if evidence.empty:
        return nothing(ax, finding, xlabel="bar predicted (UTC)", ylabel="evidence")
    ax = canvas(ax)
    for name, colour in zip(evidence, (BLUE, ORANGE, GREY), strict=False):
        ax.plot(evidence.index, evidence[name], color=colour, label=name)
    ax.axhline(limit, color=RED, linestyle="--", linewidth=1.2, label=f"alarm at {limit:g}")
    log_axis(ax)
    ax.set(xlabel="bar predicted (UTC)", ylabel="evidence against the claim (start = 1)")
    legend(ax)
    shows = f"Evidence against {', '.join(evidence)} after each outcome, log scale,"
    return finish(ax, finding, f"{shows} and the limit of {limit:g}.")


def plot_drift(drift: pd.DataFrame, *, finding: str, ax: Axes | None = None) -> Axes:
    """How far each column's newest rows are from its past, beside the most seen in the past.

    Parameters
    ----------
    drift : DataFrame indexed by column
        `psi psi_inside moved`; the first 20 rows are drawn, so sort them.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    xlabel = "population stability index, newest window against the reference"
    if drift.empty:
        return nothing(ax, finding, xlabel=xlabel, ylabel="column")
    rows = drift.iloc[:_NAMED]
    places = np.arange(len(rows))[::-1]
    ax = canvas(ax, height=1.2 + 0.24 * len(rows))
    moved = rows["moved"].to_numpy(dtype=bool)
    ax.hlines(places, rows["psi"], rows["psi_inside"], color=GREY, linewidth=0.8)
    ax.plot(rows["psi_inside"], places, "|", color=GREY, markersize=10, label="most in the past")
    ax.plot(rows["psi"][~moved], places[~moved], "o", color=BLUE, markersize=4, label="newest")
    ax.plot(rows["psi"][moved], places[moved], "D", color=RED, markersize=5, label="newest, moved")
    ax.set_yticks(places, rows.index, fontsize=8)
    ax.set(xlabel=xlabel, ylabel="column", ylim=(-0.7, len(rows) - 0.3))
    legend(ax)
    return finish(ax, finding, f"{xlabel} of {len(rows)} columns, beside the most in the past.")


def plot_lead(lead: pd.DataFrame, *, finding: str, ax: Axes | None = None) -> Axes:
    """How much more often a challenger was right than the champion, with its interval.

    Parameters
    ----------
    lead : DataFrame indexed by time
        `lead low high`, shares.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    xlabel, ylabel = "bar predicted (UTC)", "lead in accuracy (percentage points)"
    if lead.empty:
        return nothing(ax, finding, xlabel=xlabel, ylabel=ylabel)
    ax = canvas(ax)
    shown = 100 * lead[["lead", "low", "high"]]
    ax.axhline(0, color=GREY, linewidth=0.8)
    ax.fill_between(
        shown.index, shown["low"], shown["high"], color=BLUE, alpha=0.15, label="interval"
    )
    ax.plot(shown.index, shown["lead"], color=BLUE, label="challenger less champion")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    legend(ax)
    return finish(
        ax, finding, "Lead of the challenger after each common outcome, with its interval."
    )
