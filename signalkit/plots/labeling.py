"""Figures of notebook 03: what the labels look like."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from signalkit.plots.figure import BLUE, GREY, ORANGE, SERIES, canvas, finish, legend

_DARK = "#303030"
_CLASS = {-1.0: ("sell", ORANGE), 0.0: ("hold", "#d0d0d0"), 1.0: ("buy", BLUE)}


def plot_label_balance(balance: pd.DataFrame, *, finding: str, ax: Axes | None = None) -> Axes:
    """Shares of sell, hold and buy by year, stacked to 100 %.

    Parameters
    ----------
    balance : DataFrame indexed by year
        Columns -1.0, 0.0, 1.0: shares that sum to 1.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax)
    bottom = pd.Series(0.0, index=balance.index)
    for value, (name, colour) in _CLASS.items():
        share = 100 * balance.get(value, pd.Series(0.0, index=balance.index))
        ax.bar(balance.index, share, bottom=bottom, color=colour, label=name, width=0.85)
        bottom = bottom + share
    ax.set(ylabel="labels (% of bars)", xlabel="year of the bar", ylim=(0, 100))
    ax.set_xticks(balance.index[:: 1 + len(balance) // 12])
    legend(ax)
    return finish(ax, finding, "Stacked bars of the shares of sell, hold and buy labels by year.")


def plot_returns_by_label(
    returns: dict[str, pd.Series], *, finding: str, ax: Axes | None = None
) -> Axes:
    """Histograms of the return over the horizon, one outline a symbol.

    Parameters
    ----------
    returns : dict of str to Series
        Forward returns, fractions, by symbol.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax)
    for i, (name, values) in enumerate(returns.items()):
        colour = SERIES[i % len(SERIES)]
        ax.hist(100 * values, bins=80, histtype="step", color=colour, label=name, density=True)
    ax.axvline(0, color=GREY, linewidth=0.8)
    ax.set(xlabel="return over the horizon (%)", ylabel="density", yscale="log")
    legend(ax)
    shows = "Histograms of returns over the horizon in percent, log density, one line a symbol."
    return finish(ax, finding, shows)


def plot_uniqueness(unique: pd.DataFrame, *, finding: str, ax: Axes | None = None) -> Axes:
    """Mean uniqueness of labels against their horizon, one line a kind of label.

    Parameters
    ----------
    unique : DataFrame indexed by horizon in bars
        Mean uniqueness from 0 to 1, one column a kind of label.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax)
    for i, (kind, values) in enumerate(unique.items()):
        ax.plot(unique.index, 100 * values, marker="o", color=SERIES[i % len(SERIES)], label=kind)
    ax.set(xlabel="horizon (bars)", ylabel="mean uniqueness (%)", ylim=(0, 100))
    ax.set_xticks(unique.index)
    legend(ax)
    return finish(ax, finding, "Lines of the mean uniqueness of labels against their horizon.")


def plot_widths(widths: pd.DataFrame, *, finding: str, ax: Axes | None = None) -> Axes:
    """Shares of answers, and how long they take, against the distance of the barriers.

    Parameters
    ----------
    widths : DataFrame indexed by distance, in units of the horizon's volatility
        Columns -1.0, 0.0, 1.0, shares that sum to 1, and `wait`, mean bars until a label is
        known.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax)
    names, colours = zip(*(_CLASS[value] for value in (-1.0, 0.0, 1.0)), strict=True)
    shares = [100 * widths[value] for value in (-1.0, 0.0, 1.0)]
    ax.stackplot(widths.index, shares, labels=names, colors=colours)
    ax.set(xlabel="distance of the barriers (volatilities of the horizon)", ylim=(0, 100))
    ax.set(ylabel="labels (% of bars)", xlim=(widths.index.min(), widths.index.max()))
    waits = ax.twinx()
    waits.plot(
        widths.index, widths["wait"], color=_DARK, marker="o", label="wait (right)", clip_on=False
    )
    waits.set(ylabel="mean wait (bars)", ylim=(0, 1.5 * widths["wait"].max()))
    waits.spines[["top"]].set_visible(False)
    legend(ax, below=True)
    shows = "Stacked shares of sell, hold and buy labels, and a line of the mean wait in bars."
    return finish(ax, finding, shows)
