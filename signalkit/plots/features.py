"""Figures of notebook 02: how features relate, and what each family says of the newest bars."""

from __future__ import annotations

from itertools import groupby

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from signalkit.plots.figure import BLUE, ORANGE, canvas, finish

_DARK = "#303030"
# a lane is 1 high; the rest of it keeps lines apart
_LANE = 0.72


def plot_correlation(
    correlation: pd.DataFrame, *, groups: pd.Series, finding: str, ax: Axes | None = None
) -> Axes:
    """Heat map of the correlation of features, with a frame around each cluster.

    Parameters
    ----------
    correlation : DataFrame of shape (n_features, n_features)
        Correlations from -1 to 1, in the order to draw; NaN is grey.
    groups : Series
        Cluster of each feature; members that stand together are framed.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax, height=2.4 + 0.086 * len(correlation))
    colours = matplotlib.colormaps["RdBu_r"].with_extremes(bad="#d0d0d0")
    image = ax.imshow(correlation, cmap=colours, vmin=-1, vmax=1, aspect="auto")
    ax.grid(visible=False)
    size = float(np.clip(490 / len(correlation), 5.6, 9))
    ax.set_xticks(range(len(correlation)), correlation.columns, rotation=90, fontsize=size)
    ax.set_yticks(range(len(correlation)), correlation.index, fontsize=size)
    ax.tick_params(length=0, pad=2)
    begin = 0
    for _, members in groupby(groups.reindex(correlation.index)):
        length = len(list(members))
        if length > 1:
            corner = (begin - 0.5, begin - 0.5)
            frame = Rectangle(corner, length, length, fill=False, edgecolor=_DARK, linewidth=1.2)
            ax.add_patch(frame)
        begin += length
    where = {"location": "bottom", "shrink": 0.4, "aspect": 40, "pad": 0.01}
    key = "rank correlation; frames are clusters, grey does not vary"
    ax.figure.colorbar(image, ax=ax, label=key, **where)
    shows = f"Heat map of the rank correlations of {len(correlation)} features with each other."
    return finish(ax, finding, f"{shows} Clusters are framed.")


def plot_families(
    lines: pd.DataFrame, about: pd.DataFrame, *, finding: str, ax: Axes | None = None
) -> Axes:
    """One feature a family over time, each in a lane of its own scale, beside its usual range.

    Parameters
    ----------
    lines : DataFrame of shape (n_bars, n_features)
        Features of one symbol in the order to draw, indexed by bar end.
    about : DataFrame indexed by feature
        `family`; `unit`; `low` and `high`, the edges of its usual range; `last`, its newest
        value, and `above`, the share of its values that are below that.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax, height=1.0 + 0.72 * lines.shape[1])
    places = np.arange(lines.shape[1])[::-1]
    for place, (name, line) in zip(places, lines.items(), strict=True):
        _lane(ax, line, about.loc[name], place)
    names = [f"{about.loc[name, 'family']}\n{name}" for name in lines]
    ax.set_yticks(places, names, fontsize=8)
    newest = about.loc[list(lines)].itertuples()
    told = [f"{row.last:.3g} ({row.unit})\nabove {row.above:.0%}" for row in newest]
    ax.secondary_yaxis("right").set_yticks(places, told, fontsize=8)
    ax.grid(visible=False)
    ax.set(xlabel="bar end (UTC)", ylabel="family and feature", ylim=(-0.6, len(places) - 0.4))
    shows = "Lines of one feature of each family over time, each on its own scale with a band at"
    return finish(ax, finding, f"{shows} its usual values: {', '.join(lines)}.")


def _lane(ax: Axes, line: pd.Series, about: pd.Series, place: int) -> None:
    """A line from its lowest to its highest in a lane, with its usual range and newest value."""
    lowest = min(line.min(), about["low"])
    reach = (max(line.max(), about["high"]) - lowest) or 1.0

    def inside(value: pd.Series | float) -> pd.Series | float:
        return place + _LANE * ((value - lowest) / reach - 0.5)

    ax.axhspan(inside(about["low"]), inside(about["high"]), color="#ececec", linewidth=0)
    ax.plot(line.index, inside(line), color=BLUE, linewidth=0.9)
    ax.plot(line.index[-1], inside(about["last"]), "o", color=ORANGE, markersize=4)
