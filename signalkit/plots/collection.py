"""Figures of notebook 01: prices and the quality of bars."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from signalkit.plots.figure import SERIES, canvas, finish, legend, log_axis


def plot_closes(panel: pd.DataFrame, *, finding: str, ax: Axes | None = None) -> Axes:
    """Closes of every symbol as multiples of its first, log scale.

    Parameters
    ----------
    panel : DataFrame indexed by (symbol, time)
        Bars.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax)
    closes = panel["close"].unstack("symbol")
    for i, symbol in enumerate(closes):
        line = closes[symbol].dropna()
        ax.plot(line / line.iloc[0], color=SERIES[i % len(SERIES)], linewidth=1, label=symbol)
    log_axis(ax)
    ax.set(ylabel="close (first bar = 1)", xlabel="bar end (UTC)")
    legend(ax)
    shows = "Line chart of the closes of " + ", ".join(closes) + " over time, log scale."
    return finish(ax, finding, shows)


def plot_stale_opens(yearly: pd.DataFrame, *, finding: str, ax: Axes | None = None) -> Axes:
    """Share of bars a year whose open equals the previous close, by symbol.

    Parameters
    ----------
    yearly : DataFrame indexed by (symbol, year)
        `stale_opens`, a fraction.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax)
    shares = yearly["stale_opens"].unstack("symbol")
    width = 0.8 / shares.shape[1]
    for i, symbol in enumerate(shares):
        left = shares.index + (i + 0.5) * width - 0.4
        ax.bar(left, 100 * shares[symbol], width, color=SERIES[i % len(SERIES)], label=symbol)
    ax.set(ylabel="stale opens (% of bars)", xlabel="year", ylim=(0, 100))
    ax.set_xticks(shares.index[:: 1 + len(shares) // 12])
    legend(ax)
    return finish(ax, finding, "Bar chart of stale opens in percent of bars, by year and symbol.")
