"""Draw docs/features_scaling.png from the benchmark that measured it.

`pytest benchmarks/test_features.py --benchmark-json=features.json`, then
`python tools/plot_scaling.py features.json`: no number is measured or typed here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from signalkit import ROOT
from signalkit.plots.figure import BLUE, GREEN, GREY, ORANGE, canvas, finish, legend, log_axis

FIGURE = ROOT / "docs" / "features_scaling.png"
MEASURED = "test_cost_of_a_row_does_not_grow_with_their_number"
COLOURS = {
    "plain pandas": ORANGE,
    "bare TA-Lib": GREEN,
    "features.build": BLUE,
    "numpy, one write": GREY,
}


def read(file: Path) -> pd.DataFrame:
    """Microseconds a row and column, a row a number of bars, a column a way."""
    measured = {found["name"]: found for found in json.loads(file.read_text())["benchmarks"]}
    costs = pd.DataFrame.from_dict(measured[MEASURED]["extra_info"]["us_a_cell"], orient="index")
    return costs.set_axis(costs.index.astype(int), axis=0).sort_index()


def plot_scaling(costs: pd.DataFrame) -> Axes:
    """Cost of a cell over the number of bars, both on log scales, a line a way."""
    ax = canvas(None)
    for way, colour in COLOURS.items():
        width = 2.2 if way == "features.build" else 1.2
        ax.plot(costs[way].dropna(), color=colour, linewidth=width, marker="o", label=way)
    ax.set(xscale="log", xlabel="bars", ylabel="µs a row and column")
    log_axis(ax)
    legend(ax)
    ours = costs["features.build"]
    finding = (
        f"features.build costs {ours.min():.4f} to {ours.max():.4f} µs a row and column,"
        f" from {ours.index[0]:,} to {ours.index[-1]:,} bars"
    )
    return finish(ax, finding, "Lines of cost over the number of bars.")


def main() -> None:
    """Draw the figure of the measurements in the file named first."""
    ax = plot_scaling(read(Path(sys.argv[1])))
    ax.figure.savefig(FIGURE, dpi=110, metadata={"Software": None})
    sys.stdout.write(f"{FIGURE.relative_to(ROOT)} drawn\n")


if __name__ == "__main__":
    main()
