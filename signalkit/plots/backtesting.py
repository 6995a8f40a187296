"""Figures of notebook 06 on the account itself: equity and drawdown."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from signalkit.plots.figure import BLUE, GREY, RED, canvas, finish, legend, log_axis


def plot_equity(equity: pd.DataFrame, *, finding: str, ax: Axes | None = None) -> Axes:
    """Equity of the strategy and of holding the asset, both from 1, log scale.

    Parameters
    ----------
    equity : DataFrame of shape (n_bars, 2)
        Columns `strategy` and `hold`, net of costs, as multiples of starting capital.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax)
    ax.plot(equity["strategy"], color=BLUE, label="strategy, net of costs")
    ax.plot(equity["hold"], color=GREY, linewidth=0.9, label="buy and hold")
    log_axis(ax)
    ax.set(ylabel="capital (start = 1)", xlabel="bar end (UTC)")
    legend(ax)
    shows = "Line chart of the capital of the strategy and of buy and hold, log scale."
    return finish(ax, finding, shows)


def plot_drawdown(drawdown: pd.DataFrame, *, finding: str, ax: Axes | None = None) -> Axes:
    """Distance of equity from its highest so far.

    Parameters
    ----------
    drawdown : DataFrame of shape (n_bars, 2)
        Columns `strategy` and `hold`, fractions at or below 0.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax, height=2.8)
    ax.fill_between(drawdown.index, 100 * drawdown["strategy"], 0, color=RED, alpha=0.35, lw=0)
    ax.plot(100 * drawdown["strategy"], color=RED, linewidth=0.8, label="strategy")
    ax.plot(100 * drawdown["hold"], color=GREY, linewidth=0.8, label="buy and hold")
    ax.set(ylabel="below the peak (%)", xlabel="bar end (UTC)")
    legend(ax)
    shows = "Area chart of the drawdown of the strategy in percent, with that of buy and hold."
    return finish(ax, finding, shows)
