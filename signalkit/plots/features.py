"""Figures of notebook 02: how features relate and how they look over time."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from signalkit.plots.figure import BLUE, canvas, finish


def plot_correlation(correlation: pd.DataFrame, *, finding: str, ax: Axes | None = None) -> Axes:
    """Heat map of the correlation of features.

    Parameters
    ----------
    correlation : DataFrame of shape (n_features, n_features)
        Correlations from -1 to 1, in the order to draw.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax, height=7.4)
    image = ax.imshow(correlation, cmap="RdBu_r", vmin=-1, vmax=1)
    ax.grid(visible=False)
    places = range(len(correlation))
    ax.set_xticks(places, correlation.columns, rotation=90, fontsize=8)
    ax.set_yticks(places, correlation.index, fontsize=8)
    ax.figure.colorbar(image, ax=ax, shrink=0.7, label="rank correlation")
    shows = f"Heat map of the rank correlations of {len(correlation)} features with each other."
    return finish(ax, finding, shows)


def plot_history(feature: pd.Series, *, unit: str, finding: str, ax: Axes | None = None) -> Axes:
    """One feature of one symbol over time.

    Parameters
    ----------
    feature : Series of shape (n_bars,)
        Values indexed by bar end; its name is the feature's.
    unit : str
        Unit for the axis.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax)
    ax.plot(feature, color=BLUE, linewidth=0.8)
    ax.set(ylabel=f"{feature.name} ({unit})", xlabel="bar end (UTC)")
    return finish(ax, finding, f"Line chart of {feature.name} over time, in {unit}.")
