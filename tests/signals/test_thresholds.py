"""thresholds.py: paths worked by hand, a plain loop over the definition, and no future."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from signalkit import causality
from signalkit.errors import DataError, LeakError, ParamsError
from signalkit.signals.thresholds import threshold_path
from signalkit.volatility import realised

NAN = np.nan
HOUR = pd.Timedelta(hours=1)
START = pd.Timestamp("2024-01-01", tz="UTC")
BASE = {"base": 0.1, "bounds": (0.0, 1.0)}


def series(**symbols):
    parts = {}
    for symbol, given in symbols.items():
        times = pd.date_range(START, periods=len(given), freq="h", name="time")
        parts[symbol] = pd.Series(np.array(given, dtype=object), times)
    found = pd.concat(parts, names=["symbol", "time"]).infer_objects()
    return found.astype(float) if found.dtype != "str" else found


def signals(**symbols):
    return series(**symbols).to_frame("score")


def labels(wait=1, **symbols):
    found = series(**symbols).to_frame("label")
    return found.assign(known_at=found.index.get_level_values("time") + wait * HOUR)


def test_with_nothing_to_follow_the_threshold_stays():
    got = threshold_path(signals(A=[0.1, -0.2]), **BASE)
    assert got["threshold"].tolist() == [0.1, 0.1]
    assert got[["base", "edge", "settled"]].to_numpy().tolist() == [[0.1, 0, 0]] * 2
    assert got["rank"].isna().all()


def test_the_threshold_falls_where_signals_were_right_by_hand():
    told = signals(A=[0.1, -0.1, 0.1, -0.1, 0.1])
    got = threshold_path(
        told,
        **BASE,
        outcomes=labels(A=[1, -1, -1, -1, 1]),
        by_performance=0.2,
        half_life=None,
        prior=2.0,
    )
    # after 2: hits 2 of 2, chance (1 x 1/2 + 1 x 1/2); after 3: 2 of 3, chance (2 + 2) / 3 ...
    edge = [0, (1 - 1) / 3, (2 - 1) / 4, (2 - (2 + 2) / 3) / 5, (3 - (2 + 2 * 3) / 4) / 6]
    assert got["edge"].tolist() == pytest.approx(edge)
    assert got["settled"].tolist() == [0, 1, 2, 3, 4]
    assert got["threshold"].tolist() == pytest.approx([0.1 - 0.2 * e for e in edge])


def test_before_anything_has_settled_there_is_no_edge():
    never = pd.DatetimeIndex([None, None], tz="UTC")
    open_still = labels(A=[1.0, 1.0]).assign(known_at=never, label=NAN)
    got = threshold_path(
        signals(A=[0.1, 0.2]), **BASE, outcomes=open_still, by_performance=0.2, half_life=None
    )
    assert got[["threshold", "edge", "settled"]].to_numpy().tolist() == [[0.1, 0, 0]] * 2


def test_who_is_wrong_more_often_than_chance_must_be_louder():
    told, became = signals(A=[0.1, -0.1] * 10), labels(A=[-1, 1] * 10)
    got = threshold_path(told, **BASE, outcomes=became, by_performance=1.0)
    assert got["threshold"].iloc[-1] > 0.2
    capped = threshold_path(told, base=0.1, bounds=(0.0, 0.15), outcomes=became, by_performance=1.0)
    assert capped["threshold"].iloc[-1] == 0.15


def test_who_always_buys_a_rising_market_is_at_chance():
    rng = np.random.default_rng(3)
    became = labels(A=np.where(rng.random(60) < 0.8, 1, -1))
    got = threshold_path(signals(A=[0.3] * 60), **BASE, outcomes=became, by_performance=1.0)
    assert got["edge"].tolist() == pytest.approx([0.0] * 60, abs=1e-15)
    # who buys at the bars that rise alone is not
    chosen = signals(A=np.where(became["label"] > 0, 0.3, 0.0))
    got = threshold_path(chosen, **BASE, outcomes=became, by_performance=1.0)
    assert got["edge"].iloc[-1] > 0.05


def test_the_threshold_rises_with_the_rank_of_volatility_by_hand():
    wild = series(A=[NAN, 1.0, 3.0, 2.0, 2.0, 9.0], B=[5.0, 4.0])
    got = threshold_path(
        signals(A=[0.1] * 6, B=[0.1] * 2), **BASE, volatility=wild, by_volatility=0.06, least=3
    )
    # 2 is second of 1, 2, 3; of 1, 2, 2, 3 it is at 2.5; 9 is the last of five
    rank = [NAN, NAN, NAN, 2 / 3, 2.5 / 4, 1.0, NAN, NAN]
    assert got["rank"].tolist() == pytest.approx(rank, nan_ok=True)
    expected = [0.1 + 0.06 * (2 * r - 1) if r == r else 0.1 for r in rank]
    assert got["threshold"].tolist() == pytest.approx(expected)


def test_ranks_are_among_all_bars_not_only_those_with_a_signal():
    told, wild = signals(A=[0.1] * 6).iloc[4:], series(A=[1.0, 2.0, 3.0, 4.0, 2.5, NAN])
    got = threshold_path(told, **BASE, volatility=wild, by_volatility=0.1, least=3)
    assert got["rank"].tolist() == pytest.approx([3 / 5, NAN], nan_ok=True)


def test_a_regime_has_a_threshold_of_its_own():
    told, regime = signals(A=[0.1] * 4), series(A=["calm", "wild", "unknown"])
    got = threshold_path(
        told, **BASE, regime=regime, regime_thresholds={"wild": 0.3, "unknown": 0.5}
    )
    assert got["threshold"].tolist() == [0.1, 0.3, 0.5, 0.5]
    assert got["base"].tolist() == [0.1, 0.3, 0.5, 0.5]


def random_tables(seed, n=50, says="direction"):
    """Signals of three symbols with bars of their own, outcomes known in disorder."""
    rng = np.random.default_rng(seed)
    told, became, wild = {}, {}, {}
    for s, symbol in enumerate("ABC"):
        times = pd.date_range(START, periods=n, freq="h", name="time")[rng.random(n) < 0.8]
        size = len(times)
        score = rng.uniform(-1, 1, size) * (rng.random(size) < 0.8)
        score[rng.random(size) < 0.05] = NAN
        label = rng.integers(-1 if says == "direction" else 0, 2, size).astype(float)
        known = times + pd.to_timedelta(rng.integers(1, 12, size) * 30 + s, unit="min")
        told[symbol] = pd.DataFrame({"score": score}, times)
        became[symbol] = pd.DataFrame({"label": label, "known_at": known}, times)
        wild[symbol] = pd.Series(np.round(rng.exponential(1, size), 1), times)
    found = [pd.concat(one, names=["symbol", "time"]) for one in (told, became, wild)]
    found[1] = found[1][rng.random(len(found[1])) < 0.9]
    return [*found, pd.Series(rng.choice(["calm", "wild"], len(found[2])), found[2].index)]


def path_by_loop(tables, *, says, half_life, prior, least):
    """The definition, a row at a time: edge, settled, rank."""
    told, became, wild, _ = tables
    clock = pd.DatetimeIndex(sorted(set(told.index.get_level_values("time"))))
    out = []
    for symbol, time in told.index:
        n = up = down = hits = rose = fell = seen = 0.0
        for (other, when), (label, known_at) in became.iterrows():
            score = told["score"].get((other, when), NAN)
            if known_at > time or np.isnan(score):
                continue
            same = [t for s, t in told.index if s == other and when < t <= known_at]
            together = sum(t == when for _, t in told.index)
            age = clock.get_loc(time) - np.searchsorted(clock, known_at)
            count = 0.5 ** (age / half_life) / max(len(same), 1) / together
            side = np.sign(label) if says == "direction" else (1 if label > 0 else -1)
            side = -side if says == "short" else side
            seen, rose, fell = seen + count, rose + count * (side > 0), fell + count * (side < 0)
            up, down = up + count * (score > 0), down + count * (score < 0)
            hits += count * (np.sign(score) == side and side != 0)
            n = up + down
        edge = (hits - (up * rose + down * fell) / seen) / (n + prior) if n else 0.0
        so_far = wild[symbol].loc[:time].to_numpy()
        rank = rankdata(so_far)[-1] / len(so_far) if len(so_far) >= least else NAN
        out.append((edge, n, rank))
    return np.array(out).T


@pytest.mark.parametrize("says", ["direction", "long", "short"])
def test_paths_are_those_of_a_loop_over_the_definition(says):
    tables = random_tables(7, n=18, says=says)
    told, became, wild, regime = tables
    rules = {"says": says, "half_life": 6.0, "prior": 1.5, "least": 4}
    got = threshold_path(
        told,
        base=0.2,
        bounds=(0.15, 0.32),
        outcomes=became,
        by_performance=0.7,
        volatility=wild,
        by_volatility=0.05,
        regime=regime,
        regime_thresholds={"wild": 0.25},
        **rules,
    )
    edge, settled, rank = path_by_loop(tables, **rules)
    np.testing.assert_allclose(got["edge"], edge, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(got["settled"], settled, rtol=1e-12)
    np.testing.assert_allclose(got["rank"], rank, rtol=1e-12)
    base = np.where(regime.reindex(told.index) == "wild", 0.25, 0.2)
    expected = base - 0.7 * edge + 0.05 * np.nan_to_num(2 * rank - 1)
    np.testing.assert_allclose(got["threshold"], np.clip(expected, 0.15, 0.32), rtol=1e-11)
    assert 0.15 < got["threshold"].median() < 0.32


RULES = {
    "base": 0.2,
    "bounds": (0.0, 0.9),
    "by_performance": 0.7,
    "half_life": 9.0,
    "by_volatility": 0.05,
    "least": 5,
    "regime_thresholds": {"wild": 0.25},
}


def test_nothing_after_a_bar_changes_its_threshold():
    tables = random_tables(4)
    told, became, wild, regime = tables
    whole = threshold_path(told, outcomes=became, volatility=wild, regime=regime, **RULES)
    moved = 0
    for hour in (6, 20, 37):
        after = START + hour * HOUR
        past = [one.index.get_level_values("time") <= after for one in tables]
        other, late = became.copy(), became["known_at"] > after
        other.loc[late, "label"] *= -1
        other.loc[late, "known_at"] += 31 * HOUR
        futures = (
            (told[past[0]], became[~late], wild[past[2]], regime[past[3]]),
            (
                told.mul(np.where(past[0], 1, -1), axis=0),
                other,
                wild.where(past[2], 99 - wild),
                regime.where(past[3], "wild"),
            ),
        )
        for signal, outcomes, volatility, kind in futures:
            got = threshold_path(
                signal, outcomes=outcomes, volatility=volatility, regime=kind, **RULES
            )
            mine = got[got.index.get_level_values("time") <= after]
            pd.testing.assert_frame_equal(mine, whole[past[0]], check_exact=True)
            moved += len(got) == len(whole) and not got.equals(whole)
    assert moved == 3


def from_bars(bars, early=0):
    """A threshold of bars: a signal that follows the last move, judged three bars later."""
    close = bars["close"]
    label = np.sign(close.shift(-3) - close)
    known_at = bars.index.to_series().shift(-3) - early * HOUR
    tables = {
        "signals": np.sign(close.diff()).to_frame("score"),
        "outcomes": pd.DataFrame({"label": label, "known_at": known_at}),
        "volatility": pd.Series(realised(close.to_numpy(), 10), bars.index).to_frame(),
        "regime": pd.Series(np.where(close > 100, "wild", "calm"), bars.index).to_frame(),
    }
    told = {name: pd.concat({"A": one}, names=["symbol", "time"]) for name, one in tables.items()}
    wild, regime = (told.pop(name).iloc[:, 0] for name in ("volatility", "regime"))
    signal = told.pop("signals")
    return threshold_path(signal, **told, volatility=wild, regime=regime, **RULES).loc["A"]


def test_thresholds_of_bars_never_read_the_future_to_the_last_bit():
    bars, cuts = causality.probe_bars(120), [10, 11, 30, 50, 51, 80, 117, 118]
    found = causality.sweep(from_bars, bars, cuts)
    assert (found["difference"] == 0).all()
    assert list(found.index) == ["threshold", "base", "edge", "rank", "settled"]
    assert not causality.check(lambda seen: from_bars(seen, early=2), bars, cuts).passed


def test_the_order_of_rows_makes_no_difference():
    told, became, wild, regime = random_tables(9)
    expected = threshold_path(told, outcomes=became, volatility=wild, regime=regime, **RULES)
    mixed = [one.sample(frac=1, random_state=2) for one in (told, became, wild, regime)]
    got = threshold_path(mixed[0], outcomes=mixed[1], volatility=mixed[2], regime=mixed[3], **RULES)
    assert got.index.equals(mixed[0].index)
    pd.testing.assert_frame_equal(got.reindex(expected.index), expected, check_exact=True)


TOLD = signals(A=[0.1, 0.2])


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"base": 1.5}, ParamsError, "0 <= low <= base <= high, were 0.0, 1.5, 1.0"),
        ({"bounds": (0.2, 1.0)}, ParamsError, "were 0.2, 0.1, 1.0"),
        ({"by_performance": -1}, ParamsError, "by_performance of thresholds must be at least 0"),
        ({"prior": NAN}, ParamsError, "prior of thresholds must be at least 0, was nan"),
        ({"by_volatility": NAN}, ParamsError, "must be a number, was nan"),
        ({"least": 2}, ParamsError, "at least 3 values to compare with, was 2"),
        ({"half_life": -1}, ParamsError, "above 0 bars, was -1"),
        ({"by_performance": 1}, ParamsError, "by_performance has nothing to read; give outcomes"),
        ({"by_volatility": 1}, ParamsError, "nothing to read; give volatility"),
        ({"regime_thresholds": {"wild": 0.2}}, ParamsError, "nothing to read; give regime"),
        ({"outcomes": labels(A=[1]), "says": "nothing"}, ParamsError, "was 'nothing'"),
        ({"outcomes": labels(0, A=[1])}, LeakError, "known at or before its bar"),
        ({"volatility": pd.concat([TOLD["score"]] * 2)}, DataError, "volatility have two rows"),
        (
            {"regime": series(A=["calm"]), "regime_thresholds": {"wlid": 0.2}},
            ParamsError,
            "did you mean 'wild'",
        ),
        (
            {"regime": series(A=["calm"]), "regime_thresholds": {"wild": 2.0}},
            ParamsError,
            "regime_thresholds.wild must be within the bounds",
        ),
    ],
)
def test_refuses_paths_that_are_none(options, error, says):
    with pytest.raises(error, match=says):
        threshold_path(TOLD, **BASE | options)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (TOLD.rename(columns={"score": "scores"}), "lack the column score; they have \\['scores'"),
        (pd.concat([TOLD, TOLD]), "signals have two rows at"),
        (TOLD.droplevel(0), "signals are indexed by symbol and time"),
    ],
)
def test_refuses_tables_that_are_no_signals(table, says):
    with pytest.raises(DataError, match=says):
        threshold_path(table, **BASE)
