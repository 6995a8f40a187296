"""Figures of training and validation put each number where it belongs, or say there is none."""

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex, to_rgb

from signalkit import plots
from signalkit.params.sections import Training
from signalkit.plots import figure
from signalkit.training import ENSEMBLE, baselines_of

DAYS = pd.date_range("2024-01-01", periods=6, freq="D", tz="UTC", name="time")
PAIR = pd.MultiIndex.from_product([["LSTM"], [1, 2, 3]], names=["model_id", "step"])


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


def lines(ax):
    """Drawn lines that have a name, by it."""
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def stretches(ax):
    """First and last x of every interval drawn, in the order drawn."""
    drawn = [c for c in ax.collections if isinstance(c, LineCollection)]
    return [tuple(part[:, 0]) for c in drawn for part in c.get_segments()]


def test_every_model_has_a_colour_of_its_own_that_can_be_told_from_the_others():
    listed = Training.model_json_schema()["properties"]["models"]["items"]["enum"]
    targets = ("signal_direction", "target_return", "target_volatility")
    naive = {name for target in targets for name in baselines_of(target)}
    colours = {name: figure.model_colour(name, 0) for name in {ENSEMBLE, *listed, *naive}}
    apart = [
        np.linalg.norm(np.subtract(to_rgb(a), to_rgb(b)))
        for a, b in combinations(colours.values(), 2)
    ]
    assert len(set(colours.values())) == len(colours) == 11
    assert min(apart) > 0.2


def test_a_model_without_a_colour_takes_that_of_its_place():
    assert figure.model_colour("OTHER", 1) == figure.SERIES[1]


@pytest.mark.parametrize(
    ("draw", "table", "more"),
    [
        (plots.plot_learning, pd.DataFrame(columns=["train", "watch"]), {}),
        (plots.plot_importance, pd.DataFrame(index=["a", "b"]), {}),
        (plots.plot_permutation, pd.DataFrame(), {"level": 0.9, "unit": "nats"}),
        (plots.plot_reliability, pd.DataFrame(), {"level": 0.9}),
    ],
)
def test_an_empty_table_is_drawn_as_words(draw, table, more):
    ax = draw(table, finding="what was found", **more)
    assert [text.get_text() for text in ax.texts] == ["nothing to show"]
    assert ax.get_title(loc="left") == "what was found"
    assert "nothing to show" in figure.alternative(ax.figure)
    assert ax.get_xlabel()
    assert ax.get_ylabel()


def test_no_placebo_is_drawn_as_words():
    real, none = pd.Series({"value": 0.1}, name="X"), pd.DataFrame()
    ax = plots.plot_placebo(real, none, metric="ic", level=0.9, finding="x")
    assert [text.get_text() for text in ax.texts] == ["nothing to show"]


def test_learning_curves_mark_the_step_with_the_least_watched_loss():
    curves = pd.DataFrame({"train": [1.0, 0.7, 0.5], "watch": [1.0, 0.9, 1.2]}, PAIR)
    ax = plots.plot_learning(curves, finding="x")
    dots = [line.get_xydata().tolist() for line in ax.lines if line.get_marker() == "o"]
    assert dots == [[[2.0, 0.9]], []]
    assert lines(ax)["LSTM, learned from"].get_ydata().tolist() == [1.0, 0.7, 0.5]
    assert lines(ax)["LSTM, learned from"].get_linestyle() == "--"
    assert lines(ax)["LSTM, watched"].get_ydata().tolist() == [1.0, 0.9, 1.2]


def test_trials_stand_beside_the_best_so_far():
    index = pd.MultiIndex.from_product([["LSTM"], [0, 1, 2]], names=["model_id", "number"])
    trials = pd.DataFrame({"value": [1.0, 1.2, 0.9], "best": [1.0, 1.0, 0.9]}, index)
    dots, best = plots.plot_trials(trials, metric="loss", finding="x").lines
    assert dots.get_ydata().tolist() == [1.0, 1.2, 0.9]
    assert best.get_ydata().tolist() == [1.0, 1.0, 0.9]
    assert dots.get_color() == best.get_color() == figure.model_colour("LSTM", 0)


def test_folds_show_what_was_purged_and_the_gap_between_train_and_test():
    edges = ["train_from", "train_to", "gap_from", "test_from", "test_to"]
    folds = pd.DataFrame([DAYS[:5]], columns=edges, index=[3])
    ax = plots.plot_folds(folds, pd.Series(1.0, DAYS, name="A"), finding="x")
    spans = [(to_hex(a.get_color()), *a.get_xdata()) for a in ax.lines if len(a.get_xdata()) == 2]
    told = {line.get_label(): to_hex(line.get_color()) for line in lines(ax).values()}
    colours = [told[name] for name in ("train", "purged", "gap", "test")]
    assert spans == list(zip(colours, DAYS[:4], DAYS[1:5], strict=True))


def test_the_border_shows_how_far_the_label_of_each_bar_reaches():
    known = DAYS + pd.Timedelta(days=2)
    parts = ["train", "train", "purged", "purged", "test", "test"]
    edge = pd.DataFrame({"close": np.arange(6.0), "known_at": known, "part": parts}, DAYS)
    ax = plots.plot_border(edge, finding="x")
    ax.figure.canvas.draw()
    day = plt.matplotlib.dates.date2num(DAYS)
    assert stretches(ax) == [(a, a + 2) for a in day]
    assert set(lines(ax)) == {"train: 2 bars", "purged: 2 bars", "test: 2 bars", "first test bar"}
    assert lines(ax)["first test bar"].get_xdata()[0] == DAYS[4]


def test_gains_are_drawn_in_half_widths_of_their_interval_even_beside_it():
    index = pd.MultiIndex.from_product([["LSTM", "GRU"], ["auc"]], names=["model_id", "metric"])
    table = {"gain": [0.1, 0.5], "gain_low": [0.0, 0.1], "gain_high": [0.2, 0.3]}
    ax = plots.plot_gains(pd.DataFrame(table, index), level=0.95, finding="x")
    assert lines(ax)["LSTM"].get_xdata().tolist() == pytest.approx([1.0])
    assert lines(ax)["GRU"].get_xdata().tolist() == pytest.approx([5.0])
    np.testing.assert_allclose(stretches(ax), [(0, 2), (1, 3)])
    assert lines(ax)["LSTM"].get_ydata()[0] > lines(ax)["GRU"].get_ydata()[0]


def test_parts_have_their_names_their_own_baselines_and_what_all_are_held_against():
    names = [("fold", "fold 000"), ("regime", "calm"), ("regime", "wild")]
    index = pd.MultiIndex.from_tuples(names, names=["kind", "part"])
    table = {"value": [0.5, 0.6, 0.7], "low": [0.4, np.nan, 0.6], "high": [0.6, np.nan, 0.8]}
    parts = pd.DataFrame(table, index).assign(baseline=[0.45, 0.5, 0.55])
    ax = plots.plot_parts(parts, metric="auc", level=0.9, mark=0.5, finding="x")
    told = dict(zip(ax.get_yticks(), [t.get_text() for t in ax.get_yticklabels()], strict=True))
    assert told == {2: "fold 000", 1: "regime: calm", 0: "regime: wild"}
    assert lines(ax)["with 90% interval"].get_xdata().tolist() == [0.5, 0.6, 0.7]
    assert lines(ax)["baseline"].get_xdata().tolist() == [0.45, 0.5, 0.55]
    assert lines(ax)["held against 0.5"].get_xdata() == [0.5, 0.5]
    assert [line.get_ydata()[0] for line in ax.lines if line.get_label()[0] == "_"] == [1.5]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_reliability_has_a_panel_a_model_and_none_covers_another(count):
    names = ["XGBOOST", "LIGHTGBM", "LSTM", "GRU", ENSEMBLE][:count]
    index = pd.MultiIndex.from_product([names, [0, 1]], names=["model_id", "bin"])
    one = {"confidence": [0.4, 0.6], "accuracy": [0.5, 0.4], "n": [30, 10]}
    one |= {"accuracy_low": [0.4, 0.3], "accuracy_high": [0.6, 0.5]}
    one |= {"raw": [0.5, 0.3], "raw_confidence": [0.4, 0.7]}
    table = pd.DataFrame({name: values * count for name, values in one.items()}, index)
    ax = plots.plot_reliability(table, level=0.9, finding="x")
    ax.figure.canvas.draw()
    boxes = [panel.get_tightbbox() for panel in ax.child_axes]
    assert [panel.get_title() for panel in ax.child_axes] == names
    assert not [1 for a, b in combinations(boxes, 2) if a.overlaps(b)]
    assert all(box.y1 < ax.title.get_window_extent().y1 for box in boxes)


def test_reliability_shows_calibrated_dots_by_their_rows_and_the_raw_line():
    index = pd.MultiIndex.from_product([["LSTM"], [0, 1, 2]], names=["model_id", "bin"])
    table = {"confidence": [0.4, np.nan, 0.6], "accuracy": [0.5, np.nan, 0.4]}
    table |= {"accuracy_low": [0.4, np.nan, 0.3], "accuracy_high": [0.6, np.nan, 0.5]}
    table |= {
        "n": [30, np.nan, 10],
        "raw": [0.5, 0.3, np.nan],
        "raw_confidence": [0.4, 0.7, np.nan],
    }
    ax = plots.plot_reliability(pd.DataFrame(table, index), level=0.9, finding="x")
    (panel,) = ax.child_axes
    (dots,) = [c for c in panel.collections if isinstance(c, PathCollection)]
    np.testing.assert_allclose(dots.get_offsets(), [[40, 50], [60, 40]])
    assert dots.get_sizes()[0] == pytest.approx(3 * dots.get_sizes()[1])
    raw = lines(panel)["before calibration"].get_xydata()
    np.testing.assert_allclose(raw, [[40, 50], [70, 30], [np.nan, np.nan]])


def test_weights_fill_a_hundred_percent_under_the_lane_of_disagreement():
    weights = pd.DataFrame({"LSTM": [0.25] * 6, "GRU": [0.75] * 6}, DAYS)
    ax = plots.plot_ensemble(weights, pd.Series(0.1, DAYS), finding="x")
    tops = [c.get_paths()[0].vertices[:, 1].max() for c in ax.collections]
    (lane,) = ax.child_axes
    assert tops == [25, 100]
    assert lane.lines[0].get_ydata().tolist() == [0.1] * 6
    ax.figure.canvas.draw()
    hundred = ax.transData.transform((0, 100))[1]
    assert lane.get_window_extent().y0 > hundred


@pytest.mark.parametrize(("count", "named"), [(2, True), (20, True), (21, False), (99, False)])
def test_placebos_stand_below_the_real_score_from_the_best(count, named):
    value = np.random.default_rng(1).permutation(count) / 100
    index = pd.Index(np.arange(count) + 300, name="shift")
    placebo = pd.DataFrame({"value": value, "low": value - 0.1, "high": value + 0.1}, index)
    real = pd.Series({"value": 0.5, "low": 0.4, "high": 0.6}, name="LSTM")
    ax = plots.plot_placebo(real, placebo, metric="ic", level=0.9, finding="x")
    grey = lines(ax)["placebo: shifted labels"].get_xydata()
    mine = lines(ax)["LSTM, real labels"].get_xydata()
    told = [label.get_text() for label in ax.get_yticklabels()]
    assert grey[1:, 0].tolist() == sorted(value, reverse=True)
    assert mine[0].tolist() == [0.5, count]
    assert np.isnan(mine[1:, 0]).all()
    assert np.isnan(grey[0, 0])
    assert told[0] == "real"
    assert all(name.startswith("shift ") == named for name in told[1:])


def test_what_tells_test_rows_stands_beside_its_yardstick_with_errors():
    errors = {"auc_error": [0.05, 0.02, np.nan], "inside_error": [0.1, 0.1, 0.1]}
    table = pd.DataFrame({"auc": [0.6, 0.7, np.nan], "auc_inside": [0.5, 0.4, 0.45]} | errors)
    ax = plots.plot_adversarial(table.set_index(DAYS[:3]), finding="x")
    drawn = {c.get_label(): c for c in ax.containers}
    bars = drawn["test from training window"].lines[2][0].get_segments()
    assert drawn["halves of the training window"].lines[0].get_ydata().tolist() == [0.5, 0.4, 0.45]
    np.testing.assert_allclose([bar[:, 1] for bar in bars[:2]], [[0.55, 0.65], [0.68, 0.72]])
    assert lines(ax)["cannot be told apart"].get_ydata() == [0.5, 0.5]
