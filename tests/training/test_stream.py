"""stream.py: bar by bar the bits of combine and of the conformal functions on the whole table."""

import numpy as np
import pandas as pd
import pytest

from signalkit.errors import DataError, LeakError, ParamsError
from signalkit.training import ENSEMBLE, PROBABILITIES, Stream, combine
from signalkit.training import prediction_intervals as intervals
from signalkit.training import prediction_sets as sets
from signalkit.training.members import side_by_side
from tests.training.test_ensemble import START, models, world

BOTH = ["ONE", "TWO"]
GOOD, BAD = [0.1, 0.1, 0.8], [0.6, 0.2, 0.2]
FEW = {"window": 30, "settled": 10, "coverage": 0.8, "rate": 0.05}


def nanoseconds(times):
    return pd.DatetimeIndex(times).as_unit("ns").asi8


def batch(table, members, **how):
    """The ensemble's rows with weights, disagreement and what is held, from the whole table."""
    numbers = table["p_buy"].isna().all()
    found = combine(table, members, **how)
    mine = found.predictions.xs(ENSEMBLE, level="model_id")
    held = {"least" if name == "settled" else name: value for name, value in FEW.items()}
    told = (intervals if numbers else sets)(mine[mine["prediction"].notna()], **held)
    mine = mine.join(found.disagreement).join(told, how="left")
    return mine.join(found.weights.add_prefix("w_"), on="time")


def stream_of(table, members, **how):
    """An empty stream for a table."""
    target = table["target"].iloc[0]
    return Stream(members, target, **FEW, **how)


def fed(stream, table, members):
    """Rows in order of time, each asked when its bar ends, told after; outcomes when known."""
    cells = side_by_side(table, members)
    rows = table.iloc[cells.row].reset_index()
    rows["place"], rows["at"] = np.arange(len(rows)), nanoseconds(rows["time"])
    known = rows[rows["actual"].notna()].sort_values("known_at", kind="stable")
    waiting, answers = list(known.itertuples()), {}
    for at, now in rows.groupby("at"):
        while waiting and waiting[0].known_at.value <= at:
            one = waiting.pop(0)
            stream.settle(one.symbol, one.at, known_at=one.known_at.value, actual=one.actual)
        for one in now.itertuples():
            said = cells.values[one.place]
            answers[one.symbol, one.time] = stream.ask(
                one.symbol, at, said, fold=one.fold, beside=now["symbol"]
            )
        for one in now.itertuples():
            stream.put(one.symbol, at, cells.values[one.place], fold=one.fold)
    return answers


def assert_same(one, row, members):
    """To the last bit: an answer and the row of the whole table."""
    assert one.weights.tolist() == row[[f"w_{m}" for m in members]].tolist()
    np.testing.assert_array_equal(one.value, row["prediction"])
    np.testing.assert_array_equal(one.disagreement, row["disagreement"])
    if np.isnan(one.value):
        return
    assert (one.threshold, one.alpha, one.n) == (row["threshold"], row["alpha"], row["n"])
    if one.shares is None:
        assert (one.low, one.high) == (row["low"], row["high"])
        return
    assert one.shares.tolist() == row[PROBABILITIES].tolist()
    assert one.confidence == row["confidence"]
    assert one.taken.tolist() == row[["in_sell", "in_hold", "in_buy"]].tolist()


HOW = [
    {},
    {"half_life": 8.0},
    {"method": "mean"},
    {"method": "stacking", "least": 3.0, "half_life": 40.0},
]


@pytest.mark.parametrize("numbers", [False, True], ids=["classes", "numbers"])
@pytest.mark.parametrize("how", HOW, ids=["for ever", "half-life", "mean", "stacking"])
def test_each_bar_has_the_bits_of_the_whole_table(how, numbers):
    for seed in (1, 2):
        table = world(seed, numbers=numbers)
        expected = batch(table, BOTH, **how)
        answers = fed(stream_of(table, BOTH, **how), table, BOTH)
        assert len(answers) == len(expected)
        assert np.isfinite(expected["threshold"]).sum() > 50
        for key, one in answers.items():
            assert_same(one, expected.loc[key], BOTH)


def uneven(seed, *, numbers):
    """Three symbols with bars of their own, labels known between bars, a member that comes late."""
    rng = np.random.default_rng(seed)
    first, second = world(seed, numbers=numbers, n=50), world(seed + 1, numbers=numbers, n=40)
    second = second.rename(index={"A": "C", "B": "0"}, level="symbol")
    apart = pd.to_timedelta(rng.integers(1, 90, 50), "min").to_numpy().cumsum()
    parts = []
    for table, minutes in ((first, 17), (second, 41)):
        places = (table.index.get_level_values("time") - START) // pd.Timedelta(1, "h")
        times = START + pd.to_timedelta(apart[places]) + pd.Timedelta(minutes, "min")
        ahead = np.minimum(places + rng.integers(1, 9), 49)
        known = START + pd.to_timedelta(apart[ahead]) + pd.Timedelta(minutes + 7, "min")
        index = [table.index.get_level_values(0), times, table.index.get_level_values(2)]
        moved = table.set_axis(pd.MultiIndex.from_arrays(index, names=table.index.names))
        parts.append(moved.assign(known_at=known.where(table["actual"].notna().to_numpy())))
    table = pd.concat(parts).sort_index()
    times, models = (table.index.get_level_values(name) for name in ("time", "model_id"))
    return table[(models != "TWO") | (times > times.min() + pd.Timedelta(9, "h"))]


@pytest.mark.parametrize("numbers", [False, True], ids=["classes", "numbers"])
@pytest.mark.parametrize("how", HOW[1:2] + HOW[3:], ids=["half-life", "stacking"])
def test_symbols_with_bars_of_their_own_and_a_member_that_comes_late(how, numbers):
    for seed in (11, 12, 13):
        table = uneven(seed, numbers=numbers)
        assert table.index.unique("symbol").tolist() == ["0", "A", "B", "C"]
        expected = batch(table, BOTH, **how)
        answers = fed(stream_of(table, BOTH, **how), table, BOTH)
        assert len(answers) == len(expected)
        for key, one in answers.items():
            assert_same(one, expected.loc[key], BOTH)


@pytest.mark.parametrize("how", HOW, ids=["for ever", "half-life", "mean", "stacking"])
def test_a_table_told_at_once_gives_the_bits_of_one_told_bar_by_bar(how):
    table = world(7)
    expected, stream = batch(table, BOTH, **how), stream_of(table, BOTH, **how)
    stream.extend(table.sample(frac=1, random_state=1))
    cells = side_by_side(table, BOTH)
    order = np.argsort(cells.at, kind="stable")
    # forward, once more back at a few, and the last again
    for place in [*order[::7], *order[-1:3:-23], order[-1]]:
        symbol, time = cells.index[place]
        there = cells.index[cells.at == cells.at[place]].get_level_values("symbol")
        fold = table["fold"].iloc[cells.row[place]]
        one = stream.ask(symbol, time.value, cells.values[place], fold=fold, beside=there)
        assert_same(one, expected.loc[symbol, time], BOTH)


@pytest.mark.parametrize("numbers", [False, True], ids=["classes", "numbers"])
def test_what_comes_late_is_taken_in(numbers):
    table = world(3, numbers=numbers)
    rng, expected = np.random.default_rng(3), batch(table, BOTH)
    last = table.index.get_level_values("time").max()
    parts = [table.xs(name, level="model_id", drop_level=False) for name in ("ONE", "TWO", "BASE")]
    stream = stream_of(table, BOTH)
    for part in parts:  # one model after the other, with answers in between
        for places in np.array_split(rng.permutation(len(part)), 6):
            stream.extend(part.iloc[places])
            stream.ask("A", last.value, np.full((2, 1 if numbers else 3), np.nan))
    cells = side_by_side(table, BOTH)
    place = len(cells.index) - 12
    symbol, time = cells.index[cells.at == cells.at[place]][0]
    place = cells.index.get_loc((symbol, time))
    there = cells.index[cells.at == cells.at[place]].get_level_values("symbol")
    one = stream.ask(symbol, time.value, cells.values[place], beside=there)
    assert_same(one, expected.loc[symbol, time], BOTH)


def test_an_outcome_that_is_told_after_the_answer_counts_from_the_next_bar_on():
    table = models([1.0] * 6, wait=2, ONE=[GOOD] * 6, TWO=[BAD] * 6)
    expected, cells = batch(table, BOTH), side_by_side(table, BOTH)
    stream = stream_of(table, BOTH)
    times = nanoseconds(cells.index.get_level_values("time")).tolist()
    weights = []
    for place, time in enumerate(times):
        weights.append(stream.ask("A", time, cells.values[place]).weights)
        stream.put("A", time, cells.values[place])
        if place >= 2:  # late: the bar that settles it was asked about already
            stream.settle("A", times[place - 2], known_at=time, actual=1.0)
    assert weights[2].tolist() == [0.5, 0.5]
    assert expected["w_ONE"].iloc[2] > 0.5
    again = stream.ask("A", times[5], cells.values[5])
    assert_same(again, expected.iloc[5], BOTH)


def test_the_row_beside_counts_though_it_is_told_later():
    # B's label of bar 0 spans bars 1 and 2: at bar 2 its row there counts, told or not
    parts = [models([1.0] * 4, wait=2, symbol=s, ONE=[GOOD] * 4, TWO=[BAD] * 4) for s in "AB"]
    table = pd.concat(parts)
    expected, cells = batch(table, BOTH), side_by_side(table, BOTH)
    early = table[table.index.get_level_values("time") < START + pd.Timedelta(2, "h")]
    stream = stream_of(table, BOTH)
    stream.extend(early)
    at = (START + pd.Timedelta(2, "h")).value
    with_it = stream.ask("A", at, cells.values[2], beside=["B"])
    assert_same(with_it, expected.loc["A"].iloc[2], BOTH)
    without = stream.ask("A", at, cells.values[2])
    assert without.weights[0] > with_it.weights[0]  # a label that spans one row counts more


def test_asking_keeps_nothing():
    table = world(4)
    half = table[table.index.get_level_values("time") < START + pd.Timedelta(40, "h")]
    one, two = stream_of(table, BOTH), stream_of(table, BOTH)
    for stream in (one, two):
        stream.extend(half)
    said = np.array([[0.2, 0.3, 0.5], [0.3, 0.3, 0.4]])
    later = [(START + pd.Timedelta(h, "h")).value for h in (41, 43, 47)]
    for time in later[:2]:
        one.ask("A", time, said)
        one.ask("B", time, said, beside=["A"])
    found = [stream.ask("A", later[2], said) for stream in (one, two)]
    assert found[0].weights.tolist() == found[1].weights.tolist()
    assert (found[0].threshold, found[0].n) == (found[1].threshold, found[1].n)


def test_refuses_what_contradicts_itself_or_is_known_too_early():
    stream = Stream(BOTH, "signal_direction")
    stream.put("A", 10, np.full((2, 3), 1 / 3))
    with pytest.raises(DataError, match="no prediction was"):
        stream.settle("A", 11, known_at=12, actual=1.0)
    with pytest.raises(LeakError, match="known at or before its bar"):
        stream.settle("A", 10, known_at=10, actual=1.0)
    with pytest.raises(DataError, match=r"is 0\.5, which none can be"):
        stream.settle("A", 10, known_at=12, actual=0.5)
    stream.settle("A", 10, known_at=12, actual=1.0)
    stream.settle("A", 10, known_at=12, actual=1.0)
    with pytest.raises(DataError, match="do not agree on actual"):
        stream.settle("A", 10, known_at=12, actual=0.0)
    with pytest.raises(ParamsError, match="joins predictions of signal_direction"):
        stream.extend(models([1.0], ONE=[0.5]))
    with pytest.raises(ParamsError, match="an ensemble needs members"):
        Stream([], "signal_direction")
    with pytest.raises(ParamsError, match="coverage is a share"):
        Stream(BOTH, "signal_direction", coverage=0.2)
