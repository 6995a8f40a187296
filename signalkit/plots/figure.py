"""What every figure shares: a canvas, a title that is the finding, a text alternative."""

from __future__ import annotations

import io
import sys
import weakref

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateFormatter, AutoDateLocator
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator, FuncFormatter, NullLocator

# colours that differ in lightness too, so that they survive a grey print
BLUE, ORANGE, GREY, GREEN, RED = "#1f5fa8", "#e08214", "#8c8c8c", "#4d9221", "#b2182b"
BLACK = "#3f3f3f"
SERIES = (BLUE, ORANGE, GREEN, GREY)
# from its lowest to its highest a log axis this short is read as a plain one
_NARROW = 3
# a model has one colour in every figure
_MODELS = {
    "ENSEMBLE": BLUE,
    "LIGHTGBM": ORANGE,
    "XGBOOST": GREEN,
    "LSTM": "#762a83",
    "GRU": "#e7298a",
    "MAJORITY": GREY,
    "PERSISTENCE": BLACK,
    "LOGISTIC": "#8c510a",
    "RIDGE": "#5ab4ac",
    "HAR": "#01665e",
    "GARCH": "#a6cee3",
}

_ALT: weakref.WeakKeyDictionary[Figure, str] = weakref.WeakKeyDictionary()


def canvas(ax: Axes | None, height: float = 3.4) -> Axes:
    """The Axes given, or those of a new figure."""
    if ax is not None:
        return ax
    new = plt.subplots(figsize=(8.6, height), layout="constrained")[1]
    new.spines[["top", "right"]].set_visible(False)
    new.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    new.set_axisbelow(True)
    return new


def model_colour(model: str, place: int) -> str:
    """Colour of a model, or that of its place in the figure where it has none of its own."""
    return _MODELS.get(model, SERIES[place % len(SERIES)])


def legend(ax: Axes, *, below: bool = False) -> None:
    """A legend beside or below the drawing, where it covers nothing."""
    if below:
        ax.figure.legend(frameon=False, loc="outside lower center", ncols=5)
    else:
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)


def dots(ax: Axes, rows: pd.DataFrame, *, shift: float, colour: str, name: str) -> None:
    """Dots on their intervals, a row of `value low high` each, from the top."""
    places = np.arange(len(rows))[::-1] + shift
    # an interval of percentiles may leave out its value, so it is no reach around the dot
    ax.hlines(places, rows["low"], rows["high"], color=colour, linewidth=1.2)
    ax.plot(rows["value"], places, "o", markersize=4, color=colour, label=name)


def names_of_rows(ax: Axes, names: pd.Index, *, what: str) -> None:
    """Names of the rows of `dots` on the axis, from the top, and lines across the drawing."""
    ax.set_yticks(np.arange(len(names))[::-1], names, fontsize=8)
    ax.set(ylabel=what, ylim=(-0.7, len(names) - 0.3))
    ax.grid(axis="x", color="#e6e6e6", linewidth=0.7)


def nothing(ax: Axes | None, finding: str, *, xlabel: str, ylabel: str) -> Axes:
    """Axes of a figure for which there is nothing to show, which say so."""
    ax = canvas(ax, height=2.0)
    ax.text(0.5, 0.5, "nothing to show", ha="center", va="center", transform=ax.transAxes)
    ax.set(xlabel=xlabel, xticks=[], yticks=[])
    ax.set_ylabel(ylabel, fontsize=8)
    return finish(ax, finding, "An empty drawing: this run has nothing to show here.")


def log_axis(ax: Axes) -> None:
    """A log scale from bottom to top with plain numbers on it; call it when all is drawn."""
    ax.set_yscale("log")
    bottom, top = ax.get_ylim()
    narrow = top < _NARROW * bottom
    if narrow:
        ax.yaxis.set_major_locator(AutoLocator())
        ax.yaxis.set_minor_locator(NullLocator())

    def plain(value: float, _: int) -> str:
        if narrow:
            return f"{value:g}"
        low, high = ax.get_ylim()
        first = f"{value:.6e}"[0]
        return f"{value:g}" if first in ("12346" if high < 10 * low else "125") else ""

    ax.yaxis.set_major_formatter(FuncFormatter(plain))
    ax.yaxis.set_minor_formatter(FuncFormatter(plain))


def finish(ax: Axes, finding: str, shows: str) -> Axes:
    """Give Axes their title and their text alternative.

    Parameters
    ----------
    ax : Axes
        Drawn axes.
    finding : str
        What the reader should see; becomes the title.
    shows : str
        What is drawn, for a reader who cannot see it.
    """
    ax.set_title(finding, loc="left", fontsize=11)
    if isinstance(ax.xaxis.get_major_locator(), AutoDateLocator):
        dates = AutoDateLocator(minticks=3, maxticks=8)  # more would run into each other
        ax.xaxis.set_major_locator(dates)
        ax.xaxis.set_major_formatter(AutoDateFormatter(dates))
    _ALT[ax.figure] = f"{finding}. {shows}"
    return ax


def alternative(figure: Figure) -> str:
    """Text alternative of a figure, empty where it was not made by `finish`."""
    return _ALT.get(figure, "")


def _bundle(ax: Axes) -> tuple[dict[str, object], dict[str, object]]:
    """Axes as a picture with its text alternative, for a notebook."""
    figure, buffer = ax.figure, io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    plt.close(figure)
    text = alternative(figure)
    picture = {"image/png": buffer.getvalue(), "text/plain": text or repr(ax)}
    return picture, {"image/png": {"alt": text}}


def show_axes_in_notebooks() -> None:
    """Teach IPython, where one is running, to show Axes as pictures."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None:
        shell.display_formatter.mimebundle_formatter.for_type(Axes, _bundle)
