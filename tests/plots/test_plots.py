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
MONTHS = pd.DataFrame(0.01, index=[2023, 2024], columns=range(1, 13))
MONEY = pd.DataFrame(
    {"return_mean": [0.1, -0.1], "return_low": [0.0, -0.3], "return_high": [0.2, 0.2]}
    | {"hit_rate": 0.5, "n": 9, "confidence": [0.4, 0.6]}
)
STALE = pd.DataFrame(
    {"stale_opens": [0.9, 0.1]},
    index=pd.MultiIndex.from_product([["A"], [2023, 2024]], names=["symbol", "year"]),
)
GAINS = pd.DataFrame(
    {"gain": [0.1, -0.1], "gain_low": [0.0, -0.3], "gain_high": [0.2, 0.2]},
    index=pd.MultiIndex.from_product([["X"], ["auc", "f1"]], names=["model_id", "metric"]),
)
FOLDS = pd.DataFrame(
    {
        "train_from": DAYS[:1],
        "train_to": DAYS[1:2],
        "gap_from": DAYS[2:3],
        "test_from": DAYS[3:4],
        "test_to": DAYS[5:],
    }
)
EDGE = pd.DataFrame(
    {
        "close": WALK,
        "known_at": DAYS + pd.Timedelta(days=2),
        "part": ["train", "train", "purged", "gap", "test", "test"],
    }
)
PARTS = pd.DataFrame(
    {"value": [0.5, 0.6, 0.4], "low": [0.4, np.nan, 0.3], "high": [0.6, np.nan, 0.5]},
    index=pd.MultiIndex.from_tuples(
        [("symbol", "A"), ("symbol", "B"), ("regime", "calm")], names=["kind", "part"]
    ),
)
CURVES = pd.DataFrame(
    {"train": [1.0, 0.8, 0.6, 0.9, 0.7], "watch": [1.0, 0.9, 1.1, 1.0, 0.8]},
    index=pd.MultiIndex.from_tuples(
        [("X", 1), ("X", 2), ("X", 3), ("Y", 1), ("Y", 2)], names=["model_id", "step"]
    ),
)
TRIALS = pd.DataFrame(
    {"value": [1.0, np.nan, 0.9], "best": [1.0, 1.0, 0.9]},
    index=pd.MultiIndex.from_product([["X"], [0, 1, 2]], names=["model_id", "number"]),
)
RELIABILITY = pd.DataFrame(
    {
        "confidence": [0.4, np.nan, 0.6, 0.5],
        "accuracy": [0.5, np.nan, 0.4, 0.5],
        "accuracy_low": [0.4, np.nan, 0.3, 0.4],
        "accuracy_high": [0.6, np.nan, 0.5, 0.6],
        "n": [30.0, np.nan, 10.0, 40.0],
        "raw": [0.5, 0.3, np.nan, np.nan],
        "raw_confidence": [0.4, 0.7, np.nan, np.nan],
    },
    index=pd.MultiIndex.from_tuples(
        [("X", 0), ("X", 1), ("X", 2), ("Y", 0)], names=["model_id", "bin"]
    ),
)
OTHERS = pd.DataFrame(
    {"auc": [0.6, np.nan], "auc_error": [0.1, np.nan], "auc_inside": 0.5, "inside_error": 0.1},
    index=DAYS[:2],
)
WEIGHTS = pd.DataFrame({"X": [0.5] * 6, "Y": [0.5] * 6}, DAYS)
REAL = pd.Series({"value": 0.02, "low": -0.01, "high": 0.05}, name="X")
PLACEBO = pd.DataFrame(
    {"value": [-0.02, 0.03], "low": [-0.05, 0.0], "high": [0.01, 0.06]},
    index=pd.Index([70, 90], name="shift"),
)
SQUARE = pd.DataFrame([[1.0, 0.2], [0.2, 1.0]], index=["a", "b"], columns=["a", "b"])
TOGETHER = pd.Series({"b": 0, "a": 0})
ABOUT = pd.DataFrame(
    {"family": ["price", "volume"], "unit": "share", "low": [1.0, 1.0], "high": [1.2, 2.0]},
    index=["strategy", "hold"],
).assign(last=[1.2, 1.44], above=[0.5, 0.25])
BALANCE = pd.DataFrame({-1.0: [0.2, 0.3], 0.0: [0.5, 0.4], 1.0: [0.3, 0.3]}, index=[2023, 2024])

COVERED = pd.DataFrame({"first": DAYS[:1], "last": DAYS[5:]}, index=["A"])
MISSING = pd.DataFrame({"symbol": ["A"], "first": DAYS[2:3], "last": DAYS[2:3], "bars": [1]})
WEEKS = pd.DataFrame(
    {"volume": [12.0, 2.0], "range": [1.0, 30.0]},
    index=pd.MultiIndex.from_product([["A"], DAYS[:2]], names=["symbol", "week"]),
)
DAILY = pd.DataFrame({"items": [3, 0, 2], "sentiment_30": [0.1, 0.0, -0.4]}, index=DAYS[:3])
WORTH = pd.DataFrame(
    {
        "permutation": [0.2, 0.1, 0.3, 0.0],
        "low": [0.1, -0.1, 0.1, -0.1],
        "high": [0.3, 0.2, 0.4, 0.1],
    },
    index=pd.MultiIndex.from_product([["X", "Y"], ["a", "b"]], names=["model_id", "feature"]),
)
ALONE = WORTH.loc["X"].rename(columns={"permutation": "ic"})

SOLD = pd.DataFrame(
    {"side": ["long"], "entry_time": DAYS[:1], "exit_time": DAYS[1:2]}
    | {"entry_price": [1.0], "exit_price": [1.1], "pnl": [0.1]}
)
LEGAL = pd.DataFrame({"pessimistic": 0.9, "base": 1.0, "optimistic": 1.1}, index=DAYS)
SIZES = pd.DataFrame({"return_annual": [0.1, 0.05]}, index=[1e5, 1e6])

PROMISE = pd.Series({"value": 0.55, "low": 0.5, "high": 0.6})
MOVED = pd.DataFrame({"psi": [0.5, 0.1], "psi_inside": 0.3, "moved": [True, False]}, ["a", "b"])
LIVE = pd.date_range("2024-01-01", periods=3, tz="UTC")
LEAD = pd.DataFrame({"lead": 0.0, "low": -0.1, "high": 0.1}, LIVE)

DRAWN = {
    "plot_votes": lambda **k: plots.plot_votes(LEAD, what="lean (points)", **k),
    "plot_kept": lambda **k: plots.plot_kept(LEAD["high"], PROMISE, what="accuracy", **k),
    "plot_evidence": lambda **k: plots.plot_evidence(LEAD[["high"]] + 1, limit=20, **k),
    "plot_drift": lambda **k: plots.plot_drift(MOVED, **k),
    "plot_lead": lambda **k: plots.plot_lead(LEAD, **k),
    "plot_gap_map": lambda **k: plots.plot_gap_map(COVERED, MISSING, **k),
    "plot_anomalies": lambda **k: plots.plot_anomalies(WEEKS, limit=10, **k),
    "plot_news": lambda **k: plots.plot_news(DAILY, **k),
    "plot_closes": lambda **k: plots.plot_closes(PANEL, **k),
    "plot_stale_opens": lambda **k: plots.plot_stale_opens(STALE, **k),
    "plot_correlation": lambda **k: plots.plot_correlation(SQUARE, groups=TOGETHER, **k),
    "plot_families": lambda **k: plots.plot_families(BOTH, ABOUT, **k),
    "plot_label_balance": lambda **k: plots.plot_label_balance(BALANCE, **k),
    "plot_returns_by_label": lambda **k: plots.plot_returns_by_label({"A": WALK - 1.1}, **k),
    "plot_uniqueness": lambda **k: plots.plot_uniqueness(BALANCE, **k),
    "plot_widths": lambda **k: plots.plot_widths(BALANCE.assign(wait=[2.0, 3.0]), **k),
    "plot_importance": lambda **k: plots.plot_importance(SQUARE, **k),
    "plot_permutation": lambda **k: plots.plot_permutation(WORTH, level=0.9, unit="nats", **k),
    "plot_information": lambda **k: plots.plot_information(ALONE, level=0.9, **k),
    "plot_folds": lambda **k: plots.plot_folds(FOLDS, WALK.rename("A"), **k),
    "plot_adversarial": lambda **k: plots.plot_adversarial(OTHERS, **k),
    "plot_border": lambda **k: plots.plot_border(EDGE, **k),
    "plot_parts": lambda **k: plots.plot_parts(PARTS, metric="auc", level=0.9, mark=0.5, **k),
    "plot_learning": lambda **k: plots.plot_learning(CURVES, **k),
    "plot_trials": lambda **k: plots.plot_trials(TRIALS, metric="loss", **k),
    "plot_reliability": lambda **k: plots.plot_reliability(RELIABILITY, level=0.9, **k),
    "plot_ensemble": lambda **k: plots.plot_ensemble(WEIGHTS, WALK - 1, **k),
    "plot_placebo": lambda **k: plots.plot_placebo(REAL, PLACEBO, metric="ic", level=0.9, **k),
    "plot_gains": lambda **k: plots.plot_gains(GAINS, level=0.95, **k),
    "plot_scores_by_fold": lambda **k: plots.plot_scores_by_fold(BOTH, metric="auc", **k),
    "plot_equity": lambda **k: plots.plot_equity(BOTH, **k),
    "plot_drawdown": lambda **k: plots.plot_drawdown(BOTH / 2 - 1, **k),
    "plot_months": lambda **k: plots.plot_months(MONTHS, **k),
    "plot_rolling": lambda **k: plots.plot_rolling(BOTH, window="60 bars", **k),
    "plot_trades": lambda **k: plots.plot_trades(WALK, SOLD, **k),
    "plot_confidence": lambda **k: plots.plot_confidence(MONEY, **k),
    "plot_bracket": lambda **k: plots.plot_bracket(LEGAL, **k),
    "plot_capacity": lambda **k: plots.plot_capacity(SIZES, **k),
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


@pytest.mark.parametrize("rise", [0.04, 0.7])
def test_a_short_log_axis_has_numbers_enough(rise):
    ax = plots.plot_equity(1 + rise * (BOTH - BOTH.min()) / np.ptp(BOTH), finding="x")
    ax.figure.canvas.draw()
    low, high = ax.get_ylim()
    inside = [t for t in ax.get_yticks() if low <= t <= high]
    plt.close(ax.figure)
    assert ax.get_yscale() == "log"
    assert len(inside) >= 4


def middles(ax):
    """Where each series of dots stands, by its name."""
    lines = [line for line in ax.lines if not line.get_label().startswith("_")]
    return {line.get_label(): line.get_xydata() for line in lines}


def test_importance_of_every_model_stands_beside_its_feature():
    ax = plots.plot_permutation(WORTH, level=0.9, unit="nats", finding="x")
    found = middles(ax)
    plt.close(ax.figure)
    assert found["X"][:, 0].tolist() == [0.2, 0.1]
    assert found["Y"][:, 0].tolist() == [0.3, 0.0]
    assert np.abs(found["X"][:, 1] - [1, 0]).max() < 0.5
    assert (found["X"][:, 1] > found["Y"][:, 1]).all()


def test_intervals_that_leave_out_nought_have_a_colour_of_their_own():
    ax = plots.plot_information(ALONE, level=0.9, finding="x")
    found = middles(ax)
    plt.close(ax.figure)
    np.testing.assert_array_equal(found["interval leaves out 0"][:, 0], [0.2, np.nan])
    np.testing.assert_array_equal(found["interval holds 0"][:, 0], [np.nan, 0.1])


def frames(ax):
    """First and last row inside each frame of a heat map."""
    return [(int(p.get_y() + 0.5), int(p.get_y() + p.get_height() - 0.5)) for p in ax.patches]


@pytest.mark.parametrize(
    ("clusters", "expected"),
    [([0, 0, 1, 2, 2], [(0, 1), (3, 4)]), ([0, 1, 2, 3, 4], []), ([7] * 5, [(0, 4)])],
)
def test_clusters_of_two_or_more_are_framed_in_the_heat_map(clusters, expected):
    names = list("abcde")
    square = pd.DataFrame(np.eye(5), names, names)
    told = pd.Series(clusters, names).sample(frac=1, random_state=1)  # order is the table's
    ax = plots.plot_correlation(square, groups=told, finding="x")
    plt.close(ax.figure)
    assert frames(ax) == expected


def test_labels_of_every_feature_of_the_heat_map_stand_apart():
    names = [f"feature_number_{n}" for n in range(90)]
    square = pd.DataFrame(np.eye(90), names, names)
    ax = plots.plot_correlation(square, groups=pd.Series(range(90), names), finding="x")
    ax.figure.canvas.draw()
    boxes = [t.get_window_extent() for t in ax.get_yticklabels()]
    plt.close(ax.figure)
    middles_of = [(b.y0 + b.y1) / 2 for b in boxes]
    assert max(np.diff(middles_of)) < -0.9 * 5.6 * ax.figure.dpi / 72


def test_each_feature_of_a_family_has_a_lane_and_its_newest_value():
    ax = plots.plot_families(BOTH, ABOUT, finding="x")
    lanes = [line.get_ydata() for line in ax.lines[::2]]
    told = [t.get_text() for t in ax.child_axes[0].get_yticklabels()]
    plt.close(ax.figure)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["price\nstrategy", "volume\nhold"]
    assert told == ["1.2 (share)\nabove 50%", "1.44 (share)\nabove 25%"]
    assert lanes[0].min() > lanes[1].max()
    assert np.corrcoef(lanes[0], BOTH["strategy"])[0, 1] == pytest.approx(1)


def test_a_feature_that_never_moves_is_a_line_in_the_middle_of_its_lane():
    flat = pd.DataFrame({"strategy": np.ones(6)}, DAYS)
    about = ABOUT.iloc[:1].assign(low=1.0, high=1.0, last=1.0)
    ax = plots.plot_families(flat, about, finding="x")
    plt.close(ax.figure)
    assert np.ptp(ax.lines[0].get_ydata()) == 0
    assert abs(ax.lines[0].get_ydata()[0]) < 0.5
