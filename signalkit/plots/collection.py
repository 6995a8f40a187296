"""Figures of notebook 01: prices and the quality of bars."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from signalkit.plots.figure import BLUE, GREY, ORANGE, RED, SERIES, canvas, finish, legend, log_axis


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


def plot_gap_map(
    covered: pd.DataFrame, missing: pd.DataFrame, *, finding: str, ax: Axes | None = None
) -> Axes:
    """When there are bars of each symbol, and where some are missing.

    Parameters
    ----------
    covered : DataFrame indexed by symbol
        `first` and `last` bar end.
    missing : DataFrame of shape (n_gaps, 4)
        `symbol`, `first`, `last`, `bars`.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax, height=1.4 + 0.4 * len(covered))
    places = {symbol: place for place, symbol in enumerate(reversed(covered.index))}
    for symbol, row in covered.iterrows():
        ax.plot([row["first"], row["last"]], [places[symbol]] * 2, color=BLUE, linewidth=9)
    for gap in missing.itertuples():
        ends = [gap.first, gap.last]
        ax.plot(ends, [places[gap.symbol]] * 2, color=RED, linewidth=9, solid_capstyle="butt")
        ax.plot(gap.first, places[gap.symbol] + 0.3, "v", color=RED, markersize=4)
    ax.set_yticks(list(places.values()), list(places))
    ax.set(xlabel="bar end (UTC)", ylabel="symbol", ylim=(-0.6, len(places) - 0.3))
    shows = "Time line of the bars of each symbol; red marks stand where bars are missing."
    return finish(ax, finding, shows)


def plot_anomalies(
    weeks: pd.DataFrame, *, limit: float, finding: str, ax: Axes | None = None
) -> Axes:
    """The highest volume and range of each week over their usual value, log scale.

    Parameters
    ----------
    weeks : DataFrame indexed by (symbol, week)
        `volume` and `range` as multiples of the usual.
    limit : float
        From where on a bar counts as odd.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax)
    times = weeks.index.get_level_values("week")
    for name, colour, mark in (("volume", BLUE, "o"), ("range", ORANGE, "x")):
        ax.plot(times, weeks[name], mark, color=colour, markersize=3, alpha=0.7, label=name)
    ax.axhline(limit, color=GREY, linewidth=1)
    log_axis(ax)
    ax.set(ylabel="times the usual (highest of a week)", xlabel="week of bar ends (UTC)")
    legend(ax)
    shows = "Points of the highest volume and range of each week and symbol as multiples of the"
    return finish(ax, finding, f"{shows} median before; a line at {limit:g}.")


def plot_news(daily: pd.DataFrame, *, finding: str, ax: Axes | None = None) -> Axes:
    """News a day as bars, and their mean sentiment over 30 days as a line.

    Parameters
    ----------
    daily : DataFrame indexed by day
        `items`, and `sentiment_30`, the mean sentiment of 30 days.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax)
    ax.bar(daily.index, daily["items"], width=1.0, color=GREY, label="items a day")
    tone = ax.twinx()
    tone.spines[["top"]].set_visible(False)
    tone.plot(daily.index, daily["sentiment_30"], color=BLUE, label="sentiment, mean of 30 days")
    tone.axhline(0, color=BLUE, linewidth=0.6, linestyle=":")
    tone.set(ylabel="sentiment (-1 to 1)", ylim=(-1, 1))
    ax.set(ylabel="items a day", xlabel="day known (UTC)")
    legend(ax, below=True)
    shows = "Bar chart of news items a day with a line of their mean sentiment over 30 days."
    return finish(ax, finding, shows)
