"""recurrent.py: what only a lookback sees, windows that end at every break, the same bits."""

import copy
import hashlib
import os
import pickle
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signalkit import kernels, training
from signalkit.errors import DataError, ParamsError
from signalkit.metrics import CLASSES
from signalkit.training import networks

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("LSTM", "GRU")
# rows to learn from, to watch, to predict
FIT, WATCH, ASKED = np.arange(900), np.arange(900, 1100), np.arange(1100, 1400)
SMALL = {"units": 8, "lookback": 8, "batch": 128, "epochs": 3, "learning_rate": 0.02}
SPAN = 5  # bars whose sum makes the label


def table(n=1400, seed=3):
    """Four columns of noise; the label is the sign of the last sums of the first, 0 near 0."""
    matrix = np.random.default_rng(seed).normal(size=(n, 4))
    total = np.convolve(matrix[:, 0], np.ones(SPAN))[:n]
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC", name="time")
    features = pd.DataFrame(matrix, times, [f"column_{i}" for i in range(4)])
    label = np.where(np.abs(total) < 1, 0.0, np.sign(total))
    known_at = times + pd.Timedelta(1, "h")
    return features, pd.DataFrame({"label": label, "known_at": known_at, "sum": total}, times)


def fitted(kind, target="signal_direction", rows=FIT, given=None, **params):
    watch, weight = params.pop("watch", None), params.pop("sample_weight", None)
    features, labels = given or table()
    model = training.make(kind, target, **SMALL | params)
    return model.fit(features, labels, rows, sample_weight=weight, watch=watch)


def digest(model):
    """Hash of a model's predictions and of every file that it writes."""
    parts = [model.predict(table()[0], ASKED).tobytes(), *training.saved(model).values()]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def accuracy(model):
    features, labels = table()
    return (model.predict(features, ASKED) == labels["label"].to_numpy()[ASKED]).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_an_edge_that_takes_a_lookback_is_found_by_looking_back_only(kind):
    # a single row is a fifth of the sum; five rows are all of it
    assert accuracy(fitted(kind, epochs=15)) > 0.7
    assert accuracy(fitted(kind, epochs=15, lookback=1)) < 0.55


@pytest.mark.parametrize("kind", KINDS)
def test_a_number_is_predicted_in_its_own_units(kind):
    features, labels = table()
    answers = labels.assign(label=0.05 + 0.002 * labels["sum"])
    model = fitted(kind, "target_return", given=(features, answers), epochs=15)
    actual = answers["label"].to_numpy()[ASKED]
    errors = model.predict(features, ASKED) - actual
    assert np.mean(errors**2) < 0.2 * actual.var()
    with pytest.raises(ParamsError, match="target_return is a number"):
        model.predict_proba(features, ASKED)


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_that_never_varies_is_predicted_as_it_is(kind):
    features, labels = table()
    model = fitted(kind, "target_return", given=(features, labels.assign(label=0.25)), epochs=15)
    assert model.predict(features, ASKED) == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_that_the_window_lacks_has_a_probability_all_the_same(kind):
    features, labels = table()
    rows = FIT[labels["label"].to_numpy()[FIT] != -1]
    found = fitted(kind, rows=rows).predict_proba(features, ASKED)
    assert found.shape == (len(ASKED), len(CLASSES))
    assert found.sum(axis=1) == pytest.approx(1.0)
    assert 0 < found[:, 0].max() < 0.2
    only = FIT[labels["label"].to_numpy()[FIT] == 1]
    assert (fitted(kind, rows=only).predict(features, ASKED) == 1).all()


def test_a_binary_target_never_says_minus_one():
    features, labels = table()
    answers = labels.assign(label=(labels["sum"] > 0).astype(float))
    model = fitted("LSTM", "target_profitable", given=(features, answers))
    found = model.predict_proba(features, ASKED)
    assert (found[:, 0] == 0).all()
    assert found.sum(axis=1) == pytest.approx(1.0)
    assert set(model.predict(features, ASKED)) == {0.0, 1.0}


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_before_the_first_bar_is_as_if_it_were_not_there(kind, layers):
    keras = networks.library()
    features, _ = table()
    model = fitted(kind, layers=layers)
    begun = features.iloc[1100:]  # its third row has three bars
    scaled = model.scaling_.scaled(begun.to_numpy()[:3])[None].astype(np.float32)
    # the same layers of Keras without the input that switches steps off, over three steps
    flow = inputs = keras.Input((3, 4))
    for layer in range(layers):
        held = {"return_sequences": layer + 1 < layers}
        flow = getattr(keras.layers, kind)(SMALL["units"], **held)(flow)
    bare = keras.Model(inputs, keras.layers.Dense(3)(flow))
    weights = [w[:-1] if i % 3 == 0 else w for i, w in enumerate(model.weights_[:-2])]
    bare.set_weights(weights + model.weights_[-2:])
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(bare(scaled)))
    got = model.predict_proba(begun, np.array([2]))
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert np.abs(got - model.predict_proba(features, np.array([1102]))).max() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_learning_leaves_the_switch_of_a_step_as_it_was(kind):
    features, _ = table()
    features.iloc[100:900:9] = np.nan  # every window is cut short
    rows = FIT[features.iloc[FIT].notna().all(axis=1)]
    model = fitted(kind, given=(features, table()[1]), rows=rows, layers=2)
    begun = networks.untrained(model._shape(), SMALL["units"]).get_weights()
    for place in (0, 3):
        np.testing.assert_array_equal(model.weights_[place][-1], begun[place][-1])
        assert (model.weights_[place][:-1] != begun[place][:-1]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_bars_of_another_symbol_or_before_a_gap_change_nothing(kind):
    features, labels = table()
    after_gap = features.index.delete(slice(300, 320))
    parts = {"A": features.loc[after_gap], "B": features * 2}
    panel = pd.concat(parts, names=["symbol", "time"])
    answers = pd.concat([labels.loc[after_gap], labels]).set_axis(panel.index)
    rows = np.r_[np.arange(300, 900), np.arange(1380, 2000)]
    asked = np.array([300, 301, 302, 1380, 1381])  # right after the gap; B's first bars
    params = {"interval": "1h", "max_gap": 10, "rows": rows}
    one = fitted(kind, given=(panel, answers), **params)
    poisoned = panel.copy()
    poisoned.iloc[:300] = 1e6
    other = fitted(kind, given=(poisoned, answers), **params)
    found = one.predict_proba(panel, asked)
    np.testing.assert_array_equal(other.predict_proba(poisoned, asked), found)
    poisoned.iloc[300:1380] = -1e6
    np.testing.assert_array_equal(one.predict_proba(poisoned, asked)[3:], found[3:])
    # a gap of 20 bars is bridged where the params say so, and then what lies before counts
    bridging = fitted(kind, given=(panel, answers), **params | {"max_gap": 20})
    assert (bridging.predict_proba(panel, asked) != bridging.predict_proba(poisoned, asked)).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", ["signal_direction", "target_return"])
def test_what_comes_later_changes_neither_the_fit_nor_a_prediction(kind, target):
    features, labels = table()
    poisoned, unknown = features.copy(), labels.copy()
    poisoned.iloc[1200:] = 1e9
    unknown.iloc[1100:, 0] = 77.0
    asked, params = np.arange(1100, 1200), {"watch": WATCH, "target": target}
    expected = fitted(kind, **params).predict(features, asked)
    for given in ((poisoned, unknown), (features[:1200], labels[:1200])):
        got = fitted(kind, given=given, **params)
        np.testing.assert_array_equal(got.predict(given[0], asked), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_only_training_rows_make_the_scale(kind):
    features, labels = table()
    rows = np.arange(400, 900)
    poisoned = features.copy()
    poisoned.iloc[: 400 - SMALL["lookback"]] = 1e9  # before any bar that a window holds
    poisoned.iloc[900:1000] = 1e9
    one, other = (fitted(kind, rows=rows, given=(t, labels)) for t in (features, poisoned))
    np.testing.assert_array_equal(one.predict(features, ASKED), other.predict(poisoned, ASKED))


@pytest.mark.parametrize("kind", KINDS)
def test_a_prediction_does_not_depend_on_what_else_is_asked(kind):
    features, _ = table()
    model = fitted(kind)
    together = model.predict_proba(features, ASKED)
    alone = [model.predict_proba(features, ASKED[i : i + 1])[0] for i in range(0, 300, 23)]
    np.testing.assert_array_equal(alone, together[::23])
    np.testing.assert_array_equal(model.predict_proba(features, ASKED[::-1]), together[::-1])
    assert model.predict_proba(features, ASKED[:0]).shape == (0, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_history_and_missing_values_are_used_as_they_are(kind):
    features, labels = table()
    features.iloc[::3, 1] = np.nan
    model = fitted(kind, rows=np.arange(50), given=(features, labels), lookback=64)
    assert np.isfinite(model.predict_proba(features, np.arange(60))).all()
    at_mean = features.fillna({"column_1": model.scaling_.mean[1]})
    np.testing.assert_array_equal(
        model.predict_proba(features, ASKED), model.predict_proba(at_mean, ASKED)
    )


def test_a_row_of_which_nothing_is_known_is_refused():
    features, labels = table()
    features.iloc[7] = np.nan
    with pytest.raises(DataError, match="1 of 900 rows have no value"):
        fitted("LSTM", given=(features, labels))
    with pytest.raises(DataError, match="1 of 2 rows have no value"):
        fitted("LSTM").predict(features, np.array([7, 8]))


@pytest.mark.parametrize("kind", KINDS)
def test_watching_stops_the_epochs_and_keeps_the_best(kind):
    features, labels = table()
    noise = labels.assign(label=np.random.default_rng(1).integers(-1, 2, len(labels)).astype(float))
    given = {"given": (features, noise), "epochs": 30, "learning_rate": 0.05}
    model = fitted(kind, watch=WATCH, patience=2, **given)
    said = model.history_["watch"]
    best = int(said.idxmin())
    assert said.index.tolist() == list(range(1, best + 3))  # two epochs without a better one
    assert best + 2 < 30
    shares = model.predict_proba(features, WATCH)
    actual = noise["label"].to_numpy()[WATCH].astype(int) + 1
    # cross-entropy by hand, from the weights that were kept
    loss = -np.log(shares[np.arange(len(WATCH)), actual]).mean()
    assert loss == pytest.approx(said.min(), rel=1e-12)
    unwatched = fitted(kind, **given | {"epochs": best})
    np.testing.assert_array_equal(unwatched.predict_proba(features, WATCH), shares)
    assert unwatched.history_.columns.tolist() == ["train"]


def test_the_loss_that_is_watched_is_the_squared_error_of_a_number():
    features, labels = table()
    model = fitted("GRU", "target_return", watch=WATCH, epochs=1)
    actual = labels["label"].to_numpy()
    errors = (model.predict(features, WATCH) - actual[WATCH]) / actual[FIT].std()
    assert model.history_.loc[1, "watch"] == pytest.approx(np.mean(errors**2), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_reach_the_library(kind):
    features, labels = table()
    bullish = labels["label"].to_numpy()[FIT] == 1
    plain = fitted(kind).predict_proba(features, ASKED)
    heavy = fitted(kind, sample_weight=np.where(bullish, 20.0, 1.0)).predict_proba(features, ASKED)
    assert heavy[:, 2].mean() > plain[:, 2].mean() + 0.2
    equal = fitted(kind, sample_weight=np.full(len(FIT), 3.0)).predict_proba(features, ASKED)
    np.testing.assert_array_equal(equal, plain)
    without = fitted(kind, sample_weight=np.where(bullish, 0.0, 1.0))
    assert (without.predict(features, ASKED) != 1).all()
    for wrong in (np.zeros(len(FIT)), np.ones(3), np.full(len(FIT), np.nan)):
        with pytest.raises(DataError, match=f"{kind}: .* weights of mean"):
            fitted(kind, sample_weight=wrong)


def test_another_process_with_other_threads_makes_the_same_bits_and_files():
    threads = "1" if kernels.threads() > 1 else "2"
    script = (
        "import importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('other', sys.argv[1])\n"
        "other = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(other)\n"
        "print(*(other.digest(other.fitted(name)) for name in other.KINDS))\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, __file__],
        cwd=ROOT,
        env=os.environ | {"SIGNALKIT_THREADS": threads, "PYTHONHASHSEED": threads},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""  # nothing of what the library says while it is imported
    fitted("GRU", "target_return", seed=3)  # what was fitted before leaves nothing behind
    assert run.stdout.split() == [digest(fitted(name)) for name in KINDS]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", ["signal_direction", "target_return"])
def test_a_loaded_model_gives_the_same_numbers_bit_for_bit(kind, target, tmp_path):
    features, _ = table()
    model = fitted(kind, target, layers=2)
    model.save(tmp_path)
    loaded = training.Model.load(tmp_path)
    expected = model.predict(features, ASKED)
    np.testing.assert_array_equal(loaded.predict(features, ASKED), expected)
    assert training.saved(loaded) == training.saved(model)


def test_the_file_is_one_that_keras_reads(tmp_path):
    features, _ = table()
    model = fitted("GRU", "target_return", layers=2)
    model.save(tmp_path)
    bare = networks.library().saving.load_model(tmp_path / "model.keras", safe_mode=True)
    windows = model._windows(features, ASKED).batch(ASKED)
    mean, spread = model.answer_
    expected = bare.predict(list(windows), verbose=0)[:, 0] * spread + mean
    np.testing.assert_allclose(model.predict(features, ASKED), expected, rtol=1e-5, atol=1e-6)


def test_a_fitted_model_travels_to_another_process_and_back():
    features, _ = table()
    model = fitted("LSTM")
    expected = model.predict_proba(features, ASKED)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.predict_proba(features, ASKED), expected)
    fresh = copy.deepcopy(training.make("LSTM", "signal_direction", **SMALL)).fit(*table(), FIT)
    np.testing.assert_array_equal(fresh.predict_proba(features, ASKED), expected)


def test_models_that_share_a_network_answer_as_themselves_from_several_threads():
    features, _ = table()
    models = [fitted("LSTM", seed=seed) for seed in (1, 2)]
    expected = [model.predict_proba(features, ASKED) for model in models]
    assert (expected[0] != expected[1]).any()
    with ThreadPoolExecutor(4) as pool:
        asked = [models[i % 2] for i in range(16)]
        found = list(pool.map(lambda model: model.predict_proba(features, ASKED), asked))
    for place, got in enumerate(found):
        np.testing.assert_array_equal(got, expected[place % 2])


def test_the_random_numbers_of_others_are_left_alone():
    before = random.getstate(), np.random.get_state()[1].tobytes()  # noqa: NPY002 - looked at only
    fitted("LSTM", dropout=0.3).predict(table()[0], ASKED)
    after = random.getstate(), np.random.get_state()[1].tobytes()  # noqa: NPY002 - looked at only
    assert after == before


@pytest.mark.parametrize(
    ("name", "value"),
    [("units", 5), ("layers", 2), ("lookback", 3), ("dropout", 0.5), ("learning_rate", 0.001),
     ("epochs", 1), ("batch", 50), ("seed", 8)],
)  # fmt: skip
def test_every_setting_moves_the_predictions(name, value):
    features, _ = table()
    base = fitted("LSTM").predict_proba(features, ASKED)
    assert (fitted("LSTM", **{name: value}).predict_proba(features, ASKED) != base).all()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [("units", 0, "units must be a whole number above 0, was 0"),
     ("lookback", 2.5, "lookback must be a whole number above 0, was 2.5"),
     ("dropout", 1.0, "dropout must be at least 0 and below 1, was 1.0"),
     ("learning_rate", 0.0, "learning_rate must be above 0, was 0.0"),
     ("seed", -1, "seed must be a whole number, 0 or more, was -1"),
     ("max_gap", -1, "max_gap must be 0 bars or more, was -1"),
     ("interval", "1x", "1x"),
     ("unit", 8, "LSTM has no parameter 'unit'")],
)  # fmt: skip
def test_settings_out_of_their_range_are_refused_at_once(name, value, says):
    with pytest.raises(ParamsError, match=says):
        training.make("LSTM", "signal_direction", **{name: value})


def test_a_loss_that_is_no_number_is_told():
    with pytest.raises(DataError, match=r"GRU: the loss is no longer a number.*lower learning_rat"):
        fitted("GRU", learning_rate=1e38)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_other_than_those_learned_are_refused(kind):
    features, _ = table()
    model = fitted(kind)
    for other in (features.iloc[:, ::-1], features.iloc[:, :2], features.add_prefix("new_")):
        with pytest.raises(DataError, match="learned the columns"):
            model.predict(other, ASKED)
