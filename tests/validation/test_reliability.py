"""reliability.py: the tables by hand, equal to metrics, and sets that keep their word in markets.

Markets are those of the simulator, whose volatility comes in regimes.
"""

import numpy as np
import pandas as pd
import pytest

from signalkit import features, labeling, metrics, signals, training
from signalkit.collection.simulator import market
from signalkit.errors import DataError, ParamsError
from signalkit.significance import bootstrap_ci
from signalkit.splits import WalkForward
from signalkit.training.calibration import calibrator
from signalkit.training.conformal import prediction_intervals, prediction_sets
from signalkit.validation import walk_forward
from signalkit.validation.reliability import (
    calibration_scores,
    coverage_table,
    reliability_table,
)

SHARES = ["p_sell", "p_hold", "p_buy"]
QUICK = {"block": 4, "draws": 100}


def predicted(shares, actual, model_id="M", symbols=("A",)):
    """Predictions of one model, each settled a bar later."""
    n = len(shares) // len(symbols)
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC", name="time")
    at = pd.MultiIndex.from_product([symbols, times], names=["symbol", "time"])
    table = pd.DataFrame(shares, at, SHARES).assign(actual=actual, model_id=model_id)
    table["known_at"] = table.index.get_level_values("time") + pd.Timedelta(1, "h")
    return table.set_index("model_id", append=True)


def sure(n=2000, power=3.0, seed=1, **options):
    """Forecasts too sure of themselves: the truth to a power."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet([2.0, 2.0, 2.0], n)
    actual = (rng.random(n)[:, None] > true.cumsum(axis=1)).sum(axis=1) - 1.0
    said = true**power
    return predicted(said / said.sum(axis=1, keepdims=True), actual, **options)


def bent(predictions, method="temperature"):
    """The later half calibrated on the earlier one, and as it was."""
    half = len(predictions) // 2
    first, raw = predictions.iloc[:half], predictions.iloc[half:]
    fitted = calibrator(method).fit(first[SHARES].to_numpy(), first["actual"].to_numpy())
    calibrated = raw.copy()
    calibrated[SHARES] = fitted.apply(raw[SHARES].to_numpy())
    return calibrated, raw


def test_reliability_worked_by_hand():
    # two answers in (0.6, 0.7], one right; 0.8 belongs to (0.7, 0.8] and is right
    shares = [[0.1, 0.2, 0.7], [0.65, 0.35, 0.0], [0.1, 0.8, 0.1], [0.9, 0.1, 0.0]]
    table = reliability_table(predicted(shares, [1.0, 1.0, 0.0, np.nan]), block=1, draws=200)
    assert table.loc["M", "n"].tolist() == [0, 0, 0, 0, 0, 0, 2, 1, 0, 0]
    row = table.loc[("M", 6)]
    assert row[["low", "high"]].tolist() == [0.6, 0.7]
    assert row["confidence"] == pytest.approx(0.675)
    assert row["accuracy"] == 0.5
    assert row[["accuracy_low", "accuracy_high"]].tolist() == [0.0, 1.0]
    assert table.loc[("M", 7), ["accuracy", "accuracy_low", "accuracy_high"]].tolist() == [1, 1, 1]
    assert table.loc[("M", 9), ["confidence", "accuracy", "accuracy_low"]].isna().all()


def test_reliability_equals_metrics_and_its_interval_the_bootstrap():
    rows = sure(symbols=("A", "B"))
    table = reliability_table(rows, **QUICK).loc["M"]
    actual, shares = rows["actual"].to_numpy(), rows[SHARES].to_numpy()
    expected = metrics.reliability(actual, shares)
    same = ["low", "high", "n", "confidence", "accuracy"]
    np.testing.assert_allclose(table[same], expected[same], rtol=1e-12)
    # significance.bootstrap_ci of one bin's share, on the same draws
    right = np.array([-1.0, 0.0, 1.0])[shares.argmax(axis=1)] == actual
    inside = (shares.max(axis=1) > 0.6) & (shares.max(axis=1) <= 0.7)

    def share(weight):
        return pd.Series({"bin": (weight * right * inside).sum() / (weight * inside).sum()})

    times = rows.index.get_level_values("time")
    interval = bootstrap_ci(share, times, **QUICK).loc["bin", ["value", "low", "high"]]
    got = table.loc[6, ["accuracy", "accuracy_low", "accuracy_high"]]
    np.testing.assert_allclose(got, interval, rtol=1e-12)


def test_each_model_has_its_own_bins_and_failed_rows_are_left_out():
    other = sure(seed=2, model_id="N")
    other.iloc[:500, :3] = np.nan
    table = reliability_table(pd.concat([sure(), other]), **QUICK)
    assert table["n"].groupby(level="model_id").sum().to_dict() == {"M": 2000, "N": 1500}
    alone = reliability_table(sure(), **QUICK)
    pd.testing.assert_frame_equal(table.loc[["M"]], alone, check_exact=True)


def test_calibration_scores_equal_metrics():
    calibrated, raw = bent(sure())
    table = calibration_scores(calibrated, raw, **QUICK).loc["M"]
    for column, rows in {"value": calibrated, "raw": raw}.items():
        known = metrics.classification(rows["actual"].to_numpy(), rows[SHARES].to_numpy())
        np.testing.assert_allclose(table[column], known[["ece", "brier"]], rtol=1e-12)
    np.testing.assert_allclose(table["difference"], table["value"] - table["raw"], rtol=1e-12)
    assert (table["n"] == 1000).all()


def test_intervals_of_calibration_scores_are_those_of_the_bootstrap_on_the_same_draws():
    calibrated, raw = bent(sure(n=600))
    columns = [(t["actual"].to_numpy(), t[SHARES].to_numpy()) for t in (calibrated, raw)]
    scored = [metrics.classifier(*pair) for pair in columns]

    def statistic(weight):
        one, two = (score(weight)[["ece", "brier"]] for score in scored)
        return pd.concat({"": one, "raw": two, "difference": one - two})

    times = raw.index.get_level_values("time")
    expected = bootstrap_ci(statistic, times, seed=3, **QUICK)
    table = calibration_scores(calibrated, raw, seed=3, **QUICK).loc["M"]
    for name, low, high in (
        ("", "low", "high"),
        ("raw", "raw_low", "raw_high"),
        ("difference", "difference_low", "difference_high"),
    ):
        np.testing.assert_allclose(table[[low, high]], expected.loc[name, ["low", "high"]])


@pytest.mark.parametrize("method", ["temperature", "sigmoid", "isotonic"])
def test_calibrating_what_is_too_sure_is_seen_and_changing_nothing_is_not(method):
    calibrated, raw = bent(sure(n=4000), method)
    helped = calibration_scores(calibrated, raw, **QUICK)
    assert (helped["difference_high"] < 0).all()
    nothing = calibration_scores(raw, raw, **QUICK)
    assert (nothing[["difference", "difference_low", "difference_high"]] == 0).all(axis=None)
    spoilt = calibration_scores(raw, calibrated, **QUICK)
    assert (spoilt["difference_low"] > 0).all()


def test_coverage_worked_by_hand():
    hit = [1.0, 1.0, 0.0, 1.0, 0.0, np.nan]
    times = pd.date_range("2024-01-01", periods=3, freq="h", tz="UTC", name="time")
    at = pd.MultiIndex.from_product([["A", "B"], times], names=["symbol", "time"])
    sets = pd.DataFrame({"covered": hit, "size": [1, 2, 3, 2, 2, 1]}, at)
    part = pd.Series(["calm", "calm", "wild", None, "wild", "wild"], at)
    table = coverage_table(sets, block=1, by={"regime": part}, draws=50)
    assert table.index.tolist() == [("all", "all"), ("regime", "calm"), ("regime", "wild")]
    assert table["coverage"].tolist() == [0.6, 1.0, 0.0]
    assert table["size"].tolist() == [2.0, 1.5, 2.5]
    assert table["n"].tolist() == [5, 2, 2]
    # three times are fewer than four blocks
    assert table[["low", "high"]].isna().all(axis=None)


def test_coverage_has_an_interval_that_holds_it_and_a_width_for_numbers():
    sets = prediction_sets(sure(power=1.0).xs("M", level="model_id"))
    row = coverage_table(sets, **QUICK).loc[("all", "all")]
    assert row["low"] < row["coverage"] < row["high"]
    assert row["high"] - row["low"] < 0.06
    known = bootstrap_ci(
        lambda weight: pd.Series({"all": np.average(sets["covered"], weights=weight)}),
        sets.index.get_level_values("time"),
        **QUICK,
    )
    expected = known.loc["all", ["value", "low", "high"]]
    np.testing.assert_allclose(row[["coverage", "low", "high"]], expected, rtol=1e-12)
    numbers = sure().xs("M", level="model_id").assign(prediction=0.0)
    told = coverage_table(prediction_intervals(numbers), **QUICK).loc[("all", "all")]
    assert told["width"] == pytest.approx(2.0)


def test_what_cannot_be_scored_is_refused():
    rows = sure(n=100)
    with pytest.raises(DataError, match="no prediction has settled"):
        reliability_table(rows.assign(actual=np.nan), block=1)
    with pytest.raises(DataError, match="no settled prediction has probabilities"):
        reliability_table(rows.assign(p_buy=np.nan), block=1)
    with pytest.raises(ParamsError, match="bins must be at least 1, was 0"):
        reliability_table(rows, block=1, bins=0)
    with pytest.raises(ParamsError, match="block must be from 1 to the 100 times"):
        reliability_table(rows, block=101)
    with pytest.raises(DataError, match="same rows and outcomes: 100 and 99 have settled"):
        calibration_scores(rows, rows.iloc[1:], block=1)
    with pytest.raises(DataError, match="same rows and outcomes"):
        calibration_scores(rows, rows.assign(actual=-rows["actual"]), block=1)
    with pytest.raises(DataError, match="no set has settled"):
        coverage_table(pd.DataFrame({"covered": [np.nan]}), block=1)


def market_sets(seed):
    """Sets of a booster walked forward in a simulated market, and the regime of each bar."""
    end = pd.Timestamp("2024-01-01", tz="UTC") + pd.Timedelta(9_999, "h")
    panel = market(["AAAUSDT"], "1h", start="2024-01-01", end=end, seed=seed).bars
    matrix = features.build(panel, features.select(["price", "volatility", "technical"]))
    labels = labeling.signal_direction(panel, horizon=4)
    models = {"LIGHTGBM": training.make("LIGHTGBM", "signal_direction", rounds=60)}
    found = walk_forward(matrix, labels, models, WalkForward(2000, 1000))
    regime = signals.volatility_regime(panel)
    return prediction_sets(found.xs("LIGHTGBM", level="model_id")), regime


def assert_covers(sets, regime):
    """Sets at 90 % hold 88 to 92 % overall, 84 to 96 % in each regime of 2,000 bars and more."""
    table = coverage_table(sets, block=4, by={"regime": regime}, draws=2)
    assert 0.88 <= table.loc[("all", "all"), "coverage"] <= 0.92
    large = table[table["n"] >= 2000].loc["regime"]
    assert len(large) >= 1
    assert large["coverage"].between(0.84, 0.96).all(), large


def test_sets_cover_a_simulated_market_in_each_of_its_regimes():
    sets, regime = market_sets(0)
    # sets that hold every class would cover everything
    assert sets["size"].mean() < 2.8
    assert_covers(sets, regime)


@pytest.mark.certify
def test_sets_cover_twenty_simulated_markets_in_each_of_their_regimes():
    for seed in range(20):
        assert_covers(*market_sets(seed))
