"""evidence.py: scores beside their baseline, gains with the right sign, the same rows for all."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata
from sklearn import metrics as theirs

from signalkit import metrics, training
from signalkit.errors import DataError
from signalkit.significance import draw_counts
from signalkit.validation import by_fold, comparable, fit_inside, scores

SHARES = ["p_sell", "p_hold", "p_buy"]
LOSSES = {"log_loss", "brier", "ece", "mse", "mae"}


def index(n=60, symbols=("A", "B")):
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC", name="time")
    return pd.MultiIndex.from_product([symbols, times], names=["symbol", "time"])


def answers(n=60, seed=1):
    return np.random.default_rng(seed).integers(-1, 2, 2 * n).astype(float)


def predicted(model_id, shares, actual=None, guess=None):
    """One model's predictions of two symbols, two folds."""
    shares = np.asarray(shares, dtype=float)
    n = len(shares) // 2
    table = pd.DataFrame(shares, index(n), columns=SHARES)
    table["actual"] = answers(n) if actual is None else actual
    table["prediction"] = shares.argmax(axis=1) - 1.0 if guess is None else guess
    times = table.index.get_level_values("time")
    table["fold"] = (times >= times[n // 2]).astype(int)
    return table.assign(model_id=model_id).set_index("model_id", append=True)


def majority(n=60, **more):
    return predicted("MAJORITY", np.tile([0.3, 0.3, 0.4], (2 * n, 1)), **more)


def clairvoyant(n=60, sure=0.5, seed=4):
    """Shares that lean to the outcome more often than not."""
    rng = np.random.default_rng(seed)
    lean = np.where(rng.random(2 * n) < 0.7, answers(n), rng.integers(-1, 2, 2 * n))
    return np.full((2 * n, 3), (1 - sure) / 2) + (lean[:, None] == [-1, 0, 1]) * (1.5 * sure - 0.5)


def classes(**more):
    """Predictions of a baseline and of a model with an edge."""
    return pd.concat([majority(**more), predicted("MODEL", clairvoyant(), **more)]).sort_index()


def numbers(guess, actual):
    """Predictions of a number by a baseline of 0 and by a model."""
    none = np.full((len(actual), 3), np.nan)
    parts = [
        predicted("MAJORITY", none, actual, np.zeros(len(actual))),
        predicted("MODEL", none, actual, guess),
    ]
    return pd.concat(parts).sort_index()


def test_values_are_those_of_scikit_learn():
    got = scores(classes(), block=3, draws=20).loc["MODEL"]
    shares, actual = clairvoyant(), answers()
    assert got.loc["accuracy", "value"] == pytest.approx(
        theirs.accuracy_score(actual, shares.argmax(axis=1) - 1)
    )
    assert got.loc["log_loss", "value"] == pytest.approx(theirs.log_loss(actual, shares))
    table = predicted("MODEL", shares)
    inside = [table["fold"].to_numpy() == fold for fold in (0, 1)]
    areas = []
    for k, answer in enumerate(metrics.CLASSES):
        ranked = np.empty(len(actual))
        for rows in inside:  # scipy's ranks within a fold, at their middle
            ranked[rows] = (rankdata(shares[rows, k]) - 0.5) / rows.sum()
        areas.append(theirs.roc_auc_score(actual == answer, ranked))
    assert got.loc["auc", "value"] == pytest.approx(np.mean(areas))
    assert (got["n"] == 120).all()


def lagging(n=60):
    """A baseline whose shares follow the market from afar: another split in each fold."""
    shares = np.tile([0.3, 0.3, 0.4], (2 * n, 1))
    shares[index(n).get_level_values("time") >= index(n)[n // 2][1]] = [0.4, 0.3, 0.3]
    return predicted("MAJORITY", shares)


def test_baseline_is_the_majoritys_own_score_or_what_no_skill_gives():
    table = pd.concat([lagging(), predicted("MODEL", clairvoyant())])
    got = scores(table, block=3, draws=20)
    naive, ranks = got.loc["MAJORITY", "value"], ["auc", "auc_direction"]
    expected = naive.where(~naive.index.isin(ranks), 0.5)
    expected["matthews"] = 0.0
    for model in ("MAJORITY", "MODEL"):
        assert got.loc[model, "baseline"].to_dict() == expected.to_dict()
    assert (naive[ranks] == 0.5).all()  # although its shares differ from fold to fold
    own = got.drop(index=[*ranks, "matthews"], level="metric").loc["MAJORITY"]
    nothing = own[["gain", "gain_low", "gain_high"]]
    assert (nothing == 0).all(axis=None)


def test_no_skill_in_numbers_is_a_correlation_of_nought():
    actual = np.random.default_rng(2).normal(0, 0.01, 120)
    got = scores(numbers(actual, actual), block=3, draws=20).loc["MODEL"]
    assert got.loc["ic", ["value", "baseline", "gain"]].tolist() == pytest.approx([1.0, 0.0, 1.0])


def test_a_gain_is_the_lead_over_the_baseline_also_for_losses():
    got = scores(classes(), block=3, draws=40).loc["MODEL"]
    for metric, row in got.iterrows():
        lead = row["value"] - row["baseline"]
        assert row["gain"] == pytest.approx(-lead if metric in LOSSES else lead)
    assert (got.loc[["auc", "accuracy", "log_loss"], "gain"] > 0).all()
    assert got.loc["log_loss", "value"] < got.loc["log_loss", "baseline"]


def test_losses_of_numbers_gain_by_being_smaller():
    actual = np.random.default_rng(2).normal(0, 0.01, 120)
    noise = np.random.default_rng(3).normal(0, 0.004, 120)
    better = scores(numbers(actual + noise, actual), block=3, draws=40).loc["MODEL"]
    worse = scores(numbers(-2 * actual, actual), block=3, draws=40).loc["MODEL"]
    assert list(better.index) == list(metrics.REGRESSION)
    assert (better.loc[["mse", "mae", "r2"], "gain_low"] > 0).all()
    assert (worse.loc[["mse", "mae", "r2"], "gain_high"] < 0).all()
    assert better.loc["mse", "value"] == pytest.approx(theirs.mean_squared_error(0 * noise, noise))


def test_intervals_hold_their_value_and_widen_with_the_level():
    narrow, wide = (
        scores(classes(), block=3, draws=200, level=level).loc["MODEL"] for level in (0.5, 0.99)
    )
    inside = ["auc", "auc_direction", "accuracy", "log_loss"]
    assert (wide["low"] <= wide["value"]).loc[inside].all()
    assert (wide["value"] <= wide["high"]).loc[inside].all()
    assert (wide["high"] - wide["low"] > narrow["high"] - narrow["low"]).loc[inside].all()
    assert (wide["gain_high"] - wide["gain_low"] > 0).loc[inside].all()


def test_scores_repeat_with_their_seed():
    one, same, other = (scores(classes(), block=3, draws=20, seed=s) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same, check_exact=True)
    assert not one["low"].equals(other["low"])


def test_a_model_equal_to_the_baseline_gains_nothing():
    twin = predicted("TWIN", np.tile([0.3, 0.3, 0.4], (120, 1)))
    got = scores(pd.concat([majority(), twin]), block=3, draws=20).loc["TWIN"]
    assert (got[["gain", "gain_low", "gain_high"]] == 0).all(axis=None)


def test_open_predictions_are_not_scored():
    actual = answers()
    actual[[58, 59, 118, 119]] = np.nan
    got = scores(classes(actual=actual), block=3, draws=20)
    assert (got["n"] == 116).all()


def test_scores_refuse_predictions_of_which_none_has_settled():
    with pytest.raises(DataError, match="no prediction has settled"):
        scores(classes(actual=np.full(120, np.nan)), block=3)


def test_scores_refuse_to_do_without_the_baseline():
    with pytest.raises(DataError, match="MAJORITY is missing"):
        scores(predicted("MODEL", clairvoyant()), block=3)


def test_scores_refuse_models_with_more_or_fewer_rows():
    with pytest.raises(DataError, match="models predicted different rows"):
        scores(classes().iloc[1:], block=3)


def test_scores_refuse_models_that_predicted_other_bars():
    table = classes()
    names = table.index.get_level_values("model_id")
    times = table.index.get_level_values("time")
    # each has 50 of the 60 bars, but not the same ones
    early, late = times < times.unique()[50], times >= times.unique()[10]
    mixed = table[((names == "MODEL") & early) | ((names == "MAJORITY") & late)]
    with pytest.raises(DataError, match="models predicted different rows"):
        scores(mixed, block=3, draws=5)


def test_by_fold_scores_each_fold_by_itself():
    table = classes()
    got = by_fold(table)
    assert got.index.tolist() == [(m, f) for m in ("MAJORITY", "MODEL") for f in (0, 1)]
    rows = table.xs("MODEL", level="model_id")
    rows = rows[rows["fold"] == 1]
    expected = metrics.classification(rows["actual"].to_numpy(), rows[SHARES].to_numpy())
    assert got.loc[("MODEL", 1), list(expected.index)].to_dict() == pytest.approx(
        expected.to_dict()
    )
    assert got["n"].tolist() == [60, 60, 60, 60]
    assert got.loc[("MODEL", 1), "test_from"] == rows.index.get_level_values("time").min()


def test_memory_scores_the_rows_that_were_learned():
    features = pd.DataFrame({"one": np.arange(120.0)}, index())
    labels = pd.DataFrame({"label": answers(), "known_at": pd.NaT}, index())
    rows = np.arange(80)
    model = training.make("XGBOOST", "signal_direction", rounds=20, min_rows_leaf=1, depth=6)
    got = fit_inside(model.fit(features, labels, rows), features, labels, rows)
    said = model.predict(features, rows)
    assert got["accuracy"] == pytest.approx((said == answers()[:80]).mean())
    assert got["accuracy"] > 0.7
    number = training.make("MAJORITY", "target_return").fit(features, labels, rows)
    mae = fit_inside(number, features, labels, rows)["mae"]
    assert mae == pytest.approx(np.abs(answers()[:80] - answers()[:80].mean()).mean())


def third(name="OTHER", **silent):
    """A baseline, a model, and a third that does not answer at all, or not at some rows."""
    other = predicted(name, clairvoyant(seed=9))
    gone = np.ones(120, dtype=bool) if not silent else np.isin(np.arange(120), silent["rows"])
    other.loc[gone, [*SHARES, "prediction"]] = np.nan
    return pd.concat([classes(), other]).sort_index()


def test_a_model_that_never_answered_is_left_out_and_the_others_are_scored_as_ever():
    got = comparable(third())
    pd.testing.assert_frame_equal(got, classes(), check_exact=True)
    scored = scores(third(), block=3, draws=20)
    assert scored.index.unique("model_id").tolist() == ["MAJORITY", "MODEL"]
    pd.testing.assert_frame_equal(scored, scores(classes(), block=3, draws=20), check_exact=True)


def test_rows_that_one_model_did_not_answer_are_left_out_for_all():
    got = comparable(third(rows=[3, 4, 70]))
    kept = index().delete([3, 4, 70])
    for model in ("MAJORITY", "MODEL", "OTHER"):
        assert got.xs(model, level="model_id").index.equals(kept)
    scored = scores(third(rows=[3, 4, 70]), block=3, draws=20)
    assert (scored["n"] == 117).all()
    mine = classes().xs("MODEL", level="model_id").loc[kept]
    expected = theirs.log_loss(mine["actual"], mine[SHARES])
    assert scored.loc[("MODEL", "log_loss"), "value"] == pytest.approx(expected)
    assert by_fold(third(rows=[3, 4, 70]))["n"].tolist() == [57, 60] * 3


def test_a_direction_without_shares_is_no_answer_of_a_classifier():
    table = third(rows=[5])
    # the rule that stands in for a failed ensemble has a direction and no confidence
    table.loc[(*index()[5], "OTHER"), "prediction"] = 1.0
    assert len(comparable(table)) == 3 * 119


def test_an_answer_in_numbers_needs_no_shares():
    actual = np.random.default_rng(2).normal(0, 0.01, 120)
    table = numbers(actual * 0.5, actual)
    assert comparable(table).equals(table)
    table.loc[(*index()[8], "MODEL"), "prediction"] = np.nan
    assert len(comparable(table)) == 2 * 119


def test_models_that_never_answered_the_same_row_cannot_be_compared():
    table = third(rows=np.arange(60))
    late = np.arange(120) >= 60
    other = table.xs("OTHER", level="model_id", drop_level=False)
    mine = table.index.get_level_values("model_id") == "MODEL"
    table.loc[table.index[mine][late], [*SHARES, "prediction"]] = np.nan
    assert other["prediction"].notna().sum() == 60
    with pytest.raises(DataError, match="there is no row that every model answered"):
        comparable(table)


def test_only_the_scores_that_are_asked_for_are_given_and_they_are_the_same():
    whole, few = (
        scores(classes(), block=3, draws=40, only=only) for only in (None, ["auc", "log_loss"])
    )
    assert few.index.unique("metric").tolist() == ["auc", "log_loss"]
    pd.testing.assert_frame_equal(few, whole.loc[few.index], check_exact=True)


def lead(table, times):
    """How much smaller the model's log-loss is than the baseline's, on drawn times."""
    wide = table.unstack("symbol")
    found = {}
    for model in ("MAJORITY", "MODEL"):
        rows = wide.xs(model, level="model_id").iloc[times].stack("symbol", future_stack=True)
        found[model] = theirs.log_loss(rows["actual"], rows[SHARES], labels=[-1.0, 0.0, 1.0])
    return found["MAJORITY"] - found["MODEL"]


def test_p_counts_draws_as_far_above_the_gain_as_the_gain_is_above_nought():
    # Davison and Hinkley (1997), section 4.4, written out on a small lead over the baseline
    noise = np.random.default_rng(8).dirichlet([30, 30, 30], 120)
    weak = 0.99 * noise + 0.01 * (answers()[:, None] == [-1, 0, 1])
    table = pd.concat([majority(), predicted("MODEL", weak)]).sort_index()
    draws, block, seed = 99, 4, 6
    drawn = draw_counts(60, block, draws, seed)
    leads = np.array([lead(table, np.repeat(np.arange(60), counts)) for counts in drawn])
    gain = lead(table, np.arange(60))
    got = scores(table, block=block, draws=draws, seed=seed).loc[("MODEL", "log_loss")]
    assert got["gain"] == pytest.approx(gain)
    beyond = int((leads - gain >= gain).sum())
    assert 0 < beyond < draws // 2
    assert got["p"] == pytest.approx((1 + beyond) / (1 + draws))


def test_p_is_small_for_a_model_that_knows_and_one_for_the_baseline_itself():
    got = scores(classes(), block=3, draws=199)
    assert got.loc[("MODEL", "auc"), "p"] == pytest.approx(1 / 200)
    assert got.loc[("MAJORITY", "log_loss"), "p"] == 1.0
    worse = predicted("MODEL", clairvoyant()[:, ::-1])
    poor = scores(pd.concat([majority(), worse]), block=3, draws=199)
    assert poor.loc[("MODEL", "log_loss"), "p"] > 0.9
