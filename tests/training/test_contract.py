"""contract.py: what every model type keeps, the naive ones too."""

import json

import numpy as np
import pandas as pd
import pytest

from signalkit import training
from signalkit.errors import DataError, ParamsError, StoreError

TYPES = ("XGBOOST", "LIGHTGBM", "MAJORITY", "PERSISTENCE")
FIT, ASKED = np.arange(40, 360), np.arange(360, 400)


def hours(n):
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC")
    return pd.MultiIndex.from_product([["A"], times], names=["symbol", "time"])


def table(n=400, classes=(-1.0, 0.0, 1.0), seed=5):
    """Features of which `edge` says a little about the label; labels settle two bars later."""
    rng, index = np.random.default_rng(seed), hours(n)
    label = rng.choice(classes, n)
    features = pd.DataFrame(
        {"edge": label + rng.normal(0, 2, n), "noise": rng.normal(size=n)}, index=index
    )
    known_at = index.get_level_values("time") + pd.Timedelta(2, "h")
    return features, pd.DataFrame({"label": label, "known_at": known_at}, index=index)


def quick(model_type, target="signal_direction"):
    """A model that learns in a moment."""
    few = {"rounds": 15, "min_rows_leaf": 10} if model_type in ("XGBOOST", "LIGHTGBM") else {}
    return training.make(model_type, target, **few)


@pytest.mark.parametrize("model_type", TYPES)
def test_probabilities_have_three_columns_that_sum_to_one(model_type):
    features, labels = table()
    got = quick(model_type).fit(features, labels, FIT).predict_proba(features, ASKED)
    assert got.shape == (40, 3)
    assert got.dtype == np.float64
    assert got.min() >= 0
    assert got.sum(axis=1) == pytest.approx(np.ones(40), abs=1e-6)


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("missing", [-1.0, 0.0, 1.0])
def test_a_class_that_the_window_lacks_keeps_its_column(model_type, missing):
    features, labels = table(classes=sorted({-1.0, 0.0, 1.0} - {missing}))
    model = quick(model_type).fit(features, labels, FIT)
    got = model.predict_proba(features, ASKED)
    assert got.shape == (40, 3)
    assert got[:, int(missing) + 1].max() < 1 / 3
    assert missing not in model.predict(features, ASKED)


@pytest.mark.parametrize("model_type", TYPES)
def test_a_prediction_is_the_likeliest_class(model_type):
    features, labels = table()
    model = quick(model_type).fit(features, labels, FIT)
    likeliest = model.predict_proba(features, ASKED).argmax(axis=1) - 1
    assert model.predict(features, ASKED).tolist() == likeliest.tolist()


@pytest.mark.parametrize("model_type", TYPES)
def test_a_number_has_one_prediction_a_row_and_no_probabilities(model_type):
    features, labels = table()
    model = quick(model_type, "target_return").fit(features, labels, FIT)
    assert model.predict(features, ASKED).shape == (40,)
    assert model.predict(features, ASKED[:1]).shape == (1,)
    with pytest.raises(ParamsError, match="target_return is a number; it has predict"):
        model.predict_proba(features, ASKED)


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("target", ["signal_direction", "target_return"])
def test_only_the_rows_of_the_fit_are_learned(model_type, target):
    features, labels = table()
    other_features, other_labels = features.copy(), labels.copy()
    unseen = np.setdiff1d(np.arange(len(features)), np.r_[FIT, ASKED])
    other_features.iloc[unseen] = 1e6
    if model_type != "PERSISTENCE":  # which looks up settled labels between fit and row
        unseen = np.setdiff1d(np.arange(len(features)), FIT)
        other_labels.iloc[unseen, 0] *= -1
    one = quick(model_type, target).fit(features, labels, FIT).predict(features, ASKED)
    other = quick(model_type, target).fit(other_features, other_labels, FIT)
    np.testing.assert_array_equal(other.predict(other_features, ASKED), one)


@pytest.mark.parametrize("model_type", TYPES)
def test_sample_weight_changes_what_is_learned(model_type):
    features, labels = table()
    answers = labels["label"].to_numpy()[FIT]
    before = np.r_[[0.0] * 2, answers[:-2]]
    # for persistence what counts is whether the label before came again
    stressed = before == answers if model_type == "PERSISTENCE" else answers > 0
    weight = np.where(stressed, 10.0, 1.0)
    plain = quick(model_type).fit(features, labels, FIT)
    weighted = quick(model_type).fit(features, labels, FIT, sample_weight=weight)
    shares = [m.predict_proba(features, ASKED) for m in (plain, weighted)]
    if model_type == "PERSISTENCE":
        assert shares[1].max() > shares[0].max()
    else:
        assert (shares[1][:, 2] > shares[0][:, 2]).all()


@pytest.mark.parametrize("model_type", TYPES)
def test_equal_weights_change_nothing(model_type):
    features, labels = table()
    plain = quick(model_type).fit(features, labels, FIT).predict_proba(features, ASKED)
    weighted = quick(model_type).fit(features, labels, FIT, sample_weight=np.ones(len(FIT)))
    np.testing.assert_array_equal(weighted.predict_proba(features, ASKED), plain)


@pytest.mark.parametrize("model_type", TYPES)
def test_rows_without_labels_are_refused(model_type):
    features, labels = table()
    labels.iloc[[50, 60]] = [np.nan, pd.NaT]
    with pytest.raises(DataError, match=f"{model_type}: 2 of 320 rows have no label"):
        quick(model_type).fit(features, labels, FIT)
    with pytest.raises(DataError, match="0 of 0 rows"):
        quick(model_type).fit(features, labels, FIT[:0])


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("target", ["signal_direction", "target_return"])
def test_a_saved_model_gives_the_same_bits(model_type, target, tmp_path):
    features, labels = table()
    model = quick(model_type, target).fit(features, labels, FIT)
    model.save(tmp_path)
    again = training.Model.load(tmp_path)
    assert (again.model_type, again.target, again.params) == (model_type, target, model.params)
    np.testing.assert_array_equal(again.predict(features, ASKED), model.predict(features, ASKED))
    if again.classifies:
        np.testing.assert_array_equal(
            again.predict_proba(features, ASKED), model.predict_proba(features, ASKED)
        )


@pytest.mark.parametrize("model_type", TYPES)
def test_saved_files_are_those_of_save(model_type, tmp_path):
    features, labels = table()
    model = quick(model_type).fit(features, labels, FIT)
    model.save(tmp_path)
    written = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert training.saved(model) == written
    assert json.loads(written["model.json"])["model_type"] == model_type


@pytest.mark.parametrize(
    ("model_type", "lost"), [("XGBOOST", "model.ubj"), ("LIGHTGBM", "model.txt")]
)
def test_load_refuses_a_model_that_lost_its_file(model_type, lost, tmp_path):
    features, labels = table()
    quick(model_type).fit(features, labels, FIT).save(tmp_path)
    (tmp_path / lost).unlink()
    with pytest.raises(StoreError):
        training.Model.load(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "{}", '{"model_type": "MAJORITY"}', '{"model_type": "NEW"}', "[]", "7"]
)
def test_load_refuses_what_is_no_model_of_ours(text, tmp_path):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(StoreError):
        training.Model.load(tmp_path)


def test_load_refuses_a_model_type_that_it_does_not_know(tmp_path):
    (tmp_path / "model.json").write_text('{"model_type": "OLD", "target": "x", "params": {}}')
    with pytest.raises(StoreError):
        training.Model.load(tmp_path)


def test_load_refuses_an_empty_folder(tmp_path):
    with pytest.raises(StoreError, match="holds no saved model"):
        training.Model.load(tmp_path)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("XGBOST", "no model type 'XGBOST'; did you mean 'XGBOOST'"),
        ("LIGHTGMB", "did you mean 'LIGHTGBM'"),
        ("PERSISTENT", "did you mean 'PERSISTENCE'"),
    ],
)
def test_make_names_the_near_match_of_an_unknown_type(asked, says):
    with pytest.raises(ParamsError, match=says):
        training.make(asked, "signal_direction")


@pytest.mark.parametrize("asked", ["", "zzz"])
def test_make_lists_the_types_there_are(asked):
    known = (
        r"known are \['GARCH', 'GRU', 'HAR', 'LIGHTGBM', 'LOGISTIC', 'LSTM', 'MAJORITY',"
        r" 'PERSISTENCE', 'RIDGE', 'XGBOOST'\]"
    )
    with pytest.raises(ParamsError, match=known):
        training.make(asked, "signal_direction")


@pytest.mark.parametrize(
    ("model_type", "params", "says"),
    [
        ("XGBOOST", {"round": 3}, "XGBOOST has no parameter 'round'; it has .*'rounds'"),
        ("LIGHTGBM", {"n_estimators": 3}, "LIGHTGBM has no parameter 'n_estimators'"),
        ("MAJORITY", {"rounds": 3}, r"MAJORITY has no parameter 'rounds'; it has \[\]"),
    ],
)
def test_make_refuses_an_unknown_parameter(model_type, params, says):
    with pytest.raises(ParamsError, match=says):
        training.make(model_type, "signal_direction", **params)


def test_parameters_keep_their_defaults_unless_set():
    model = training.make("XGBOOST", "signal_direction", depth=5)
    assert model.params["depth"] == 5
    assert model.params["rounds"] == training.XGBoost.defaults["rounds"] == 100
    assert training.XGBoost.defaults["depth"] == 3


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("change", [lambda a: a.iloc[60:], lambda a: a.iloc[::-1]])
def test_labels_that_are_not_on_the_rows_of_the_features_are_refused(model_type, change):
    features, labels = table()
    # positions would lead to labels of other bars, of later ones where the first are missing
    with pytest.raises(DataError, match=r"are not on the 400 rows of the features.*reindex"):
        quick(model_type).fit(features, change(labels), FIT[:200])
    again = change(labels).reindex(features.index)
    assert quick(model_type).fit(features, again, FIT[60:]).predict(features, ASKED).shape == (40,)
