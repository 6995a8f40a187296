"""overfitting.py: against the definition written out, and choices whose answer is known."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from signalkit.errors import DataError, ParamsError
from signalkit.significance import pbo


def noise(n=320, k=10, seed=0):
    return pd.DataFrame(np.random.default_rng(seed).normal(size=(n, k)) / 100)


def sharpes(rows):
    return rows.mean(axis=0) / rows.std(axis=0, ddof=1)


def by_definition(returns, blocks):
    """Every combination written out: who is chosen, its two Sharpe ratios, and the logit."""
    values = returns.to_numpy()[len(returns) % blocks :]
    parts, found = np.split(values, blocks), []
    for picked in combinations(range(blocks), blocks // 2):
        rest = [i for i in range(blocks) if i not in picked]
        inside = sharpes(np.concatenate([parts[i] for i in picked]))
        outside = sharpes(np.concatenate([parts[i] for i in rest]))
        best = np.argmax(inside)
        rank = stats.rankdata(outside)[best] / (len(outside) + 1)
        logit = np.log(rank / (1 - rank))
        found.append((returns.columns[best], inside[best], outside[best], logit))
    return pd.DataFrame(found, columns=["chosen", "in_sample", "out_of_sample", "logit"])


@pytest.mark.parametrize(("n", "k", "blocks"), [(64, 3, 4), (67, 5, 6), (50, 2, 2), (97, 4, 8)])
def test_equals_the_definition_written_out(n, k, blocks):
    returns = noise(n, k).add_prefix("trial_") + 0.5  # a mean far above the spread
    got, expected = pbo(returns, blocks=blocks), by_definition(returns, blocks)
    pd.testing.assert_frame_equal(got.splits, expected, rtol=1e-9)
    assert got.pbo == (expected["logit"] <= 0).mean()
    assert got.loss_probability == (expected["out_of_sample"] < 0).mean()
    line = stats.linregress(expected["in_sample"], expected["out_of_sample"])
    assert got.slope == pytest.approx(line.slope, rel=1e-8)
    assert got.dropped == n % blocks
    assert got.logits.tolist() == got.splits["logit"].tolist()


def test_sixteen_blocks_are_cut_in_12870_ways():
    assert pbo(noise()).combinations == 12870  # C(16, 8), the number of the paper


def test_a_choice_among_noise_is_overfit_half_of_the_time():
    found = [pbo(noise(160, 8, seed), blocks=8).pbo for seed in range(150)]
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert np.mean(found) == pytest.approx(0.5, abs=3 * error)
    assert error < 0.03


def test_a_trial_that_is_better_everywhere_is_never_overfit():
    got = pbo(noise().assign(good=noise(k=1, seed=9)[0] + 0.02))
    assert got.pbo == 0
    assert got.loss_probability == 0
    assert set(got.splits["chosen"]) == {"good"}


def test_trials_that_are_good_on_one_half_only_are_always_overfit():
    # each trial earns in one block and loses it in all the others: who has shone will not
    blocks, n = 8, 80
    block = np.repeat(np.arange(blocks), n // blocks)
    means = np.where(block[:, None] == np.arange(blocks), 0.05, -0.05 / (blocks - 1))
    got = pbo(pd.DataFrame(means) + noise(n, blocks) / 100, blocks=blocks)
    assert got.pbo == 1
    assert got.loss_probability == 1
    assert got.slope < 0


def test_the_oldest_rows_are_dropped():
    returns = noise(70, 4)
    got = pbo(returns, blocks=8)
    assert got.dropped == 6
    pd.testing.assert_frame_equal(got.splits, pbo(returns.iloc[6:], blocks=8).splits)


def test_equal_trials_share_their_rank():
    one = noise(k=1)[0]
    got = pbo(pd.DataFrame({"a": one, "b": one, "c": one}), blocks=4)
    assert set(got.logits) == {0.0}  # rank 2 of 3: the median, which counts as overfit
    assert got.pbo == 1
    twins = pbo(pd.DataFrame({"a": one, "b": one, "good": one + 0.1}), blocks=4)
    assert twins.pbo == 0


def test_an_idle_trial_has_a_sharpe_ratio_of_zero():
    returns = noise(80, 2).abs()  # all others gain
    idle = pbo(-returns.assign(idle=0.0), blocks=4)
    assert set(idle.splits["chosen"]) == {"idle"}
    assert (idle.splits["in_sample"] == 0).all()
    # idle in one half of the times, by chance of the clock
    late = returns[0].where(np.arange(80) >= 40, 0.0)
    found = pbo(pd.DataFrame({"late": -late, "loses": -returns[1]}), blocks=4).splits
    assert found.iloc[0].to_dict() | {"logit": None} == {
        "chosen": "late",
        "in_sample": 0.0,
        "out_of_sample": pytest.approx(sharpes(-late[40:])),
        "logit": None,
    }


def test_all_choices_alike_have_no_slope():
    half = noise(20, 2)
    got = pbo(pd.concat([half, half], ignore_index=True), blocks=2)
    assert np.isnan(got.slope)


def test_same_returns_same_answer():
    first, second = pbo(noise()), pbo(noise())
    pd.testing.assert_frame_equal(first.splits, second.splits, check_exact=True)
    assert first.slope == second.slope


@pytest.mark.parametrize("blocks", [0, 7, 22, -4])
def test_refuses_blocks_without_two_halves(blocks):
    with pytest.raises(ParamsError, match=f"even, from 2 to 20, was {blocks}"):
        pbo(noise(), blocks=blocks)


@pytest.mark.parametrize(
    ("returns", "says"),
    [
        (noise(31), "at least 32 times and 2 columns, were of shape \\(31, 10\\)"),
        (noise(k=1), "at least 32 times and 2 columns, were of shape \\(320, 1\\)"),
        (noise().mask(noise() == noise().iloc[5, 3]), "returns of 3 are nan in row 5"),
        (noise().assign(fixed=0.01), "column 10 returns 0.01 at every time of a half"),
        (noise()[0], "need a row a time and a column each"),
    ],
)
def test_refuses_returns_that_cannot_be_judged(returns, says):
    with pytest.raises(DataError, match=says):
        pbo(returns)
