"""adversarial.py: a change is seen and named, slow columns alone are not one, blocks stay apart."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from signalkit.splits import WalkForward
from signalkit.training import make
from signalkit.validation.adversarial import _ASKED, _blocks, _spaced, adversarial

SPLITS = WalkForward(240, 80)


def table(n=400, seed=0, memory=0.0, columns=6):
    """One symbol whose columns remember their last value by some share."""
    rng = np.random.default_rng(seed)
    times = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC", name="time")
    index = pd.MultiIndex.from_product([["A"], times], names=["symbol", "time"])
    values = rng.normal(size=(n, columns))
    for i in range(1, n):
        values[i] += memory * values[i - 1]
    features = pd.DataFrame(values, index).add_prefix("x")
    return features, pd.DataFrame({"label": 0.0, "known_at": times + pd.Timedelta(1, "h")}, index)


def changed():
    """A column whose mean and one whose spread change where the second test window begins."""
    features, labels = table()
    late = np.arange(len(features)) >= 320
    features.loc[late, "x2"] += 3.0
    features.loc[late, "x4"] *= 4.0
    return features, labels


@pytest.fixture(scope="module")
def shifted():
    """The table that changed, looked at once."""
    return adversarial(*changed(), SPLITS)


def test_a_change_is_seen_in_the_fold_it_comes_in_and_its_columns_are_named(shifted):
    scores = shifted.scores
    assert scores.index.tolist() == [0, 1]
    assert scores.loc[1, "auc"] > 0.95
    assert scores["auc_inside"].between(0.35, 0.65).all()
    assert scores.loc[0, "auc"] == pytest.approx(0.5, abs=0.15)
    assert scores.loc[1, "told_by"] == "x2"
    assert shifted.gain.loc[1].nlargest(2).index.tolist() == ["x2", "x4"]


def test_gain_is_a_share(shifted):
    assert shifted.gain.sum(axis=1).to_numpy() == pytest.approx(1.0)
    assert (shifted.gain >= 0).all(axis=None)


def test_rows_that_only_remember_their_neighbours_are_not_told_apart():
    # shuffled rows are told apart with an AUC of 0.97 to 1.00: each lies between two neighbours
    found = [adversarial(*table(seed=s, memory=0.97), SPLITS).scores for s in range(6)]
    both = pd.concat(found)
    assert abs(both["auc"].mean() - both["auc_inside"].mean()) < 0.15
    assert both["auc"].mean() < 0.8


def test_auc_is_scikit_learns_on_blocks_that_were_not_seen(shifted):
    # the label of the last training bar is known at the first test bar
    bars = np.concatenate([np.arange(80, 319), np.arange(320, 400)])
    rows, later = changed()[0].iloc[bars].reset_index(drop=True), (bars >= 320).astype(float)
    aucs = []
    for block in range(4):
        scored = np.zeros(len(bars), dtype=bool)
        near = np.zeros(len(bars), dtype=bool)
        for start, length in ((0, 239), (239, 80)):
            first, stop = block * length // 4, (block + 1) * length // 4
            margin = int(np.ceil((stop - first) / 4))
            scored[start + first : start + stop] = True
            near[start + max(first - margin, 0) : start + min(stop + margin, length)] = True
        model = make("LIGHTGBM", "target_profitable", **_ASKED, seed=7)
        model.fit(rows, pd.DataFrame({"label": later}), np.flatnonzero(~near))
        shares = model.predict_proba(rows, np.flatnonzero(scored))[:, 2]
        aucs.append(roc_auc_score(later[scored], shares))
    row = shifted.scores.loc[1]
    assert row["auc"] == pytest.approx(np.mean(aucs), abs=1e-12)
    assert row["auc_error"] == pytest.approx(np.std(aucs, ddof=1) / 2, abs=1e-12)


@pytest.mark.parametrize("lengths", [(8, 8), (41, 9), (240, 80)])
def test_no_block_is_fitted_on_and_every_row_is_scored_once(lengths):
    sides = [np.repeat(np.arange(length), 2) for length in lengths]  # two symbols
    bar = np.concatenate(sides)
    side = np.repeat([0, 1], [2 * length for length in lengths])
    seen = []
    for fitted, scored in _blocks(sides):
        seen.append(scored)
        assert set(side[scored]) == set(side[fitted]) == {0, 1}
        for one in (0, 1):
            mine, theirs = (bar[p][side[p] == one] for p in (fitted, scored))
            apart = np.abs(mine[:, None] - theirs[None]).min()
            assert apart > np.ceil(len(np.unique(theirs)) / 4)
    assert np.sort(np.concatenate(seen)).tolist() == list(range(len(bar)))


def test_windows_too_short_for_blocks_have_no_score():
    found = adversarial(*table(n=58), WalkForward(30, 7))
    assert found.scores[["auc", "auc_error"]].isna().all(axis=None)
    assert found.scores["auc_inside"].notna().all()
    assert (found.scores["told_by"] == "").all()


def test_long_windows_are_looked_at_evenly():
    assert _spaced(np.arange(100, 109), 5).tolist() == [100, 102, 104, 106, 108]
    assert _spaced(np.arange(5), 5).tolist() == [0, 1, 2, 3, 4]


def test_the_same_seed_gives_the_same_bits(shifted):
    features, labels = table(seed=9)
    one, two, other = (adversarial(features, labels, SPLITS, seed=seed) for seed in (7, 7, 8))
    pd.testing.assert_frame_equal(one.scores, two.scores, check_exact=True)
    pd.testing.assert_frame_equal(one.gain, two.gain, check_exact=True)
    assert not one.gain.equals(other.gain)
