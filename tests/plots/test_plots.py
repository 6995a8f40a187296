"""Every figure has a finding for a title, named axes with units, and a text alternative."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from signalkit import plots
from signalkit.plots import figure

DAYS = pd.date_range("2024-01-01", periods=6, freq="D", tz="UTC", name="time")
WALK = pd.Series([1.0, 1.1, 1.2, 1.1, 1.3, 1.2], DAYS)
BOTH = pd.DataFrame({"strategy": WALK, "hold": WALK**2})
PANEL = pd.concat({"A": WALK.to_frame("close"), "B": BOTH[["hold"]].set_axis(["close"], axis=1)})
PANEL.index.names = ["symbol", "time"]
YEARS = pd.DataFrame({"strategy": [0.1, -0.2], "hold": [0.0, 0.3]}, index=[2023, 2024])
STALE = pd.DataFrame(
    {"stale_opens": [0.9, 0.1]},
    index=pd.MultiIndex.from_product([["A"], [2023, 2024]], names=["symbol", "year"]),
)
GAINS = pd.DataFrame(
    {"gain": [0.1, -0.1], "gain_low": [0.0, -0.3], "gain_high": [0.2, 0.2]},
    index=pd.MultiIndex.from_product([["X"], ["auc", "f1"]], names=["model_id", "metric"]),
)
FOLDS = pd.DataFrame(
    {"train_from": DAYS[:1], "train_to": DAYS[2:3], "test_from": DAYS[3:4], "test_to": DAYS[5:]}
)
SQUARE = pd.DataFrame([[1.0, 0.2], [0.2, 1.0]], index=["a", "b"], columns=["a", "b"])
BALANCE = pd.DataFrame({-1.0: [0.2, 0.3], 0.0: [0.5, 0.4], 1.0: [0.3, 0.3]}, index=[2023, 2024])

COVERED = pd.DataFrame({"first": DAYS[:1], "last": DAYS[5:]}, index=["A"])
MISSING = pd.DataFrame({"symbol": ["A"], "first": DAYS[2:3], "last": DAYS[2:3], "bars": [1]})
WEEKS = pd.DataFrame(
    {"volume": [12.0, 2.0], "range": [1.0, 30.0]},
    index=pd.MultiIndex.from_product([["A"], DAYS[:2]], names=["symbol", "week"]),
)
DAILY = pd.DataFrame({"items": [3, 0, 2], "sentiment_30": [0.1, 0.0, -0.4]}, index=DAYS[:3])

DRAWN = {
    "plot_gap_map": lambda **k: plots.plot_gap_map(COVERED, MISSING, **k),
    "plot_anomalies": lambda **k: plots.plot_anomalies(WEEKS, limit=10, **k),
    "plot_news": lambda **k: plots.plot_news(DAILY, **k),
    "plot_closes": lambda **k: plots.plot_closes(PANEL, **k),
    "plot_stale_opens": lambda **k: plots.plot_stale_opens(STALE, **k),
    "plot_correlation": lambda **k: plots.plot_correlation(SQUARE, **k),
    "plot_history": lambda **k: plots.plot_history(WALK.rename("f"), unit="fraction", **k),
    "plot_label_balance": lambda **k: plots.plot_label_balance(BALANCE, **k),
    "plot_returns_by_label": lambda **k: plots.plot_returns_by_label({"A": WALK - 1.1}, **k),
    "plot_importance": lambda **k: plots.plot_importance(SQUARE, **k),
    "plot_folds": lambda **k: plots.plot_folds(FOLDS, WALK.rename("A"), **k),
    "plot_gains": lambda **k: plots.plot_gains(GAINS, level=0.95, **k),
    "plot_scores_by_fold": lambda **k: plots.plot_scores_by_fold(BOTH, metric="auc", **k),
    "plot_equity": lambda **k: plots.plot_equity(BOTH, **k),
    "plot_drawdown": lambda **k: plots.plot_drawdown(BOTH / 2 - 1, **k),
    "plot_years": lambda **k: plots.plot_years(YEARS, **k),
}


@pytest.fixture(params=DRAWN)
def ax(request):
    drawn = DRAWN[request.param](finding="what was found")
    yield drawn
    plt.close(drawn.figure)


def test_every_figure_of_the_package_is_drawn_here():
    assert set(DRAWN) == set(plots.__all__)


def test_title_is_the_finding_and_the_alternative_says_what_is_drawn(ax):
    assert ax.get_title(loc="left") == "what was found"
    assert figure.alternative(ax.figure).startswith("what was found. ")
    assert len(figure.alternative(ax.figure)) > 40


def test_axes_are_labelled_or_name_their_ticks(ax):
    for axis in (ax.xaxis, ax.yaxis):
        ticks = [tick.get_text() for tick in axis.get_ticklabels()]
        assert axis.get_label_text() or set(ticks) <= {"a", "b"}


def test_dates_on_the_axis_do_not_run_into_each_other():
    days = pd.date_range("2022-05-10", "2023-04-01", freq="D", tz="UTC", name="time")
    line = pd.DataFrame({"strategy": 1.0, "hold": 1.0}, index=days)
    ax = plots.plot_equity(line, finding="what was found")
    ax.figure.canvas.draw()
    boxes = [t.get_window_extent() for t in ax.get_xticklabels() if t.get_text()]
    assert len(boxes) >= 3
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))
    plt.close(ax.figure)


def test_draws_into_axes_that_are_given():
    given = plt.subplots()[1]
    assert plots.plot_equity(BOTH, finding="x", ax=given) is given
    plt.close(given.figure)


def test_a_notebook_shows_axes_as_a_picture_with_its_alternative():
    ax = plots.plot_equity(BOTH, finding="what was found")
    picture, about = figure._bundle(ax)
    assert isinstance(ax, Axes)
    assert picture["image/png"].startswith(b"\x89PNG")
    assert about["image/png"]["alt"] == picture["text/plain"]
    assert not plt.fignum_exists(ax.figure.number)


def test_the_same_table_gives_the_same_picture_to_the_last_bit():
    pictures = [figure._bundle(plots.plot_equity(BOTH, finding="x"))[0] for _ in range(2)]
    assert pictures[0]["image/png"] == pictures[1]["image/png"]


def test_log_axis_has_plain_numbers_on_it():
    ax = plots.plot_equity(BOTH * np.array([1.0, 50.0]), finding="x")
    ax.figure.canvas.draw()
    shown = {t.get_text() for t in [*ax.get_yticklabels(), *ax.get_yticklabels(minor=True)]}
    plt.close(ax.figure)
    assert {"1", "10", "50"} <= shown
    assert not [text for text in shown if "10^" in text]
