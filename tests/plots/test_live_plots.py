"""Figures of inference and monitoring put each number where it belongs, or say there is none."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from signalkit import plots
from signalkit.plots.figure import alternative

DAYS = pd.date_range("2024-01-01", periods=5, freq="D", tz="UTC", name="time")


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


def lines(ax):
    """Drawn lines that have a name, by it."""
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def test_each_model_has_its_line_and_the_ensemble_is_the_thick_one():
    votes = pd.DataFrame({"XGBOOST": np.arange(5.0), "ENSEMBLE": 2.0}, index=DAYS)
    ax = plots.plot_votes(votes, what="lean (points)", finding="f")
    found = lines(ax)
    assert list(found["XGBOOST"].get_ydata()) == [0, 1, 2, 3, 4]
    assert found["ENSEMBLE"].get_linewidth() > found["XGBOOST"].get_linewidth()
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("lean (points)", "bar end (UTC)")


def test_a_score_stands_beside_what_was_promised():
    promise = pd.Series({"value": 0.55, "low": 0.5, "high": 0.6})
    ax = plots.plot_kept(pd.Series(0.52, index=DAYS), promise, what="accuracy", finding="f")
    found = lines(ax)
    assert list(found["newest window"].get_ydata()) == [0.52] * 5
    assert set(found["validation, whole"].get_ydata()) == {0.55}
    (band,) = ax.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((0.5, 0.6))


def test_evidence_is_on_a_log_scale_with_its_limit():
    evidence = pd.DataFrame({"as validated": 1.0, "worse": 2.0 ** np.arange(5)}, index=DAYS)
    ax = plots.plot_evidence(evidence, limit=20, finding="f")
    assert ax.get_yscale() == "log"
    assert set(lines(ax)["alarm at 20"].get_ydata()) == {20}
    assert list(lines(ax)["worse"].get_ydata()) == [1, 2, 4, 8, 16]


def test_drift_marks_the_columns_that_moved():
    table = pd.DataFrame(
        {"psi": [0.9, 0.1], "psi_inside": [0.4, 0.3], "moved": [True, False]}, index=["a", "b"]
    )
    ax = plots.plot_drift(table, finding="f")
    found = lines(ax)
    assert list(found["newest, moved"].get_xdata()) == [0.9]
    assert list(found["newest"].get_xdata()) == [0.1]
    assert list(found["most in the past"].get_xdata()) == [0.4, 0.3]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b"]


def test_a_lead_is_in_percentage_points_with_its_interval():
    lead = pd.DataFrame({"lead": 0.02, "low": -0.1, "high": 0.14}, index=DAYS)
    ax = plots.plot_lead(lead, finding="f")
    assert list(lines(ax)["challenger less champion"].get_ydata()) == pytest.approx([2.0] * 5)
    low, high = np.ptp([v[1] for v in ax.collections[0].get_paths()[0].vertices]), 24
    assert low == pytest.approx(high)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.plot_votes(pd.DataFrame(), what="lean", finding="f"),
        lambda: plots.plot_kept(pd.Series(dtype=float), pd.Series(), what="x", finding="f"),
        lambda: plots.plot_evidence(pd.DataFrame(), limit=20, finding="f"),
        lambda: plots.plot_drift(pd.DataFrame(), finding="f"),
        lambda: plots.plot_lead(pd.DataFrame(), finding="f"),
    ],
)
def test_a_figure_with_nothing_to_show_says_so(draw):
    ax = draw()
    assert "nothing to show" in [text.get_text() for text in ax.texts]
    assert alternative(ax.figure).startswith("f. ")
