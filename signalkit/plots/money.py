"""Figures of notebook 06 on what stands behind the equity: months, trades, costs, size."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm

from signalkit.plots.figure import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    canvas,
    finish,
    legend,
    log_axis,
    nothing,
)

# capitals so far apart need a log scale
_WIDE = 3
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def plot_months(months: pd.DataFrame, *, finding: str, ax: Axes | None = None) -> Axes:
    """Return of each month as a map of years and months.

    Parameters
    ----------
    months : DataFrame indexed by year, twelve columns
        Fractions, NaN where there is no bar.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax, height=1.2 + 0.28 * len(months))
    values = 100 * months.to_numpy(dtype=float)
    reach = max(np.nanmax(np.abs(values)), 0.1) if np.isfinite(values).any() else 0.1
    picture = ax.pcolormesh(
        np.arange(13) - 0.5,
        np.arange(len(months) + 1) - 0.5,
        np.ma.masked_invalid(values),
        cmap="RdBu",
        norm=TwoSlopeNorm(0, -reach, reach),
        edgecolors="white",
        linewidth=0.6,
    )
    for (year, month), value in np.ndenumerate(values):
        if np.isfinite(value):
            ink = "white" if abs(value) > 0.6 * reach else "black"
            ax.text(month, year, f"{value:.1f}", ha="center", va="center", fontsize=7, color=ink)
    ax.grid(visible=False)
    ax.invert_yaxis()
    ax.set_xticks(range(12), _MONTHS)
    ax.set_yticks(range(len(months)), months.index)
    ax.set(xlabel="month", ylabel="year")
    ax.figure.colorbar(picture, ax=ax, label="return (%)", pad=0.01)
    return finish(ax, finding, "Heat map of the return of each month in percent, a row a year.")


def plot_rolling(
    rolling: pd.DataFrame, *, window: str, finding: str, ax: Axes | None = None
) -> Axes:
    """Sharpe ratio of a window that moves along.

    Parameters
    ----------
    rolling : DataFrame indexed by time
        Columns `strategy` and `hold`: annual Sharpe ratio of the window that ends there.
    window : str
        Length of the window in words, for the label.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    label = f"Sharpe ratio, annual, over {window}"
    if rolling.dropna(how="all").empty:
        return nothing(ax, finding, xlabel="bar end (UTC)", ylabel="Sharpe ratio, annual")
    ax = canvas(ax, height=2.8)
    ax.plot(rolling["hold"], color=GREY, linewidth=0.9, label="buy and hold")
    ax.plot(rolling["strategy"], color=BLUE, label="strategy, net of costs")
    ax.axhline(0, color="black", linewidth=0.7)
    ax.set(xlabel="bar end (UTC)")
    ax.set_ylabel(label, fontsize=8)
    legend(ax)
    return finish(ax, finding, f"Line chart of the annual Sharpe ratio over {window}.")


def plot_trades(
    close: pd.Series, trades: pd.DataFrame, *, finding: str, ax: Axes | None = None
) -> Axes:
    """Trades of one symbol on its price.

    Parameters
    ----------
    close : Series indexed by time
        Closes.
    trades : DataFrame
        `side entry_time exit_time entry_price exit_price pnl` of the symbol's trades.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    if trades.empty:
        return nothing(ax, finding, xlabel="bar end (UTC)", ylabel="price (quote currency)")
    ax = canvas(ax)
    ax.plot(close, color=GREY, linewidth=0.8, label="close")
    for side, mark, name in (("long", "^", "buys"), ("short", "v", "sells short")):
        mine = trades[trades["side"] == side]
        colour = GREEN if side == "long" else RED
        if len(mine):
            ax.plot(mine["entry_time"], mine["entry_price"], mark, ms=5, color=colour, label=name)
    ends = trades.dropna(subset=["exit_time"])
    ax.plot(ends["exit_time"], ends["exit_price"], "x", ms=4, color=BLACK, label="closes")
    log_axis(ax)
    ax.set(xlabel="bar end (UTC)", ylabel="price (quote currency)")
    legend(ax)
    return finish(ax, finding, "Line chart of the close with a mark at each entry and exit.")


def plot_confidence(table: pd.DataFrame, *, finding: str, ax: Axes | None = None) -> Axes:
    """Mean return of trades by the confidence that caused them.

    Parameters
    ----------
    table : DataFrame, a row a group from the least confident on
        `return_mean return_low return_high` (fractions of the entry value), `hit_rate`, `n`,
        `confidence`.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    words = {"xlabel": "confidence of the prediction", "ylabel": "mean return of a trade (%)"}
    if table.empty:
        return nothing(ax, finding, **words)
    ax = canvas(ax, height=2.8)
    places = np.arange(len(table))
    ax.vlines(
        places, 100 * table["return_low"], 100 * table["return_high"], color=BLUE, linewidth=1.2
    )
    ax.plot(places, 100 * table["return_mean"], "o", color=BLUE, label="mean, with interval")
    ax.axhline(0, color="black", linewidth=0.7)
    ax.set(**words)
    names = [
        f"{row.confidence:.2f}\n{row.hit_rate:.0%} won\nn {row.n:.0f}" for row in table.itertuples()
    ]
    ax.set_xticks(places, names, fontsize=7)
    legend(ax)
    return finish(ax, finding, "Dots of the mean return of trades in percent by confidence.")


def plot_bracket(equity: pd.DataFrame, *, finding: str, ax: Axes | None = None) -> Axes:
    """Equity under the worst, the stated and the best legal fills.

    Parameters
    ----------
    equity : DataFrame indexed by time
        Columns `pessimistic`, `base`, `optimistic`, multiples of starting capital.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax)
    bounds = equity[["pessimistic", "optimistic"]]
    low, high = bounds.min(axis=1), bounds.max(axis=1)
    ax.fill_between(equity.index, low, high, color=BLUE, alpha=0.2, lw=0, label="all between")
    for name, colour in (("optimistic", GREEN), ("base", BLUE), ("pessimistic", ORANGE)):
        ax.plot(equity[name], color=colour, linewidth=1.0, label=f"{name} fills")
    if (equity > 0).all(axis=None) and equity.max(axis=None) > _WIDE * equity.min(axis=None):
        log_axis(ax)
    ax.set(ylabel="capital (start = 1)", xlabel="bar end (UTC)")
    legend(ax)
    shows = "Line chart of the capital under pessimistic, base and optimistic fills."
    return finish(ax, finding, shows)


def plot_capacity(table: pd.DataFrame, *, finding: str, ax: Axes | None = None) -> Axes:
    """Annual return against the capital that is managed, under market impact.

    Parameters
    ----------
    table : DataFrame indexed by capital, in quote currency
        `return_annual`, a fraction.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    words = {"xlabel": "capital (quote currency)", "ylabel": "annual return (%)"}
    if table.empty:
        return nothing(ax, finding, **words)
    ax = canvas(ax, height=2.8)
    ax.plot(100 * table["return_annual"], "o-", color=BLUE, ms=4, label="strategy, with impact")
    ax.axhline(0, color="black", linewidth=0.7)
    ax.set_xscale("log")
    ax.set(**words)
    legend(ax)
    return finish(ax, finding, "Line chart of the annual return in percent by capital.")
