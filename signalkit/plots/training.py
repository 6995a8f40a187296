"""Figures of notebook 04: what the fitted models lean on."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from signalkit.plots.figure import canvas, finish, legend, model_colour


def plot_importance(importance: pd.DataFrame, *, finding: str, ax: Axes | None = None) -> Axes:
    """Share of gain of each feature, one bar a model.

    Parameters
    ----------
    importance : DataFrame of shape (n_features, n_models)
        Shares of gain that sum to 1 a column, in the order to draw.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    ax = canvas(ax, height=1.2 + 0.24 * len(importance))
    places = np.arange(len(importance))[::-1]
    height = 0.8 / importance.shape[1]
    for i, model in enumerate(importance):
        colour, shift = model_colour(model, i), 0.4 - (i + 0.5) * height
        ax.barh(places + shift, 100 * importance[model], height, color=colour, label=model)
    ax.set_yticks(places, importance.index, fontsize=8)
    ax.set(xlabel="share of the gain (%)", ylabel="feature")
    ax.grid(axis="x", color="#e6e6e6", linewidth=0.7)
    legend(ax)
    return finish(ax, finding, "Bar chart of the share of gain of each feature, by model.")
