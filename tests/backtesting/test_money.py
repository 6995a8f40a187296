"""money.py: what trades earned by confidence, regime and model, counted by hand."""

import numpy as np
import pandas as pd
import pytest

from signalkit.backtesting.money import by_confidence, by_model, by_regime, called
from signalkit.errors import DataError, ParamsError

HIT = ["hit_rate", "hit_rate_low", "hit_rate_high"]


def trades(returns, confidence=None, symbol="A", **more):
    """Closed trades, one an hour."""
    times = pd.date_range("2024-01-01", periods=len(returns), freq="h", tz="UTC")
    columns = {"symbol": symbol, "decided_at": times, "return": returns, "exit_reason": "signal"}
    table = pd.DataFrame(columns | more)
    return table if confidence is None else table.assign(confidence=confidence)


def many(n=400, seed=2):
    """Trades that hit the more often, the surer they were."""
    rng = np.random.default_rng(seed)
    sure = rng.uniform(0.4, 0.9, n)
    return trades(np.where(rng.random(n) < sure, 0.01, -0.01), sure)


def test_parts_by_confidence_are_counted_by_hand():
    table = trades([-0.02, 0.01, 0.03, 0.05], [0.5, 0.4, 0.8, 0.9])
    got = by_confidence(table, bins=2, draws=20)
    assert got.index.tolist() == [1, 2]
    assert got["n"].tolist() == [2, 2]
    assert got["hit_rate"].tolist() == [0.5, 1.0]
    assert got["return_mean"].tolist() == pytest.approx([-0.005, 0.04])
    assert got["confidence"].tolist() == pytest.approx([0.45, 0.85])
    assert got[["confidence_low", "confidence_high"]].to_numpy().tolist() == [
        [0.4, 0.5],
        [0.8, 0.9],
    ]
    # two times are fewer than four blocks
    assert got[[*HIT[1:], "return_low", "return_high"]].isna().all().all()


def test_an_edge_in_confidence_is_seen_in_the_deciles():
    got = by_confidence(many(2000), draws=200)
    assert got["n"].tolist() == [200] * 10
    assert got["hit_rate"].iloc[-1] > got["hit_rate"].iloc[0] + 0.2
    assert (got["hit_rate_low"] < got["hit_rate"]).all()
    assert (got["hit_rate"] < got["hit_rate_high"]).all()
    # of +-0.01: the mean return is a line of the hit rate, and so are its draws
    for end in ("", "_low", "_high"):
        name = f"return{end}" if end else "return_mean"
        expected = (0.02 * got[f"hit_rate{end}"] - 0.01).tolist()
        assert got[name].tolist() == pytest.approx(expected, abs=1e-12)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    # 60 worlds of independent trades that hit with 0.6: 90 % intervals; binomial(60, 0.9) is
    # below 45 with a chance of 0.0002
    covered = 0
    for seed in range(60):
        hits = np.random.default_rng(seed).random(200) < 0.6
        table = trades(np.where(hits, 0.01, -0.01), model_id="M")
        row = by_model(table, draws=200, level=0.9, seed=seed).loc["M"]
        covered += row["hit_rate_low"] <= 0.6 <= row["hit_rate_high"]
    assert covered >= 45


def test_trades_of_one_time_are_drawn_together():
    # ten symbols that do the same are one trade: the interval is as wide as that of one
    one = trades(many()["return"].to_numpy(), model_id="M")
    ten = pd.concat([one.assign(symbol=f"S{i}") for i in range(10)])
    narrow, same = (by_model(t, draws=100, seed=4).loc["M"] for t in (one, ten))
    assert same["n"] == 10 * narrow["n"]
    assert same.drop("n").tolist() == pytest.approx(narrow.drop("n").tolist(), abs=1e-12)


def test_equally_sure_trades_are_in_one_part():
    got = by_confidence(trades([0.1, -0.1, 0.1, 0.1, 0.2], [0.6] * 4 + [0.9]), draws=20)
    assert got.index.tolist() == [1, 2]
    assert got["n"].tolist() == [4, 1]
    assert got["confidence_low"].tolist() == [0.6, 0.9]


def test_open_trades_and_those_without_a_confidence_are_left_out():
    table = trades([0.1, 0.1, -0.1], [0.6, np.nan, 0.7])
    table.loc[2, "exit_reason"] = "open"
    assert by_confidence(table, draws=20)["n"].tolist() == [1]


def test_no_trade_is_an_empty_table_of_the_same_columns():
    none = many().iloc[:0]
    assert by_confidence(none).empty
    assert set(by_confidence(none).columns) == set(by_confidence(many(), draws=20).columns)
    assert by_regime(none, pd.Series(dtype=object, index=pd.DatetimeIndex([], tz="UTC"))).empty


def test_a_trade_is_in_the_regime_it_was_decided_in():
    table = pd.concat([trades([0.1, -0.1, 0.3]), trades([0.2, 0.2, -0.2], symbol="B")])
    keys = pd.MultiIndex.from_frame(table[["symbol", "decided_at"]], names=["symbol", "time"])
    regime = pd.Series(["calm", "calm", "wild", "wild", np.nan, "calm"], keys)
    got = by_regime(table, regime, draws=20)
    assert got["n"].to_dict() == {"calm": 3, "wild": 2}
    assert got["return_mean"].to_dict() == pytest.approx({"calm": -0.2 / 3, "wild": 0.25})
    assert got["hit_rate"].to_dict() == pytest.approx({"calm": 1 / 3, "wild": 1.0})


def test_a_regime_by_time_is_that_of_all_symbols():
    table = pd.concat([trades([0.1, -0.1]), trades([0.2, 0.2], symbol="B")])
    regime = pd.Series(["calm", "wild"], pd.DatetimeIndex(table["decided_at"].iloc[:2]))
    assert by_regime(table, regime, draws=20)["n"].to_dict() == {"calm": 2, "wild": 2}


def predictions():
    """Two models on three bars of one symbol, one of a direction and one of a return."""
    times = pd.date_range("2024-01-01", periods=3, freq="h", tz="UTC")
    names = ["symbol", "time", "model_id"]
    keys = pd.MultiIndex.from_product([["A"], times, ["LGB", "RIDGE"]], names=names)
    table = pd.DataFrame(
        {
            "prediction": [1, 0.01, -1, -0.02, 0, 0.03],
            "p_sell": [0.2, np.nan, 0.6, np.nan, 0.3, np.nan],
            "p_buy": [0.5, np.nan, 0.2, np.nan, 0.3, np.nan],
            "confidence": [0.5, np.nan, 0.6, np.nan, 0.4, np.nan],
        },
        keys,
    )
    outcome = pd.Series([0.02, 0.04, np.nan], pd.MultiIndex.from_product([["A"], times[:3]]))
    return table, outcome.rename_axis(names[:2])


def test_predictions_are_called_as_trades_that_earn_their_side_of_the_outcome():
    got = called(*predictions())
    # the third bar has not settled, nor does the direction model take a side there
    assert got["model_id"].tolist() == ["LGB", "RIDGE"] * 2
    assert got["side"].tolist() == ["long", "long", "short", "short"]
    assert got["return"].tolist() == pytest.approx([0.02, 0.02, -0.04, -0.04])
    table = by_model(got, draws=20)
    assert table["n"].to_dict() == {"LGB": 2, "RIDGE": 2}
    assert table["return_mean"].to_dict() == pytest.approx({"LGB": -0.01, "RIDGE": -0.01})
    assert by_confidence(got, bins=1, draws=20)["n"].tolist() == [2]


@pytest.mark.parametrize(("n", "told"), [(8, True), (7, False)])
def test_a_part_has_an_interval_from_four_blocks_on(n, told):
    table = trades([0.01, -0.01] * 4, [0.5] * 8).iloc[:n]
    got = by_confidence(table, bins=1, block=2, draws=20)
    assert got[HIT[1:]].notna().all(axis=None) == told


@pytest.mark.parametrize(("says", "side"), [("long", 1), ("short", -1)])
def test_a_trade_that_pays_is_called_only_where_that_is_likelier(says, side):
    table, outcome = predictions()
    table = table.xs("LGB", level="model_id", drop_level=False).iloc[:2]
    table = table.assign(p_sell=0.0, p_hold=[0.4, 0.7], p_buy=[0.6, 0.3], prediction=[1.0, 0.0])
    got = called(table, outcome, says=says)
    assert got["side"].tolist() == [says]
    first = table.index.droplevel("model_id")[0]
    assert got["return"].tolist() == [side * outcome.loc[first]]


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (
            lambda: called(*predictions(), says="up"),
            ParamsError,
            "direction, long, short, was 'up'",
        ),
        (lambda: by_confidence(trades([0.1])), DataError, "carry no confidence"),
        (lambda: by_model(trades([0.1])), DataError, "carry no model_id"),
        (lambda: by_confidence(many(), bins=0), ParamsError, "at least 1, was 0"),
        (lambda: called(predictions()[0], pd.Series([0.1])), DataError, "indexed by symbol, time"),
    ],
)
def test_refuses_what_it_cannot_part(ask, error, says):
    with pytest.raises(error, match=says):
        ask()


def test_tables_repeat_with_their_seed():
    one, same, other = (by_confidence(many(), draws=50, seed=s) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same, check_exact=True)
    assert not one["hit_rate_low"].equals(other["hit_rate_low"])


def test_fewer_times_than_a_block_have_no_interval():
    got = by_confidence(many(), bins=2, block=401)
    assert (got["n"] > 0).all()
    assert got[["return_low", "return_high", "hit_rate_low"]].isna().all(axis=None)
