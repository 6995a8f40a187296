"""volatility_models.py: HAR is a least squares fit, GARCH is arch's, and neither reads ahead."""

import hashlib
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signalkit import collection, labeling, training
from signalkit.errors import DataError, ParamsError
from signalkit.splits import WalkForward

ROOT = Path(__file__).resolve().parents[2]
BOTH = ("HAR", "GARCH")
HORIZON = 5


def garch_returns(n, seed, scale=0.01):
    """Returns of a GARCH(1, 1) with alpha 0.1, beta 0.85 and unconditional spread `scale`."""
    rng, variance, out = np.random.default_rng(seed), scale**2, []
    for shock in rng.standard_normal(n):
        out.append(np.sqrt(variance) * shock)
        variance = 0.05 * scale**2 + 0.1 * out[-1] ** 2 + 0.85 * variance
    return np.array(out)


def table(*returns, horizon=HORIZON):
    """Returns of the symbols A, B, ... and the labels that labeling would make of them."""
    parts = {}
    for name, values in zip("ABCDEF", returns, strict=False):
        time = pd.date_range("2020-01-01", periods=len(values) + 1, freq="h", tz="UTC", name="time")
        log_return = pd.Series(np.r_[np.nan, values], time)
        coming = log_return.rolling(horizon).std().shift(-horizon)
        known_at = pd.Series(time, time).shift(-horizon)
        parts[name] = pd.DataFrame({"return": log_return, "label": coming, "known_at": known_at})
    whole = pd.concat(parts, names=["symbol", "time"])
    return whole[["return"]], whole[["label", "known_at"]]


def labelled(labels, first, last):
    """Positions, among the first to the last, that have a label."""
    return np.flatnonzero(labels["label"].notna().to_numpy()[first:last]) + first


def made(model_type, **params):
    return training.make(model_type, "target_volatility", **{"horizon": HORIZON} | params)


def digest(model_type):
    """Hash of what a model answers and of what it saves."""
    features, labels = table(garch_returns(3000, 30), garch_returns(3000, 31))
    model = made(model_type).fit(features, labels, labelled(labels, 30, 5000))
    told = model.predict(features, np.arange(len(features)))
    return hashlib.sha256(told.tobytes() + training.saved(model)["model.json"]).hexdigest()


def plain_terms(returns):
    """The regressors of Corsi (2009) with pandas: 1 and the root of the mean r² of each span."""
    square = pd.Series(returns) ** 2
    roots = [np.sqrt(square.rolling(span).mean()) for span in (1, 5, 22)]
    return np.column_stack([np.ones(len(square)), *roots])


def test_har_equals_least_squares_of_numpy():
    features, labels = table(garch_returns(600, 1))
    rows, asked = labelled(labels, 30, 400), np.arange(400, 600)
    terms, answers = plain_terms(features["return"]), labels["label"].to_numpy()
    expected = np.linalg.lstsq(terms[rows], answers[rows], rcond=None)[0]
    model = made("HAR").fit(features, labels, rows)
    assert model.parts_["A"] == pytest.approx(expected.tolist(), rel=1e-8)
    assert model.predict(features, asked) == pytest.approx(terms[asked] @ expected, rel=1e-8)


def test_har_weighs_rows_as_weighted_least_squares_does():
    features, labels = table(garch_returns(500, 2))
    rows = labelled(labels, 30, 400)
    weight = np.random.default_rng(0).uniform(0.1, 2, len(rows))
    terms, answers = plain_terms(features["return"])[rows], labels["label"].to_numpy()[rows]
    root = np.sqrt(weight)
    expected = np.linalg.lstsq(terms * root[:, None], answers * root, rcond=None)[0]
    got = made("HAR").fit(features, labels, rows, sample_weight=weight).parts_["A"]
    assert got == pytest.approx(expected.tolist(), rel=1e-8)


def test_har_never_predicts_below_zero():
    # a label that falls as volatility rises makes a line that crosses zero
    features, labels = table(garch_returns(400, 3))
    turned = labels.assign(label=0.02 - labels["label"])
    model = made("HAR").fit(features, turned, labelled(turned, 30, 300))
    calm_then_wild = features.copy()
    calm_then_wild.iloc[350:] = 0.5
    got = model.predict(calm_then_wild, np.arange(300, 400))
    assert got.min() == 0.0
    assert got.max() > 0.0


def test_garch_equals_the_forecast_of_arch():
    from arch import arch_model  # noqa: PLC0415 - takes over 0.3 s

    returns = garch_returns(700, 4)
    features, labels = table(returns)
    # the first return is in row 1; rows 1 to 500 are the training window
    model = made("GARCH", levelled=False).fit(features, labels, np.arange(1, 501))
    omega, alpha, beta, *_ = model.parts_["A"]
    scale = np.sqrt(np.mean(returns[:500] ** 2))
    peer = arch_model(returns / scale, mean="Zero", rescale=False)
    fitted = peer.fit(disp="off", last_obs=500)
    assert [omega / scale**2, alpha, beta] == pytest.approx(fitted.params.tolist(), rel=1e-9)
    ahead = fitted.forecast(horizon=HORIZON, start=499).variance
    expected = scale * np.sqrt(ahead.mean(axis=1).to_numpy())
    got = model.predict(features, np.arange(500, 701))
    assert got == pytest.approx(expected, rel=1e-9)


def test_garch_finds_the_parameters_it_was_simulated_with():
    features, labels = table(garch_returns(6000, 5))
    _, alpha, beta, *_ = made("GARCH").fit(features, labels, labelled(labels, 1, 6000)).parts_["A"]
    # two standard errors of 6,000 bars are about 0.02 and 0.03
    assert [alpha, beta] == pytest.approx([0.1, 0.85], abs=0.03)


@pytest.mark.parametrize("model_type", BOTH)
def test_volatility_that_clusters_is_predicted_better_than_by_its_mean(model_type):
    features, labels = table(garch_returns(2000, 6), garch_returns(2000, 7, scale=0.03))
    in_time = features.index.get_level_values("time") < features.index[1500][1]
    whole = labels["label"].notna().to_numpy()
    train, test = np.flatnonzero(in_time & whole), np.flatnonzero(~in_time & whole)
    actual = labels["label"].to_numpy()[test]
    errors = {}
    for name, params in {model_type: {"horizon": HORIZON}, "MAJORITY": {}}.items():
        model = training.make(name, "target_volatility", **params).fit(features, labels, train)
        errors[name] = np.mean((model.predict(features, test) - actual) ** 2)
    assert errors[model_type] < 0.9 * errors["MAJORITY"]


def test_the_level_is_the_least_squares_factor_of_the_training_labels():
    features, labels = table(garch_returns(600, 8))
    rows, asked = labelled(labels, 1, 400), np.arange(400, 600)
    plain = made("GARCH", levelled=False).fit(features, labels, rows)
    told, answers = plain.predict(features, rows), labels["label"].to_numpy()[rows]
    factor = np.linalg.lstsq(told[:, None], answers, rcond=None)[0][0]
    got = made("GARCH").fit(features, labels, rows).predict(features, asked)
    assert got == pytest.approx(factor * plain.predict(features, asked), rel=1e-9)
    # a standard deviation of five normal returns lies 6 % below the spread: c4(5) = 0.940
    assert factor == pytest.approx(0.94, abs=0.04)


@pytest.mark.parametrize("model_type", BOTH)
def test_returns_after_a_bar_and_labels_outside_the_rows_change_nothing(model_type):
    features, labels = table(garch_returns(600, 9), garch_returns(600, 10))
    times = features.index.get_level_values("time")
    in_window = (times < times[400]) & (labels["known_at"] < times[400]).to_numpy()
    rows = np.flatnonzero(in_window & labels["label"].notna().to_numpy())
    base = made(model_type).fit(features, labels, rows).predict(features, np.arange(len(times)))
    outside = ~np.isin(np.arange(len(times)), rows)
    for at in (400, 401, 520):
        later = times > times[at]
        wild = features.assign(**{"return": features["return"].mask(later, 0.7)})
        odd = labels.assign(label=labels["label"].mask(outside, 9.0))
        cut = np.flatnonzero(~later)
        got = made(model_type).fit(wild, odd, rows).predict(wild, cut)
        np.testing.assert_array_equal(got, base[cut])
        after = made(model_type).fit(wild, odd, rows).predict(wild, np.flatnonzero(later))
        assert (after != base[later]).all()


@pytest.mark.parametrize("model_type", BOTH)
def test_a_saved_model_gives_the_same_bits(model_type, tmp_path):
    features, labels = table(garch_returns(400, 11), garch_returns(50, 12))
    model = made(model_type).fit(features, labels, labelled(labels, 30, 390))
    model.save(tmp_path)
    again = training.Model.load(tmp_path)
    asked = np.arange(len(features))
    np.testing.assert_array_equal(again.predict(features, asked), model.predict(features, asked))
    assert json.loads((tmp_path / "model.json").read_text())["params"]["horizon"] == HORIZON


@pytest.mark.parametrize("model_type", BOTH)
def test_a_young_symbol_takes_what_the_others_have_taught(model_type):
    long, young = garch_returns(400, 13), garch_returns(60, 14)
    features, labels = table(long, young)
    both = made(model_type).fit(features, labels, labelled(labels, 25, len(labels)))
    assert sorted(both.parts_) == ["A"]
    got = both.predict(features, np.arange(len(features)))
    assert np.isfinite(got).all()
    renamed = features.rename({"B": "new"}, level="symbol").sort_index()
    np.testing.assert_array_equal(both.predict(renamed, np.arange(len(features))), got)


def test_a_bar_without_any_return_before_it_has_the_mean_label_from_har():
    features, labels = table(garch_returns(300, 15))
    rows = labelled(labels, 30, 300)
    model = made("HAR").fit(features, labels, rows)
    mean = labels["label"].iloc[rows].mean()
    assert model.predict(features, np.array([0])).tolist() == [pytest.approx(mean)]


@pytest.mark.parametrize("model_type", BOTH)
def test_a_missing_return_leaves_the_forecast_as_it_was(model_type):
    features, labels = table(garch_returns(400, 16))
    features.iloc[350] = np.nan
    model = made(model_type).fit(features, labels, labelled(labels, 30, 300))
    got = model.predict(features, np.array([349, 350, 351]))
    assert got[0] == got[1]
    assert got[1] != got[2]


@pytest.mark.parametrize("model_type", BOTH)
def test_the_scale_of_returns_is_the_scale_of_the_forecast(model_type):
    found = []
    for scale in (1e-5, 0.3):
        features, labels = table(garch_returns(400, 17, scale))
        model = made(model_type).fit(features, labels, labelled(labels, 30, 390))
        found.append(model.predict(features, np.arange(300, 400)) / scale)
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_another_process_with_one_thread_makes_the_same_bits():
    script = (
        "import importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('other', sys.argv[1])\n"
        "other = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(other)\n"
        "print(*(other.digest(name) for name in other.BOTH))\n"
    )
    one = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "1"}
    run = subprocess.run(
        [sys.executable, "-c", script, __file__],
        cwd=ROOT,
        env=os.environ | one,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == [digest(name) for name in BOTH]


def test_fitting_leaves_no_filter_of_warnings_behind():
    features, labels = table(garch_returns(300, 18))
    before = list(warnings.filters)
    made("GARCH").fit(features, labels, labelled(labels, 1, 300))
    assert list(warnings.filters) == before


@pytest.mark.parametrize("model_type", BOTH)
def test_the_sample_is_walked_and_the_mean_is_beaten(model_type):
    bars = collection.load("sample", ["SP500", "NASDAQ"], "1d").groupby("symbol").head(1500)
    labels = labeling.target_volatility(bars, HORIZON).reindex(bars.index)
    log_return = np.log(bars["close"]).groupby("symbol").diff()
    features = pd.DataFrame({"return": log_return})
    times, actual = bars.index.get_level_values("time"), labels["label"].to_numpy()
    for train, test in WalkForward(1000, 250).split(times, labels["known_at"]):
        settled = test[np.isfinite(actual[test])]
        model = made(model_type).fit(features, labels, train)
        error = np.mean((model.predict(features, settled) - actual[settled]) ** 2)
        assert error < np.mean((actual[train].mean() - actual[settled]) ** 2)


@pytest.mark.parametrize("model_type", BOTH)
@pytest.mark.parametrize(
    ("target", "horizon", "says"),
    [
        ("signal_direction", 5, "predicts target_volatility, not signal_direction"),
        ("target_volatility", 0, "a whole number of bars above 0, was 0"),
        ("target_volatility", 2.0, "a whole number of bars above 0, was 2.0"),
    ],
)
def test_what_they_cannot_predict_is_refused_at_once(model_type, target, horizon, says):
    with pytest.raises(ParamsError, match=says):
        training.make(model_type, target, horizon=horizon)


@pytest.mark.parametrize("model_type", BOTH)
def test_a_short_window_is_refused_with_a_way_out(model_type):
    features, labels = table(garch_returns(300, 19))
    with pytest.raises(DataError, match=r"needs 100 training rows .* lengthen validation.train"):
        made(model_type).fit(features, labels, labelled(labels, 22, 121))


@pytest.mark.parametrize("model_type", BOTH)
def test_another_table_than_returns_is_refused(model_type):
    features, labels = table(garch_returns(300, 20))
    with pytest.raises(DataError, match="reads one column, 'return', was given"):
        made(model_type).fit(features.assign(other=1.0), labels, labelled(labels, 30, 300))


def test_garch_refuses_returns_that_do_not_move():
    features, labels = table(np.zeros(300))
    with pytest.raises(DataError, match="no training return of A moves"):
        made("GARCH").fit(features, labels, labelled(labels, 30, 290))


def test_garch_names_the_symbol_whose_likelihood_has_no_maximum(monkeypatch):
    import arch.univariate.base  # noqa: PLC0415 - takes over 0.3 s

    found = arch.univariate.base.minimize

    def hurried(*args, options, **rest):
        return found(*args, options=options | {"maxiter": 1}, **rest)

    # one step of the search is too few; arch would warn, and go on
    monkeypatch.setattr(arch.univariate.base, "minimize", hurried)
    features, labels = table(garch_returns(300, 21))
    with pytest.raises(DataError, match=r"likelihood of A's 295 training returns has no maximum"):
        made("GARCH").fit(features, labels, np.arange(1, 296))


def test_har_of_constant_volatility_predicts_it():
    # all three volatilities are one: many coefficients are the best, the smallest are taken
    features, labels = table(np.tile([0.01, -0.01], 200))
    model = made("HAR").fit(features, labels, labelled(labels, 30, 300))
    # two of five returns on one side, three on the other: 0.01 sqrt(4.8 / 4)
    expected = 0.01 * np.sqrt(1.2)
    assert model.predict(features, np.array([350, 351])) == pytest.approx(expected, rel=1e-9)
