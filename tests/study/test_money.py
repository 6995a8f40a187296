"""From predictions to money: what a study's signals and account are made of."""

import numpy as np
import pandas as pd
import pytest

from signalkit import params, signals
from signalkit.errors import ParamsError, StoreError
from signalkit.store.models import Registered
from signalkit.study import Study, study_of
from signalkit.training import ENSEMBLE

SECTIONS = {
    "collection": {"symbols": ["SP500"], "end": "2006-12-31"},
    "features": {"families": ["price", "calendar"]},
    "training": {"rounds": 5, "models": ["LIGHTGBM"]},
    "validation": {
        "train": 400,
        "test": 200,
        "draws": 100,
        "holdout_from": "2005-01-01",
        "placebos": 0,
    },
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store in which the predictions are there already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGNALKIT_DATA", str(tmp_path_factory.mktemp("money") / "data"))
        Study.open("money", **SECTIONS).validate()
        yield patch


def study(**asked):
    """A study of the same predictions."""
    return Study.open("money", **SECTIONS, **asked)


def test_by_default_the_ensemble_alone_has_a_voice(made):
    plain = study()
    own = plain.validate().xs(ENSEMBLE, level="model_id")
    signal = plain.artifact("signals").table("signal")
    lean = (own["p_buy"] - own["p_sell"]).reindex(signal.index)
    assert np.allclose(signal["score"], lean, atol=1e-12)
    assert set(signal["model_id"].dropna()) == {ENSEMBLE}
    assert plain.computed == ["signals"]


def test_every_trade_carries_what_caused_it(made):
    trades = study().backtest().table("trades")
    assert len(trades) > 10
    assert trades[["model_id", "prediction", "confidence"]].notna().all(axis=None)
    signal = study().artifact("signals").table("signal")
    cause = signal.loc[(trades["symbol"][3], trades["decided_at"][3])]
    assert trades["confidence"][3] == cause["confidence"]


def test_a_trade_is_caused_by_the_last_signal_that_asked_for_its_side(made):
    asked = {"threshold": 0.1, "sizing": {"by_confidence": False}}
    one = study(signals=asked, backtesting={"brake": 0.03, "brake_bars": 9})
    trades, found = one.backtest().table("trades"), one.artifact("signals")
    signal, weight = found.table("signal"), found.table("weights")["weight"]
    older = 0
    for trade in trades.itertuples():
        told, side = signal.loc[trade.symbol], 1 if trade.side == "long" else -1
        mine = told[(told["asked"] == side) & (told.index <= trade.decided_at)]
        assert mine["confidence"].iloc[-1] == trade.confidence
        assert mine["prediction"].iloc[-1] == trade.prediction
        assert np.sign(mine["score"].iloc[-1]) == side
        older += mine.index[-1] < trade.decided_at
    assert older > 0
    assert (signal["score"].abs()[signal["asked"] != 0] >= 0.1).all()
    # who asks for nothing in a whole horizon holds nothing
    horizon = one.params.labeling.horizon
    seen = (signal["asked"] != 0).groupby("symbol").rolling(horizon, min_periods=1).sum()
    assert (weight[seen.droplevel(0).reindex(weight.index) == 0] == 0).all()


def test_rules_regimes_and_sizes_are_what_the_params_ask_for(made):
    asked = study(
        signals={
            "fusion": {"voices": ["LIGHTGBM"], "rules": ["macd", "momentum"], "method": "dynamic"},
            "regime": {"method": "markov"},
            "sizing": {"method": "kelly", "payoff": "settled", "cap": 0.3},
            "adapting": {"by_performance": 1.0, "by_volatility": 0.5, "by_regime": {"wild": 0.2}},
        }
    )
    found = asked.artifact("signals")
    weights = found.table("weights")["weight"]
    assert 0 < weights.abs().max() <= 0.3
    assert set(found.table("signal")["model_id"].dropna()) <= {"LIGHTGBM", "macd", "momentum"}
    assert set(found.table("regime")["regime"]) <= {"calm", "normal", "wild", "unknown"}
    assert found.table("threshold")["threshold"].nunique() > 10


def test_a_rule_of_the_users_own_is_part_of_the_identity(made, monkeypatch):
    before = study().identity("signals")["identity"]
    monkeypatch.setattr(signals.rulebook, "RULES", dict(signals.RULES))
    asked = {"fusion": {"rules": ["macd"]}}
    assert study(signals=asked).identity("signals")["identity"] != before


def test_the_sheet_adds_up_and_the_bracket_holds_the_result(made):
    found = study(backtesting={"slippage_bps": 5.0}).backtest()
    bracket, legal = found.table("bracket"), found.table("legal")
    total = bracket.loc["return_total"]
    assert total["low"] <= total["base"] <= total["high"]
    assert total["base"] == pytest.approx(legal["base"].iloc[-1] - 1)
    parts = found.table("attribution")
    assert parts.loc["total", "total"] == pytest.approx(legal["base"].iloc[-1] - 1, abs=1e-9)
    months = found.table("months").drop(columns="year")
    assert (1 + months).prod(axis=None) == pytest.approx(legal["base"].iloc[-1])


def test_a_study_without_a_trade_has_a_whole_sheet(made):
    silent = study(signals={"fusion": {"min_confidence": 0.99}})
    found = silent.backtest()
    assert found.table("trades").empty
    assert found.table("by_confidence").empty
    assert (
        found.table("break_even")["says"].tolist()
        == ["nothing is traded, so no cost changes it"] * 2
    )
    assert "nothing was traded here" in " ".join(silent.words())


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"fusion": {"voices": ["XGBOOST"]}}, "voices: 'XGBOOST' is none of ENSEMBLE, LIGHTGBM"),
        ({"fusion": {"agree": 2}}, "agree: 2 of 1 voices cannot agree"),
        ({"adapting": {"low": 0.1}}, "threshold: must lie from adapting.low 0.1"),
        ({"fusion": {"regime_weights": {"wild": {"macd": 0.0}}}}, "'macd' has no voice"),
        ({"fusion": {"rules": ["macd", "macd"]}}, "rules: one stands twice"),
        ({"fusion": {"rules": ["mcad"]}}, "signals.fusion.rules: 'mcad' is not .* mean 'macd'"),
        (
            {"adapting": {"low": 0.5, "high": 0.2}},
            "low: must be at most adapting.high 0.2, was 0.5",
        ),
        ({"adapting": {"high": 0.3, "by_regime": {"wild": 0.5}}}, "wild: must lie .* 0.3, was 0.5"),
        (
            {"regime": {"method": "markov"}, "adapting": {"by_regime": {"normal": 0.1}}},
            "by_regime.normal: a Markov regime of 2 states is calm or wild; set .*states: 3",
        ),
        (
            {"regime": {"method": "markov", "least": 401}},
            "least: no training window has so many returns, was 401 with validation.train 400",
        ),
    ],
)
def test_signals_that_cannot_be_are_refused(asked, says):
    with pytest.raises(ParamsError, match=says):
        study(signals=asked)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"brake_bars": 5}, "brake_bars: is the pause after backtesting.brake, which is not set"),
        ({"max_leverage": 4.0, "maintenance": 0.25}, "liquidated at once, was 0.25; keep .* 0.25"),
    ],
)
def test_settings_of_an_account_that_undo_one_another_are_refused(asked, says):
    with pytest.raises(ParamsError, match=says):
        study(backtesting=asked)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"fusion": {"method": "dynamic"}}, "dynamic weighs by sides .* target_volatility tells"),
        ({"adapting": {"by_performance": 1.0}}, "by_performance: follows sides that came true"),
    ],
)
def test_a_target_without_a_side_has_no_record_of_sides(asked, says):
    sections = SECTIONS | {"labeling": {"target": "target_volatility"}}
    with pytest.raises(ParamsError, match=says):
        Study.open("money", **sections, signals=asked)


def registered(**known):
    """A row of the registry, as far as it matters here."""
    row = dict.fromkeys(Registered.__dataclass_fields__) | {"id": 3, "name": "money.LIGHTGBM"}
    return Registered(**row | {"model_type": "LIGHTGBM"} | known)


def test_a_registered_model_brings_its_study_and_speaks_alone(made):
    study().train()
    study().store.models.list()
    whole = params.parse({"study_name": "money", **SECTIONS})
    files = {"study.json": whole.model_dump_json().encode()}
    sections = study_of(registered(), files)
    assert sections["signals"]["fusion"]["voices"] == ["LIGHTGBM"]
    assert Study.open(**sections).identity("validation") == study().identity("validation")
    with pytest.raises(StoreError, match=r"model 3 \(money.LIGHTGBM\) does not hold the params"):
        study_of(registered(), {})


def test_a_bar_of_the_future_changes_no_signal(made):
    whole = study(signals={"fusion": {"rules": ["macd"]}, "regime": {"method": "markov"}})
    now = whole.artifact("signals").table("weights")
    cut = Study.open(
        "money",
        **SECTIONS | {"validation": SECTIONS["validation"] | {"holdout_from": "2004-09-01"}},
        signals={"fusion": {"rules": ["macd"]}, "regime": {"method": "markov"}},
    )
    then = cut.artifact("signals").table("weights")
    last = cut.evidence("folds")["test_from"].iloc[-1]  # the last fold takes the remainder
    shared = then.index[then.index.get_level_values("time") < last]
    assert len(shared) > 500
    pd.testing.assert_frame_equal(now.loc[shared], then.loc[shared], check_exact=True)
