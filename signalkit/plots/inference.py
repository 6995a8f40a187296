"""Figures of notebook 07: what each model says of the newest bars, and all of them together."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from signalkit.plots.figure import BLUE, GREY, canvas, finish, legend, model_colour, nothing


def plot_votes(votes: pd.DataFrame, *, what: str, finding: str, ax: Axes | None = None) -> Axes:
    """What each model says of each bar, thin, and what they say together, thick.

    Parameters
    ----------
    votes : DataFrame indexed by time
        A column a model, ENSEMBLE among them, of one symbol.
    what : str
        What the numbers are, with their unit: the axis.
    finding : str
        What the reader should see; the title.
    ax : Axes, optional
        Where to draw; a new figure if omitted.
    """
    if votes.empty:
        return nothing(ax, finding, xlabel="bar end (UTC)", ylabel=what)
    ax = canvas(ax)
    ax.axhline(0, color=GREY, linewidth=0.8)
    for place, name in enumerate(votes):
        joint = name == "ENSEMBLE"
        colour = BLUE if joint else model_colour(name, place)
        width, front = (2.2, 3) if joint else (0.9, 2)
        ax.plot(votes.index, votes[name], color=colour, linewidth=width, zorder=front, label=name)
    ax.set(xlabel="bar end (UTC)", ylabel=what)
    legend(ax)
    return finish(ax, finding, f"{what} of {', '.join(votes)} at each bar, and a line at 0.")
