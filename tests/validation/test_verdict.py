"""verdict.py: the words follow from the numbers, never the reverse."""

import numpy as np
import pandas as pd
import pytest

from signalkit.validation import HEADLINE, verdict, words

SHARPE = "Sharpe ratio, annual, after costs"
AUC = "AUC, buys against sells"
GOOD, EVEN, BAD = (0.02, 0.01, 0.03), (0.01, -0.01, 0.03), (-0.02, -0.03, -0.01)


def row(value, lead, baseline):
    """One row of evidence: a score, its interval and its lead."""
    gain, low, high = lead
    return {
        "value": value,
        "low": value - 0.01,
        "high": value + 0.01,
        "baseline": baseline,
        "gain": gain,
        "gain_low": low,
        "gain_high": high,
        "n": 500,
    }


def evidence(auc=0.52, lead=EVEN, accuracy_gain=0.01, **numbers):
    """Scores of one model, of a class or (with ic) of a number."""
    if "ic" in numbers:
        rows = {
            "ic": row(numbers["ic"], lead, 0.0),
            "r2": row(numbers.get("r2", 0.001), EVEN, 0.0),
            "mae": row(0.008, BAD, 0.009),
        }
    else:
        rows = {
            "auc_direction": row(auc, lead, 0.5),
            "accuracy": row(0.41, (accuracy_gain, -0.01, 0.2), 0.40),
            "log_loss": row(1.09, BAD, 1.08),
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    return pd.concat({"ENSEMBLE": table}, names=["model_id", "metric"])


def sharpe(lead=EVEN):
    values = {"strategy": (0.9, 0.4, 1.4), "hold": (0.5, 0.1, 0.9), "difference": lead}
    return pd.DataFrame.from_dict(values, orient="index", columns=["value", "low", "high"])


def judged(target="signal_direction", money=EVEN, worst=None, **scores):
    low = sharpe(worst or money)
    return verdict(evidence(**scores), sharpe(money), low, target=target, model="ENSEMBLE")


def luck(**known):
    """What the ledger says of one lonely trial, but for what is given."""
    numbers = {"trials": 1.0, "effective_trials": 1.0, "probabilistic_sharpe": 0.97}
    numbers |= {"deflated_sharpe": 0.97, "min_track_record": 400.2, "bars": 500.0}
    numbers |= {"shared": 500.0, "compared_from": 32.0}
    return pd.Series(numbers | {"pbo": np.nan, "spa": 0.3} | known)


def said(table, level=0.95, **known):
    return words(table, luck(**known), level=level)


def test_the_table_puts_each_number_beside_its_baseline():
    got = judged()
    assert got.loc[AUC].tolist()[:7] == pytest.approx([0.52, 0.51, 0.53, 0.5, 0.01, -0.01, 0.03])
    assert got.loc[SHARPE].tolist()[:7] == pytest.approx([0.9, 0.4, 1.4, 0.5, 0.01, -0.01, 0.03])
    assert got.index[0] == AUC
    assert got.index[-2] == SHARPE
    assert got.index[-1] == "Sharpe ratio, annual, at pessimistic fills"
    assert got.index.name == "measure"


@pytest.mark.parametrize(
    ("lead", "says"),
    [
        (GOOD, "better"),
        (BAD, "worse"),
        (EVEN, "no difference seen"),
        ((0.01, 0.0, 0.02), "no difference seen"),
        ((-0.01, -0.02, 0.0), "no difference seen"),
        ((np.nan, np.nan, np.nan), "no difference seen"),
    ],
)
def test_words_follow_from_the_interval_of_the_lead(lead, says):
    assert judged(lead=lead).loc[AUC, "says"] == says
    assert judged(money=lead).loc[SHARPE, "says"] == says


def test_a_smaller_loss_is_better_because_its_gain_is():
    assert judged().loc["log-loss (nats, less is better)", "says"] == "worse"
    scores = evidence()
    scores.loc[("ENSEMBLE", "log_loss"), ["gain", "gain_low", "gain_high"]] = GOOD
    got = verdict(scores, sharpe(), sharpe(), target="signal_direction", model="ENSEMBLE")
    assert got.loc["log-loss (nats, less is better)", "says"] == "better"


@pytest.mark.parametrize("prediction", [GOOD, EVEN, BAD])
@pytest.mark.parametrize("money", [GOOD, EVEN, BAD])
def test_an_edge_is_claimed_only_when_prediction_and_money_lead(prediction, money):
    first = said(judged(lead=prediction, money=money))[0]
    claimed = first.startswith("An edge is seen: ")
    assert claimed == (prediction == GOOD and money == GOOD)
    assert claimed != first.startswith("No edge is seen: ")


@pytest.mark.parametrize("worst", [EVEN, BAD])
def test_an_edge_that_pessimistic_fills_take_away_is_none(worst):
    got = said(judged(lead=GOOD, money=GOOD, worst=worst))[0]
    assert got.startswith("No edge is seen: ")
    assert got.endswith("; at pessimistic fills it is 0.90 (0.40 to 1.40).")


def test_an_edge_beside_an_alarm_is_told_as_not_to_be_believed():
    table = judged(lead=GOOD, money=GOOD)
    own = {"level": 0.95, "alarms": ["Too good: x."]}
    first, second, *_ = words(table, luck(), **own)
    assert first.startswith("An edge is seen, not to be believed before what is too good is expl")
    assert second == "Too good: x."
    none = words(judged(lead=EVEN), luck(), **own)[0]
    assert none.startswith("No edge is seen: ")


def test_the_first_sentence_is_composed_of_the_tables_numbers():
    first = said(judged(auc=0.537), level=0.9)[0]
    for part in (
        f"{AUC} is 0.537 with 90% interval 0.527 to 0.547 against a baseline of 0.500",
        "the Sharpe ratio after costs is 0.90 (0.40 to 1.40) against 0.50 for holding",
    ):
        assert part in first


def test_no_edge_is_claimed_for_a_loss_that_is_smaller_than_that_of_holding():
    table = judged(lead=GOOD, money=GOOD)
    table.loc[SHARPE, ["value", "low", "high", "baseline"]] = [-0.3, -0.8, 0.2, -1.5]
    assert said(table)[0].startswith("No edge is seen: ")


def test_a_sharpe_ratio_that_no_market_gives_raises_the_alarm():
    table = judged()
    table.loc[SHARPE, "value"] = 9.0
    assert said(table)[1].startswith("Too good to be believed: Sharpe ratio is 9.000")


@pytest.mark.parametrize(
    ("target", "scores", "alarm"),
    [
        ("signal_direction", {"auc": 0.599}, None),
        ("signal_direction", {"auc": 0.60}, None),
        ("signal_direction", {"auc": 0.601}, "AUC's distance from 0.5 is 0.101, above 0.10"),
        ("signal_direction", {"auc": 0.39}, "AUC's distance from 0.5 is 0.110, above 0.10"),
        ("signal_direction", {"accuracy_gain": 0.099}, None),
        ("signal_direction", {"accuracy_gain": 0.101}, "accuracy's lead is 0.101, above 0.10"),
        ("target_return", {"ic": 0.199}, None),
        ("target_return", {"ic": 0.201}, "information coefficient is 0.201, above 0.20"),
        ("target_return", {"ic": 0.1, "r2": 0.049}, None),
        ("target_return", {"ic": 0.1, "r2": 0.051}, "R² is 0.051, above 0.05"),
        ("target_return", {"ic": -0.3}, "information coefficient is 0.300, above 0.20"),
        ("target_return", {"ic": np.nan}, None),
    ],
)
def test_scores_too_good_to_be_believed_raise_the_alarm(target, scores, alarm):
    second = said(judged(target, **scores))[1]
    assert second.startswith("Too good to be believed: ") == (alarm is not None)
    assert (alarm or "The scores are of a believable size") in second


def test_believable_scores_are_counted():
    # of AUC, accuracy and log-loss the last is worse, the others cannot be told apart
    second = said(judged())[1]
    assert "2 of 3 cannot be told from the baseline at 95%" in second
    assert "the first differs from it by +0.010" in second


def test_one_configuration_has_a_probability_and_a_record_to_reach():
    (told,) = said(judged())[2:]
    assert told == (
        "The ledger holds 1 configuration of this market. That the true Sharpe ratio is above 0 has"
        " a probability of 97%; to tell it from 0 at 95% takes 401 bars, and there are 500."
    )
    endless = said(judged(), min_track_record=np.inf)[2]
    assert endless.endswith("no record of it, however long, would tell it from 0 at 95%.")


def test_many_configurations_are_held_against_the_best_of_them():
    told = said(judged(), trials=7, effective_trials=3.2, deflated_sharpe=0.41, pbo=0.6)[2:]
    assert told[0].startswith("The ledger holds 7 configurations of this market.")
    assert told[1].startswith("They amount to 3.2 independent ones;")
    assert told[1].endswith("has by luck has a probability of 41%.")
    assert "in the other with a probability of 60%" in told[2]
    assert told[2].endswith("beats holding has a p-value of 0.30.")


def test_where_nothing_was_traded_there_is_no_luck_to_speak_of():
    nothing = dict.fromkeys(("probabilistic_sharpe", "deflated_sharpe", "spa"), np.nan)
    (told,) = said(judged(), **nothing)[2:]
    assert told.endswith("nothing was traded here, so there is no Sharpe ratio to be lucky with.")


@pytest.mark.parametrize(
    ("known", "seen"),
    [
        ({"trials": 1, "deflated_sharpe": 0.5}, True),  # its own interval says as much
        ({"trials": 2, "deflated_sharpe": 0.949}, False),
        ({"trials": 2, "deflated_sharpe": 0.95}, True),
        ({"trials": 2, "deflated_sharpe": np.nan}, False),
    ],
)
def test_an_edge_must_be_more_than_the_best_of_all_trials_has_by_luck(known, seen):
    first = said(judged(auc=0.55, lead=GOOD, money=GOOD), **known)[0]
    assert first.startswith("An edge is seen: " if seen else "No edge is seen: ")


def test_trials_that_cannot_be_compared_say_why_no_edge_is_claimed():
    table = judged(auc=0.55, lead=GOOD, money=GOOD)
    apart = {"trials": 3, "deflated_sharpe": np.nan, "spa": np.nan, "shared": 20}
    first, *_, last = said(table, **apart)
    assert first.startswith("No edge is seen: ")
    assert last == (
        "All of them have returns on 20 bars together, and to compare them takes 32: what the best"
        " of so many has by luck is not known, so no edge can be claimed; run them again on the"
        " same span of bars."
    )
    assert not any("bars together" in words for words in said(table, **apart | {"trials": 1}))


@pytest.mark.parametrize(
    ("target", "scores"), [("signal_direction", {}), ("target_return", {"ic": 0.01})]
)
def test_the_headline_of_each_target_comes_first(target, scores):
    names = {"auc_direction": AUC, "ic": "information coefficient"}
    assert judged(target, **scores).index[0] == names[HEADLINE[target]]
