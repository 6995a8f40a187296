"""Figures of money put each number where it belongs, or say there is none."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from signalkit import plots
from signalkit.plots.figure import alternative

DAYS = pd.date_range("2024-01-01", periods=5, freq="D", tz="UTC", name="time")
TRADES = pd.DataFrame(
    {
        "side": ["long", "short"],
        "entry_time": DAYS[[0, 2]],
        "exit_time": [DAYS[1], pd.NaT],
        "entry_price": [10.0, 12.0],
        "exit_price": [11.0, 13.0],
        "pnl": [0.1, -0.1],
    }
)


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


def lines(ax):
    """Drawn lines that have a name, by it."""
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def test_months_are_numbers_in_their_cells_and_empty_ones_stay_empty():
    months = pd.DataFrame(np.nan, index=[2023, 2024], columns=range(1, 13))
    months.loc[2023, 12], months.loc[2024, 1] = -0.051, 0.02
    ax = plots.plot_months(months, finding="f")
    assert {text.get_position(): text.get_text() for text in ax.texts} == {
        (11, 0): "-5.1",
        (0, 1): "2.0",
    }
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["2023", "2024"]


def test_a_map_of_months_without_moves_still_has_a_scale():
    months = pd.DataFrame(0.0, index=[2023], columns=range(1, 13))
    ax = plots.plot_months(months, finding="f")
    assert len(ax.texts) == 12
    assert {text.get_text() for text in ax.texts} == {"0.0"}


def test_a_rolling_ratio_is_drawn_and_labelled_with_its_window():
    table = pd.DataFrame({"strategy": np.arange(5.0), "hold": 1.0}, index=DAYS)
    ax = plots.plot_rolling(table, window="60 bars", finding="f")
    assert list(lines(ax)["strategy, net of costs"].get_ydata()) == [0, 1, 2, 3, 4]
    assert ax.get_ylabel().endswith("over 60 bars")


def test_trades_stand_at_their_prices_and_open_ones_have_no_end():
    ax = plots.plot_trades(pd.Series(10.0, index=DAYS), TRADES, finding="f")
    found = lines(ax)
    assert list(found["buys"].get_ydata()) == [10.0]
    assert list(found["sells short"].get_ydata()) == [12.0]
    assert list(found["closes"].get_ydata()) == [11.0]


def test_confidence_shows_mean_interval_hits_and_count():
    table = pd.DataFrame(
        {"return_mean": [0.01, -0.02], "return_low": [0.0, -0.03], "return_high": [0.02, -0.01]}
        | {"hit_rate": [0.5, 0.25], "n": [10, 4], "confidence": [0.4, 0.6]}
    )
    ax = plots.plot_confidence(table, finding="f")
    assert list(lines(ax)["mean, with interval"].get_ydata()) == [1.0, -2.0]
    assert [t.get_text() for t in ax.get_xticklabels()] == [
        "0.40\n50% won\nn 10",
        "0.60\n25% won\nn 4",
    ]


def test_the_bracket_has_three_lines_and_the_band_between_them():
    table = pd.DataFrame({"pessimistic": 0.9, "base": 1.0, "optimistic": 1.1}, index=DAYS)
    ax = plots.plot_bracket(table, finding="f")
    assert set(lines(ax)) == {"optimistic fills", "base fills", "pessimistic fills"}
    assert ax.get_yscale() == "linear"
    far = plots.plot_bracket(table.assign(pessimistic=0.2), finding="f")
    assert far.get_yscale() == "log"
    ruined = plots.plot_bracket(table.assign(pessimistic=0.0), finding="f")
    assert ruined.get_yscale() == "linear"


def test_capacity_is_drawn_over_capital_on_a_log_scale():
    table = pd.DataFrame({"return_annual": [0.1, 0.05]}, index=[1e5, 1e6])
    ax = plots.plot_capacity(table, finding="f")
    assert list(lines(ax)["strategy, with impact"].get_ydata()) == [10.0, 5.0]
    assert ax.get_xscale() == "log"


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda f: plots.plot_trades(pd.Series(1.0, index=DAYS), TRADES[:0], finding=f), "price"),
        (lambda f: plots.plot_confidence(pd.DataFrame(), finding=f), "mean return"),
        (lambda f: plots.plot_capacity(pd.DataFrame(), finding=f), "annual return"),
        (
            lambda f: plots.plot_rolling(
                pd.DataFrame({"strategy": np.nan, "hold": np.nan}, index=DAYS),
                window="w",
                finding=f,
            ),
            "Sharpe",
        ),
    ],
)
def test_a_figure_of_nothing_says_so(draw, words):
    ax = draw("no trade was made")
    assert [text.get_text() for text in ax.texts] == ["nothing to show"]
    assert words in ax.get_ylabel()
    assert alternative(ax.figure).startswith("no trade was made")
