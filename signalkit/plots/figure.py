"""What every figure shares: a canvas, a title that is the finding, a text alternative."""

from __future__ import annotations

import io
import sys
import weakref

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateFormatter, AutoDateLocator
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

# colours that differ in lightness too, so that they survive a grey print
BLUE, ORANGE, GREY, GREEN, RED = "#1f5fa8", "#e08214", "#8c8c8c", "#4d9221", "#b2182b"
SERIES = (BLUE, ORANGE, GREEN, GREY)
# a model has one colour in every figure
_MODELS = {"ENSEMBLE": BLUE, "LIGHTGBM": ORANGE, "XGBOOST": GREEN, "MAJORITY": GREY}

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
        ax.figure.legend(frameon=False, loc="outside lower center", ncols=4)
    else:
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)


def log_axis(ax: Axes) -> None:
    """A log scale from bottom to top with plain numbers on it."""
    ax.set_yscale("log")

    def plain(value: float, _: int) -> str:
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
