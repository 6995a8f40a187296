"""comparison.py: losses by hand, and the same tests as arch and Diebold and Mariano give."""

import sys

import numpy as np
import pandas as pd
import pytest
from arch.bootstrap import MCS, SPA

from signalkit import metrics
from signalkit.errors import DataError
from signalkit.significance import diebold_mariano, model_confidence_set, spa
from signalkit.validation import comparison, losses

SHARES = ["p_sell", "p_hold", "p_buy"]
DRAWN = {"block": 5, "draws": 200, "seed": 3}


def index(n, symbols=("A", "B")):
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC", name="time")
    return pd.MultiIndex.from_product([symbols, times], names=["symbol", "time"])


def table(model_id, n, shares=None, guess=None, actual=None):
    """One model's predictions of two symbols."""
    found = pd.DataFrame(np.nan if shares is None else shares, index(n), columns=SHARES)
    drawn = np.random.default_rng(1).integers(-1, 2, 2 * n).astype(float)
    found["actual"] = drawn if actual is None else actual
    found["prediction"] = np.asarray(shares).argmax(axis=1) - 1.0 if guess is None else guess
    return found.assign(model_id=model_id, fold=0).set_index("model_id", append=True)


def directions(n=80, **leans):
    """MAJORITY, and models whose shares lean to what came by so much."""
    parts = [table("MAJORITY", n, np.tile([0.3, 0.3, 0.4], (2 * n, 1)))]
    for seed, (name, lean) in enumerate(leans.items()):
        shares = np.random.default_rng(seed).dirichlet([4, 4, 4], 2 * n) * (1 - lean)
        came = parts[0]["actual"].to_numpy()[:, None] == [-1, 0, 1]
        parts.append(table(name, n, shares + lean * came))
    return pd.concat(parts).sort_index()


def numbers(n=80, **noises):
    """MAJORITY that says 0, and models that miss by noise of so much."""
    rng = np.random.default_rng(2)
    actual = rng.normal(0, 0.01, 2 * n)
    parts = [table("MAJORITY", n, guess=np.zeros(2 * n), actual=actual)]
    for name, noise in noises.items():
        missed = actual + rng.normal(0, noise, 2 * n)
        parts.append(table(name, n, guess=missed, actual=actual))
    return pd.concat(parts).sort_index()


def test_loss_of_a_time_is_the_mean_over_its_symbols_worked_by_hand():
    shares = [[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.25, 0.25, 0.5], [0.2, 0.2, 0.6]]
    found = table("MAJORITY", 2, shares, actual=[-1.0, 1.0, 0.0, 1.0])
    # symbol A saw -1 and 1, symbol B 0 and 1
    expected = [-(np.log(0.5) + np.log(0.25)) / 2, -(np.log(0.1) + np.log(0.6)) / 2]
    assert losses(found)["MAJORITY"].tolist() == pytest.approx(expected)
    guess = table("MAJORITY", 2, guess=[1.0, 2.0, 3.0, 4.0], actual=[0.0, 2.5, 1.0, 4.0])
    assert losses(guess)["MAJORITY"].tolist() == [(1 + 4) / 2, (0.25 + 0) / 2]


def test_mean_loss_is_the_log_loss_or_the_squared_error_of_the_metrics():
    found = directions(EDGE=0.2)
    rows = found.xs("EDGE", level="model_id")
    scored = metrics.classification(rows["actual"].to_numpy(), rows[SHARES].to_numpy())
    assert losses(found)["EDGE"].mean() == pytest.approx(scored["log_loss"])
    found = numbers(NEAR=0.004)
    rows = found.xs("NEAR", level="model_id")
    scored = metrics.regression(rows["actual"].to_numpy(), rows["prediction"].to_numpy())
    assert losses(found)["NEAR"].mean() == pytest.approx(scored["mse"])


def test_a_probability_of_nought_costs_much_and_not_infinitely_much():
    found = table("MAJORITY", 1, [[0.0, 0.5, 0.5], [0.0, 0.5, 0.5]], actual=[-1.0, 1.0])
    clipped = -np.log(np.finfo(float).eps)
    assert losses(found)["MAJORITY"].tolist() == pytest.approx([(clipped - np.log(0.5)) / 2])


def test_losses_are_of_settled_rows_that_every_model_answered():
    found = directions(ONE=0.1, TWO=0.2)
    times = index(80).get_level_values("time").unique()
    at, name = found.index.get_level_values("time"), found.index.get_level_values("model_id")
    found.loc[at >= times[70], "actual"] = np.nan
    found.loc[(at == times[5]) & (name == "TWO"), SHARES] = np.nan
    got = losses(found)
    assert got.index.equals(times[:70].delete(5).rename("time"))
    assert list(got) == ["MAJORITY", "ONE", "TWO"]
    assert got.notna().all(axis=None)


def test_the_set_and_the_search_are_those_of_arch():
    found = directions(GOOD=0.15, POOR=0.0)
    lost = losses(found)
    got = comparison(found, horizon=3, level=0.9, **DRAWN)
    theirs = MCS(lost.to_numpy(), size=0.1, reps=200, block_size=5, seed=3)
    theirs.compute()
    expected = dict(zip(lost, theirs.pvalues["Pvalue"].sort_index(), strict=True))
    assert got["set_p"].to_dict() == expected
    assert got["in_set"].to_dict() == {name: p > 0.1 for name, p in expected.items()}
    # as our own spa hands it to arch: gains of all but the baseline against nothing
    gains = lost[["MAJORITY"]].to_numpy() - lost[["GOOD", "POOR"]].to_numpy()
    search = SPA(gains, np.zeros_like(gains), block_size=5, reps=200, seed=3)
    search.compute()
    assert got.loc["MAJORITY", "spa_p"] == search.pvalues["consistent"]
    assert got.drop(index="MAJORITY")["spa_p"].isna().all()


def test_each_model_is_tested_against_the_baseline_over_its_horizon():
    found = directions(GOOD=0.15, POOR=0.0)
    lost = losses(found)
    got = comparison(found, horizon=4, **DRAWN)
    for name in ("GOOD", "POOR"):
        expected = diebold_mariano(lost[name], lost["MAJORITY"], horizon=4)
        assert got.loc[name, "dm"] == expected["statistic"]
        assert got.loc[name, "dm_p"] == expected["p_value"]
        apart = lost[name].mean() - lost["MAJORITY"].mean()
        assert got.loc[name, "difference"] == pytest.approx(apart)
    assert got.loc["MAJORITY", "difference"] == 0
    assert np.isnan(got.loc["MAJORITY", "dm"])
    other = comparison(found, horizon=1, **DRAWN)
    assert other.loc["GOOD", "dm"] != got.loc["GOOD", "dm"]


@pytest.mark.parametrize(
    ("found", "best"),
    [(directions(GOOD=0.3, POOR=0.0), "GOOD"), (numbers(GOOD=0.002, POOR=0.02), "GOOD")],
    ids=["classes", "numbers"],
)
def test_a_model_that_knows_is_first_alone_in_the_set_and_better_than_the_baseline(found, best):
    got = comparison(found, horizon=1, **DRAWN)
    assert got.index.name == "model_id"
    assert got["loss"].is_monotonic_increasing
    assert got.index[0] == best
    assert got["in_set"].tolist() == [True, False, False]
    assert got.loc[best, "dm_p"] < 0.01
    assert got.loc[best, "difference"] < 0 < got.loc["POOR", "difference"]
    assert got.loc["MAJORITY", "spa_p"] < 0.01


def test_where_no_model_is_better_the_search_says_so():
    got = comparison(directions(ONE=0.0, TWO=0.0), horizon=1, **DRAWN)
    assert got.index[0] == "MAJORITY"
    assert got.loc["MAJORITY", "spa_p"] > 0.5
    assert got.loc["MAJORITY", "in_set"]


def test_an_ensemble_of_one_model_stands_beside_it():
    found = directions(ONE=0.2)
    twin = found.xs("ONE", level="model_id", drop_level=False).rename(index={"ONE": "ENSEMBLE"})
    got = comparison(pd.concat([found, twin]).sort_index(), horizon=1, **DRAWN)
    same = got.loc[["ONE", "ENSEMBLE"]]
    assert same.iloc[0].drop("spa_p").equals(same.iloc[1].drop("spa_p"))
    assert same["in_set"].all()


def test_a_model_that_never_answers_is_in_no_row():
    found = directions(ONE=0.1)
    failed = found.xs("ONE", level="model_id", drop_level=False).rename(index={"ONE": "FAILED"})
    failed = failed.assign(prediction=np.nan, **dict.fromkeys(SHARES, np.nan))
    got = comparison(pd.concat([found, failed]).sort_index(), horizon=1, **DRAWN)
    pd.testing.assert_frame_equal(got, comparison(found, horizon=1, **DRAWN), check_exact=True)


def test_of_many_times_neighbours_are_averaged_and_blocks_last_as_long(monkeypatch):
    found = directions(ONE=0.05, TWO=0.02)
    whole = comparison(found, horizon=2, **DRAWN)
    # 80 times in at most 30: threes, and a block of 5 becomes one of 2
    monkeypatch.setattr(sys.modules[comparison.__module__], "_TIMES", 30)
    got, lost = comparison(found, horizon=2, **DRAWN), losses(found)
    few = lost.groupby(np.arange(80) // 3).mean()
    expected = model_confidence_set(few, level=0.95, **(DRAWN | {"block": 2}))
    assert got["set_p"].to_dict() == expected["p_value"].to_dict()
    searched = spa(few["MAJORITY"], few[["ONE", "TWO"]], **(DRAWN | {"block": 2}))
    assert got.loc["MAJORITY", "spa_p"] == searched["consistent"]
    same = ["loss", "difference", "dm", "dm_p"]
    pd.testing.assert_frame_equal(got[same], whole[same], check_exact=True)


def test_repeats_with_its_seed():
    found = directions(ONE=0.02, TWO=0.02)
    one, same = (comparison(found, horizon=1, **DRAWN) for _ in range(2))
    pd.testing.assert_frame_equal(one, same, check_exact=True)
    other = comparison(found, horizon=1, **(DRAWN | {"seed": 4}))
    assert not one["set_p"].equals(other["set_p"])


def test_a_comparison_needs_the_baseline():
    found = directions(ONE=0.1).drop(index="MAJORITY", level="model_id")
    with pytest.raises(DataError, match="MAJORITY is missing"):
        comparison(found, horizon=1, **DRAWN)
