"""alarm.py and thresholds.py: a planted leak is named, an honest study is left alone."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from signalkit import validation
from signalkit.splits import WalkForward
from signalkit.training import CLASSIFICATION_TARGETS, KEPT, make
from signalkit.validation.alarm import Setting, alarm
from signalkit.validation.thresholds import THRESHOLDS, exceeded

DRAWN = {"block": 5, "draws": 100, "seed": 3}
SPLITS = WalkForward(200, 100)
HORIZON = 3


def market(n=500, seed=2):
    """Two symbols of independent moves, columns of noise, and the direction three bars ahead."""
    rng = np.random.default_rng(seed)
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC", name="time")
    index = pd.MultiIndex.from_product([["A", "B"], times], names=["symbol", "time"])
    moves = pd.Series(rng.normal(size=2 * n), index)
    path = moves.groupby(level="symbol").cumsum()
    ahead = path.groupby(level="symbol").shift(-HORIZON) - path
    label = np.sign(ahead).where(ahead.abs() > 1, 0.0)
    known_at = index.get_level_values("time") + pd.Timedelta(HORIZON, "h")
    labels = pd.DataFrame({"label": label, "known_at": known_at}, index)[ahead.notna()]
    features = pd.DataFrame(rng.normal(size=(2 * n, 5)), index).add_prefix("noise")
    return features.assign(move=moves), labels


def studied(features, labels, target="signal_direction", **known):
    """What the alarm finds in a walk through a market."""
    settings = {"rounds": 20, "min_rows_leaf": 20, "learning_rate": 0.1}
    own = {"LIGHTGBM": make("LIGHTGBM", target, **settings)}
    own |= {name: make(name, target) for name in ("MAJORITY", "PERSISTENCE")}
    found = validation.walk(features, labels, own, SPLITS)
    return alarm(
        validation.scores(found.predictions, **DRAWN),
        validation.importance(found, **DRAWN),
        validation.information(features, found, **DRAWN),
        found.selection,
        target=target,
        model="LIGHTGBM",
        setting=Setting(HORIZON, folds=validation.folds(features, labels, SPLITS), **known),
    )


def test_a_planted_leak_raises_the_alarm_and_is_named():
    features, labels = market()
    rng = np.random.default_rng(0)
    leak = labels["label"].reindex(features.index).fillna(0.0) + 0.3 * rng.normal(
        size=len(features)
    )
    found = studied(features.assign(leak=leak), labels)
    assert [finding.measure for finding in found] == ["AUC's distance from 0.5", "accuracy's lead"]
    for finding in found:
        assert finding.value > finding.threshold == 0.10
        assert finding.features == "leak"
        assert finding.cause.startswith("leak (+0.9")
        assert finding.words.startswith(f"Too good to be believed: {finding.measure} is 0.")


def test_a_leak_of_a_number_is_named_as_well():
    features, labels = market()
    numbers = labels.assign(label=labels["label"] / 100)
    leak = numbers["label"].reindex(features.index).fillna(0.0)
    found = studied(features.assign(leak=leak), numbers, "target_return")
    assert [finding.measure for finding in found] == ["information coefficient", "R²"]
    assert {finding.features for finding in found} == {"leak"}


def test_an_honest_study_raises_none():
    for seed in range(4):
        assert studied(*market(seed=seed), sharpe=1.2) == []


def test_labels_that_say_they_are_known_early_are_told_by_persistence():
    features, labels = market()
    next_bar = labels.index.get_level_values("time") + pd.Timedelta(1, "h")
    early = labels.assign(known_at=next_bar)
    found = studied(features, early)
    assert [finding.measure for finding in found] == [
        "PERSISTENCE's AUC's distance from 0.5",
        "PERSISTENCE's accuracy's lead",
    ]
    assert all(f.cause.startswith("the label is known earlier than it says") for f in found)


def gains(**models):
    """Shares of gain of the features a, b and c."""
    index = pd.MultiIndex.from_product([models, list("abc")], names=["model_id", "feature"])
    return pd.DataFrame({"gain": np.ravel(list(models.values()))}, index, dtype=float)


def alone(**features):
    """Rank IC and its interval of a, b and c; next to nothing if it is not given."""
    rows = {name: features.get(name, (0.05, 0.0, 0.1)) for name in "abc"}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["ic", "low", "high"])


def scored(metric, own, persistence):
    rows = {("M", metric): own, ("PERSISTENCE", metric): persistence}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["model_id", "metric"])


def judged(metric="auc_direction", value=0.8, target="signal_direction", **known):
    """Findings of tables written by hand, in which nothing but one score is odd."""
    tables = {
        "scores": scored(metric, row(value), row(0.5 if "auc" in metric else 0.0)),
        "importance": gains(M=[0.4, 0.3, 0.3]),
        "information": alone(),
        "selection": pd.DataFrame(KEPT, range(3), list("abc")),
    }
    given = {name: known.pop(name, table) for name, table in tables.items()}
    return alarm(
        *given.values(), target=target, model="M", setting=Setting(**{"horizon": 5} | known)
    )


def row(value, low=0.1, high=0.3):
    """A score whose lead is sure."""
    lead = {"gain": value, "gain_low": low, "gain_high": high}
    return {"value": value, "baseline": 0.4} | lead


def cause(**asked):
    """The one cause that is found."""
    (finding,) = judged(**asked)
    return finding.cause


def test_without_a_cause_in_sight_the_alarm_says_so():
    assert cause().startswith("none of the usual ones is seen")


@pytest.mark.parametrize("ic", [0.6, -0.6])
def test_a_feature_whose_rank_ic_is_beyond_the_threshold_reads_the_label(ic):
    found = cause(information=alone(b=(ic, ic - 0.1, ic + 0.1)))
    assert found == f"b ({ic:+.2f}) reads the label, by the rank IC alone"


def test_several_features_are_named_the_largest_first():
    found = alone(a=(0.5, 0.4, 0.6), b=(0.3, 0.25, 0.35), c=(-0.6, -0.7, -0.5))
    assert cause(information=found).startswith("c (-0.60) and a (+0.50) and b (+0.30) read the")


def test_a_rank_ic_whose_interval_reaches_below_the_threshold_is_not_named():
    assert cause(information=alone(b=(0.3, 0.19, 0.41))).startswith("none of the usual ones")


def test_a_leak_is_told_also_where_the_model_missed_it():
    (finding,) = judged(value=0.51, information=alone(b=(-0.6, -0.7, -0.5)))
    assert (finding.measure, finding.value) == ("rank IC of b alone", 0.6)
    assert finding.features == "b"
    assert judged(value=0.51) == []


def test_what_no_fold_kept_leaks_nowhere():
    left = pd.DataFrame(KEPT, range(3), list("abc")).assign(b="redundant with a")
    assert judged(value=0.51, information=alone(b=(0.6, 0.5, 0.7)), selection=left) == []


def test_a_feature_with_most_of_the_gain_reads_the_label():
    found = cause(importance=gains(M=[0.2, 0.1, 0.7], N=[1.0, 0.0, 0.0]))
    assert found == "c reads the label: it has 70% of the gain"


def test_of_an_ensemble_the_gain_is_the_mean_over_its_models():
    found = cause(importance=gains(N=[0.1, 0.0, 0.9], O=[0.3, 0.1, 0.6]))
    assert found == "c reads the label: it has 75% of the gain"


def test_models_without_gain_leave_the_question_open():
    assert cause(importance=gains(M=[1, 0, 0]).iloc[:0]).startswith("none of the usual ones")


def test_persistence_that_is_as_good_says_the_label_is_known_earlier():
    found = cause(scores=scored("auc_direction", row(0.8), row(0.7)))
    assert found.startswith("the label is known earlier than it says")
    assert found.endswith("and has 0.200")


def test_persistence_that_is_too_good_is_told_where_the_model_is_not():
    (finding,) = judged(scores=scored("auc_direction", row(0.55), row(0.7)))
    assert finding.measure == "PERSISTENCE's AUC's distance from 0.5"
    assert (finding.value, finding.threshold) == (pytest.approx(0.2), 0.10)


def test_a_purge_that_took_nothing_lets_labels_overlap():
    none, some = (pd.DataFrame({"purged": [0, count]}) for count in (0, 4))
    assert cause(folds=none).startswith("labels overlap the test windows: they look 5 bars ahead")
    assert cause(folds=some).startswith("none of the usual ones")
    assert cause(folds=none, gap=5).startswith("none of the usual ones")


def test_one_bar_filled_at_the_close_it_was_decided_at():
    assert cause(horizon=1, fill="close").startswith("a label of one bar, filled at the close")
    assert cause(horizon=1, fill="next_open").startswith("none of the usual ones")
    assert cause(horizon=2, fill="close").startswith("none of the usual ones")


@pytest.mark.parametrize(
    ("metric", "value", "inside", "remembers"),
    [
        ("auc_direction", 0.8, 0.83, True),
        ("auc_direction", 0.8, 0.95, False),
        # the lead over the baseline of 0.40 inside: 0.22 and 0.50
        ("accuracy", 0.2, 0.62, True),
        ("accuracy", 0.2, 0.90, False),
    ],
)
def test_a_fit_inside_that_is_no_better_remembers_the_test_rows(metric, value, inside, remembers):
    table = pd.DataFrame({metric: [inside, 0.5, np.nan]}, ["M", "MAJORITY", "N"])
    assert cause(metric=metric, value=value, inside=table).startswith(
        "the models remember the test rows" if remembers else "none of the usual ones"
    )


def test_a_score_that_the_holdout_does_not_confirm_was_chosen():
    def held(value):
        rows = {("M", "auc_direction"): row(value)}
        return pd.DataFrame.from_dict(rows, orient="index")

    assert cause(holdout=held(0.56)).startswith("the study was chosen by its test windows")
    assert "has 0.060" in cause(holdout=held(0.56))
    assert cause(holdout=held(0.70)).startswith("none of the usual ones")


def test_an_interval_that_reaches_to_no_skill_is_luck():
    few = scored("auc_direction", row(0.8, -0.05, 0.6), row(0.5))
    assert cause(scores=few) == (
        "luck of few rows: the interval of its lead goes from -0.050 to +0.600"
    )


def test_money_without_a_prediction_comes_from_the_account():
    (finding,) = judged(value=0.52, sharpe=5.0)
    assert (finding.measure, finding.value, finding.threshold) == ("Sharpe ratio", 5.0, 3.0)
    assert finding.cause.startswith("the account, for the prediction is of a believable size")
    assert "(next close)" in finding.cause
    assert len(judged(value=0.8, sharpe=5.0)) == 2
    assert "account" not in judged(value=0.8, sharpe=5.0)[1].cause


@pytest.mark.parametrize(
    ("target", "metric", "limit"),
    [
        ("signal_direction", "auc_direction", 0.60),
        ("triple_barrier", "auc_direction", 0.60),
        ("target_profitable", "auc", 0.85),
        ("target_return", "ic", 0.20),
        ("target_return", "r2", 0.05),
        ("target_volatility", "ic", 0.95),
    ],
)
def test_each_target_has_its_own_threshold(target, metric, limit):
    assert judged(metric, limit - 1e-9, target) == []
    (finding,) = judged(metric, limit + 1e-9, target)
    assert finding.threshold == pytest.approx(limit - 0.5 if "auc" in metric else limit)


def test_a_ranking_that_is_wrong_throughout_is_told_and_a_score_that_is_missing_is_not():
    (finding,) = judged(value=0.2)
    assert finding.value == pytest.approx(0.3)
    assert judged(value=np.nan) == []


def test_only_what_a_target_is_judged_by_is_asked():
    scores = pd.DataFrame({"value": [0.99, 0.99], "gain": [0.0, 0.0]}, ["auc", "mae"])
    assert exceeded(scores, target="signal_direction") == []
    assert len(exceeded(scores, target="target_profitable")) == 1


def test_every_target_has_thresholds_with_a_source():
    targets = CLASSIFICATION_TARGETS | {"target_return", "target_volatility"}
    for target in targets:
        assert {"sharpe", "feature"} < {t.metric for t in THRESHOLDS if target in t.targets}
    pairs = [(t.metric, target) for t in THRESHOLDS for target in t.targets]
    assert len(set(pairs)) == len(pairs)
    assert all(t.source and t.context and t.limit > 0 for t in THRESHOLDS)


def test_the_thresholds_of_a_class_are_what_their_ics_come_to():
    # Sheppard (1899): 1/2 + 2/pi arcsin(r / sqrt 2) for the AUC, 1/2 + 1/pi arcsin(r) for accuracy
    limits = {t.metric: t.limit for t in THRESHOLDS if "signal_direction" in t.targets}
    assert 2 / np.pi * np.arcsin(0.22 / np.sqrt(2)) == pytest.approx(
        limits["auc_direction"], abs=2e-3
    )
    assert np.arcsin(0.31) / np.pi == pytest.approx(limits["accuracy"], abs=2e-3)
    assert 3 * np.sqrt(0.0040) == pytest.approx(limits["feature"], abs=0.011)


def test_volatility_alone_tells_what_pays_and_stays_below_the_threshold():
    # a return above the costs by lognormal volatility, no direction: AUC by the rank sum
    rng = np.random.default_rng(1)
    for spread in (0.3, 0.5, 0.7):
        volatility = np.exp(spread * rng.normal(size=20_000))
        pays = norm.sf(1.0 / volatility) > rng.uniform(size=20_000)
        ranks, count = pd.Series(volatility).rank(), pays.sum()
        area = (ranks[pays].sum() - count * (count + 1) / 2) / (count * (~pays).sum())
        scores = pd.DataFrame({"value": [area], "gain": [area - 0.5]}, ["auc"])
        assert area > 0.60
        assert exceeded(scores, target="target_profitable") == []
