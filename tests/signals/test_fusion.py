"""fusion.py: signals worked by hand, a plain loop over the definition, and no future."""

import numpy as np
import pandas as pd
import pytest

from signalkit import causality, features
from signalkit.errors import DataError, LeakError, ParamsError
from signalkit.signals.fusion import fuse, voice_weights
from signalkit.signals.rulebook import vote

NAN = np.nan
SHARES = ["p_sell", "p_hold", "p_buy"]
HOUR = pd.Timedelta(hours=1)
START = pd.Timestamp("2024-01-01", tz="UTC")


def hours(n):
    return pd.date_range(START, periods=n, freq="h", name="time")


def predictions(target="signal_direction", wait=1, actual=None, **models):
    """Predictions for one symbol: of each model its shares (sell, hold, buy), or its numbers."""
    parts = {}
    for name, rows in models.items():
        given = np.array(rows, dtype=float)
        number = given.ndim == 1
        shares = np.full((len(given), 3), NAN) if number else given
        part = pd.DataFrame(shares, columns=SHARES, index=hours(len(given)))
        told = given if number else np.where(np.isnan(given[:, 0]), NAN, given.argmax(1) - 1.0)
        part["prediction"], part["confidence"] = told, shares.max(axis=1)
        part["actual"] = NAN if actual is None else np.array(actual, dtype=float)
        part["known_at"] = part.index + wait * HOUR
        part[["target", "fold"]] = [target, 0]
        parts["A", name] = part
    return pd.concat(parts, names=["symbol", "model_id", "time"]).reorder_levels([0, 2, 1])


def votes(**rules):
    rows = hours(len(next(iter(rules.values()))))
    table = pd.DataFrame(rules, index=rows, dtype=float)
    return pd.concat({"A": table}, names=["symbol", "time"])


def labels(wait=1, **symbols):
    parts = {}
    for symbol, given in symbols.items():
        rows = hours(len(given))
        parts[symbol] = pd.DataFrame({"label": given, "known_at": rows + wait * HOUR}, index=rows)
    return pd.concat(parts, names=["symbol", "time"])


def test_voices_are_weighed_by_confidence():
    table = predictions(X=[[0.1, 0.3, 0.6]], Y=[[0.5, 0.25, 0.25]])
    got = fuse(table).iloc[0]
    # leans 0.5 and -0.25 with confidence 0.6 and 0.5
    assert got["score"] == pytest.approx((0.6 * 0.5 - 0.5 * 0.25) / 1.1)
    # what both give to buying
    assert got["confidence"] == pytest.approx((0.6 + 0.25) / 2)
    assert (got["agreement"], got["voices"]) == (0.5, 2)
    assert (got["model_id"], got["prediction"]) == ("X", 1.0)
    assert fuse(table, method="equal")["score"].tolist() == pytest.approx([(0.5 - 0.25) / 2])


def test_a_lone_model_keeps_its_lean_and_the_share_of_its_side():
    table = predictions(X=[[0.1, 0.6, 0.3], [0.7, 0.2, 0.1]])
    got = fuse(table)
    assert got["score"].tolist() == pytest.approx([0.2, -0.6])
    # buying had 0.3, however sure the model was of holding
    assert got["confidence"].tolist() == pytest.approx([0.3, 0.7])
    table["confidence"] *= 0.5  # as of an ensemble whose members disagree
    assert fuse(table)["confidence"].tolist() == pytest.approx([0.15, 0.35])


def test_a_rule_tells_a_direction_and_no_more_than_its_stand_in():
    got = fuse(None, votes(macd=[1, -1, 0, NAN]))
    assert got["score"].tolist() == [0.25, -0.25, 0.0, 0.0]
    assert got["confidence"].tolist()[:2] == [0.5, 0.5]
    assert got["voices"].tolist() == [1, 1, 0, 0]
    assert got["model_id"].tolist()[:2] == ["macd", "macd"]
    assert got["prediction"].tolist()[:2] == [1.0, -1.0]
    assert got[["confidence", "agreement", "model_id", "prediction"]].iloc[2:].isna().all(axis=None)


def test_a_rule_weighs_its_weight_beside_a_model():
    table, told = predictions(X=[[0.25, 0.25, 0.5]]), votes(macd=[-1])
    # both lean by 1/4 with confidence 1/2
    assert fuse(table, told, rule_weight=1.0)["score"].tolist() == [0.0]
    got = fuse(table, told, rule_weight=0.25).iloc[0]
    assert got["score"] == pytest.approx(0.25 * (1 - 0.25) / 1.25)
    assert got["confidence"] == pytest.approx((0.5 + 0.25 * 0.25) / 1.25)
    assert fuse(table, told, rule_weight=0.0)["voices"].tolist() == [1]


def test_without_a_side_there_is_no_confidence_in_it():
    got = fuse(predictions(X=[[0.2, 0.6, 0.2]])).iloc[0]
    assert got[["score", "confidence", "agreement", "voices"]].tolist() == [0, 0, 0, 1]
    assert pd.isna(got["model_id"])
    assert pd.isna(got["prediction"])


def test_models_that_failed_drop_out_and_the_rest_are_weighed_anew():
    bad = [[NAN] * 3, [0.2, 0.2, 1.1], [NAN] * 3]
    good = [[0.2, 0.2, 0.6], [0.2, 0.2, 0.6], [NAN] * 3]
    table = predictions(X=bad, Y=good)
    got = fuse(table, models=["X", "Y", "Z"])
    assert got["score"].tolist() == pytest.approx([0.4, 0.4, 0.0])
    assert got["voices"].tolist() == [1, 1, 0]
    assert got["confidence"].isna().tolist() == [False, False, True]
    dropped = fuse(table.drop(index=("A", START, "X")), models=["X", "Y", "Z"])
    pd.testing.assert_frame_equal(dropped, got)


def test_only_voices_sure_enough_are_heard():
    table = predictions(X=[[0.1, 0.3, 0.6]], Y=[[0.5, 0.25, 0.25]])
    got = fuse(table, votes(macd=[-1]), min_confidence=0.5, rule_weight=1.0)
    assert got["voices"].tolist() == [3]
    got = fuse(table, votes(macd=[-1]), min_confidence=0.55).iloc[0]
    assert (got["voices"], got["score"], got["agreement"]) == (1, pytest.approx(0.5), 1.0)
    assert fuse(table, min_confidence=0.61)["score"].tolist() == [0.0]


@pytest.mark.parametrize(("agree", "acts"), [(0, True), (2, True), (3, False)])
def test_too_few_of_one_mind_ask_for_nothing(agree, acts):
    table = predictions(X=[[0.1, 0.3, 0.6]], Y=[[0.1, 0.3, 0.6]], Z=[[0.6, 0.3, 0.1]])
    got = fuse(table, agree=agree).iloc[0]
    assert (got["score"] > 0) == acts
    assert (got["agreement"], got["voices"], got["model_id"]) == (pytest.approx(2 / 3), 3, "X")


@pytest.mark.parametrize(
    ("says", "score", "confidence"),
    [("long", [0.6, 0.0], [0.8, 0.0]), ("short", [-0.6, 0.0], [0.8, 0.0])],
)
def test_a_trade_that_pays_is_a_side_and_one_that_does_not_is_none(says, score, confidence):
    table = predictions("target_profitable", X=[[0, 0.2, 0.8], [0, 0.7, 0.3]])
    got = fuse(table, says=says)
    assert got["score"].tolist() == pytest.approx(score)
    assert got["confidence"].tolist() == pytest.approx(confidence)
    told = votes(macd=[1, 1] if says == "long" else [-1, -1])
    # of two classes a rule leans by 1/3
    both = fuse(table, told, says=says, method="equal", rule_weight=1.0)
    expected = np.array([(0.6 + 1 / 3) / 2, 0.0]) * (1 if says == "long" else -1)
    assert both["score"].tolist() == pytest.approx(expected)


def test_a_target_without_sides_leaves_the_word_to_rules():
    table = predictions("target_volatility", X=[0.02, 0.03])
    got = fuse(table, votes(macd=[1, 0]), says="nothing")
    assert got["score"].tolist() == pytest.approx([1 / 3, 0.0])
    assert got["voices"].tolist() == [1, 0]


def test_a_number_leans_by_its_size_against_its_usual_one():
    table = predictions("target_return", X=[0.02, -0.04, 0.0, NAN, 0.02])
    got = fuse(table)
    # mean sizes so far 0.02, 0.03, 0.02 and, without the failed one, 0.02
    expected = [2 / 3 * x for x in (0.02 / 0.04, -0.04 / 0.07, 0.0, 0.0, 0.02 / 0.04)]
    assert got["score"].tolist() == pytest.approx(expected)
    assert got["voices"].tolist() == [1, 1, 1, 0, 1]
    assert got["confidence"].iloc[0] == pytest.approx((1 + 1 / 3) / 2)


def test_a_regime_multiplies_the_weights_of_voices():
    table = predictions(X=[[0.1, 0.3, 0.6]] * 4, Y=[[0.6, 0.3, 0.1]] * 4)
    rows = fuse(table).index
    regime = pd.Series(["calm", "wild", NAN], rows[:3], dtype="str")
    weights = {"wild": {"Y": 0.0}, "unknown": {"X": 0.0}}
    got = fuse(table, regime=regime, regime_weights=weights)
    assert got["score"].tolist() == pytest.approx([0.0, 0.5, -0.5, -0.5])
    assert got["voices"].tolist() == [2, 1, 1, 1]


def test_weights_follow_what_has_settled_by_hand():
    right, wrong = [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]
    table = predictions(wait=2, actual=[1, 1, NAN, NAN], X=[right] * 4, Y=[wrong] * 4)
    got = voice_weights(table, half_life=1.0)
    # losses 0 and 1 settle two bars later; a label spans two bars, so each counts 1/2
    lost = [0, 0, 0.5, 0.25 + 0.5]
    expected = [1 / (1 + np.exp(-x / 2)) for x in lost]
    assert got["X"].tolist() == pytest.approx(expected)
    assert got.sum(axis=1).tolist() == pytest.approx([1.0] * 4)
    assert got.columns.tolist() == ["X", "Y"]
    fused = fuse(table, method="dynamic", half_life=1.0)["score"]
    assert fused.tolist() == pytest.approx([2 * x - 1 for x in expected])


def test_models_of_numbers_are_judged_by_the_side_of_what_came():
    table = predictions("target_return", actual=[0.03, NAN], X=[0.01, 0.01], Y=[-0.01, -0.01])
    # leans of 1/3 and -1/3 against 1, however large the return
    lost = (((-1 / 3 - 1) / 2) ** 2) - (((1 / 3 - 1) / 2) ** 2)
    got = voice_weights(table)["X"].tolist()
    assert got == pytest.approx([0.5, 1 / (1 + np.exp(-lost / 2))])


def test_rules_are_judged_by_the_labels_that_are_given():
    told = votes(good=[1, 1, 1, 1], bad=[-1, -1, -1, -1])
    got = voice_weights(None, told, outcomes=labels(A=[1, 1, 1, 1]), half_life=None)
    # losses ((1/4 - 1) / 2)² and ((-1/4 - 1) / 2)², that differ by 1/4 a bar
    expected = [1 / (1 + np.exp(-t / 8)) for t in range(4)]
    assert got["good"].tolist() == pytest.approx(expected)


def test_rules_bring_a_record_from_before_the_first_prediction():
    told = votes(good=[1] * 6, bad=[-1] * 6)
    table = predictions(X=[[0.3, 0.4, 0.3]] * 6).iloc[4:]
    got = fuse(table, told, outcomes=labels(A=[1] * 6), method="dynamic")
    assert got.index.get_level_values("time").tolist() == hours(6)[4:].tolist()
    assert (got["score"] > 0).all()
    assert (fuse(table, told, method="confidence")["score"] == 0).all()


def random_tables(seed, n=40, says="direction"):
    """Two models and two rules on three symbols with bars of their own, labels in disorder."""
    rng = np.random.default_rng(seed)
    parts, said, truth = {}, {}, {}
    for s, symbol in enumerate("ABC"):
        rows = hours(n)[rng.random(n) < 0.8]
        known = rows + pd.to_timedelta(rng.integers(1, 9, len(rows)) * 30 + s, unit="min")
        if says == "direction":
            actual = rng.integers(-1, 2, len(rows)).astype(float)
        else:
            actual = rng.integers(0, 2, len(rows)).astype(float)
        actual[rng.random(len(rows)) < 0.1] = NAN
        for model in "XY":
            shares = rng.dirichlet([2, 2, 2], len(rows))
            shares[rng.random(len(rows)) < 0.15] = NAN
            part = pd.DataFrame(shares, columns=SHARES, index=rows)
            part["confidence"] = part.max(axis=1) * 0.9
            part["prediction"] = part[SHARES].fillna(-1).to_numpy().argmax(1) - 1.0
            part = part.assign(actual=actual, known_at=known, target="signal_direction", fold=0)
            parts[symbol, model] = part[rng.random(len(rows)) < 0.9]
        sides = rng.integers(-1, 2, (len(rows), 2)).astype(float)
        said[symbol] = pd.DataFrame(sides, columns=["m", "n"], index=rows)
        truth[symbol] = pd.DataFrame({"label": actual, "known_at": known}, index=rows)
    table = pd.concat(parts, names=["symbol", "model_id", "time"]).reorder_levels([0, 2, 1])
    said, truth = (pd.concat(one, names=["symbol", "time"]) for one in (said, truth))
    calm = pd.Series(rng.choice(["calm", "wild"], len(said)), said.index)
    return table.sort_index(), said, truth.dropna(), calm


def heard_by_loop(table, said, says, rule_weight):
    """Of each (symbol, time) what each voice says: lean, share up, share down, confidence."""
    k = 3 if says == "direction" else 2
    found = {}
    for (symbol, time, model), row in table.iterrows():
        sell, hold, buy = row[SHARES]
        if np.isnan(sell):
            continue
        kept = row["confidence"] / max(sell, hold, buy)
        against = sell if says == "direction" else hold
        lean, up, down = buy - against, buy * kept, against * kept
        if says == "short":
            lean, up, down = -lean, down, up
        heard = found.setdefault((symbol, time), {})
        heard[model] = (lean, up, down, row["confidence"], 1.0, row["prediction"])
    for (symbol, time), row in said.iterrows():
        for rule, side in row.items():
            if side:
                up, down = (2 / (k + 1) if side == s else 1 / (k + 1) for s in (1, -1))
                heard = found.setdefault((symbol, time), {})
                heard[rule] = (side / (k + 1), up, down, 2 / (k + 1), rule_weight, side)
    return found


def record_by_loop(heard, truth, rows, *, says, half_life, at):
    """Weights at a time from what is settled then."""
    clock = pd.DatetimeIndex(sorted({time for _, time in rows}))
    lost = dict.fromkeys("XYmn", 0.0)
    for (symbol, time), (label, known_at) in truth.iterrows():
        voices = heard.get((symbol, time), {})
        if known_at > at or not voices:
            continue
        spanned = sum(s == symbol and time < t <= known_at for s, t in rows)
        together = sum(t == time for _, t in rows)
        if says == "direction":
            side = np.sign(label)
        else:
            side = (1 if label > 0 else -1) * (1 if says == "long" else -1)
        loss = {name: ((voice[0] - side) / 2) ** 2 for name, voice in voices.items()}
        age = clock.get_loc(at) - np.searchsorted(clock, known_at)
        for name in lost:
            charged = loss.get(name, np.mean(list(loss.values())))
            lost[name] += 0.5 ** (age / half_life) * charged / max(spanned, 1) / together
    return {name: np.exp(-x / 2) for name, x in lost.items()}


def fused_by_loop(table, said, truth, calm, *, says, half_life, options):
    """The definition, a row at a time."""
    rule_weight = options["rule_weight"]
    heard = heard_by_loop(table, said, says, rule_weight)
    rows = set(table.index.droplevel(2).append(said.index))
    low, high = {"direction": (-1, 1), "long": (0, 1), "short": (-1, 0)}[says]
    out = {}
    for symbol, time in sorted(set(table.index.droplevel(2))):
        record = record_by_loop(heard, truth, rows, says=says, half_life=half_life, at=time)
        factor = {"m": 0.5} if calm[symbol, time] == "wild" else {}
        spoke = {}
        for name, voice in heard.get((symbol, time), {}).items():
            base = record[name] * voice[4] * factor.get(name, 1.0)
            if voice[3] >= options["min_confidence"]:
                spoke[name] = (base, base * voice[3], *voice)
        score = np.average([v[2] for v in spoke.values()] or [0.0],
                           weights=[v[1] for v in spoke.values()] or [1.0])  # fmt: skip
        score = min(max(score, low), high)
        side = np.sign(score)
        row = [0.0, NAN, NAN, len(spoke), None, NAN]
        if spoke:
            mine = {n: v for n, v in spoke.items() if side and np.sign(v[2]) == side}
            best = max(sorted(mine), key=lambda n: mine[n][1] * abs(mine[n][2]), default=None)
            shares = [(v[0], v[3] if side > 0 else v[4]) for v in spoke.values()]
            share = sum(w * p for w, p in shares) / sum(w for w, _ in shares) if side else 0.0
            row[0] = score if len(mine) >= options["agree"] else 0.0
            row[1:3] = share, len(mine) / len(spoke)
            row[4:] = best, spoke[best][-1] if best else NAN
        out[symbol, time] = row
    columns = ["score", "confidence", "agreement", "voices", "model_id", "prediction"]
    return pd.DataFrame.from_dict(out, orient="index", columns=columns)


@pytest.mark.parametrize("says", ["direction", "long", "short"])
@pytest.mark.parametrize(
    "options",
    [
        {"min_confidence": 0.0, "agree": 0, "rule_weight": 0.25},
        {"min_confidence": 0.45, "agree": 2, "rule_weight": 1.5},
    ],
)
def test_signals_are_those_of_a_loop_over_the_definition(says, options):
    table, said, truth, calm = random_tables(11, n=25, says=says)
    rules = {"says": says, "method": "dynamic", "half_life": 7.0, **options}
    got = fuse(
        table, said, outcomes=truth, regime=calm, regime_weights={"wild": {"m": 0.5}}, **rules
    )
    expected = fused_by_loop(table, said, truth, calm, says=says, half_life=7.0, options=options)
    assert got.index.tolist() == expected.index.tolist()
    numbers = ["score", "confidence", "agreement", "voices", "prediction"]
    np.testing.assert_allclose(
        got[numbers], expected[numbers].astype(float), rtol=1e-12, atol=1e-14
    )
    assert got["model_id"].fillna("").tolist() == expected["model_id"].fillna("").tolist()
    assert got["score"].abs().max() > 0


def test_nothing_after_a_bar_changes_its_signal_or_the_weights():
    table, said, truth, calm = random_tables(3, n=60)
    rng = np.random.default_rng(8)

    def fused(*tables):
        table, said, truth, calm = tables
        rules = {"outcomes": truth, "models": ["X", "Y"], "half_life": 9.0}
        weights = voice_weights(table, said, **rules)
        rules |= {"regime": calm, "regime_weights": {"wild": {"m": 0.5}}}
        return fuse(table, said, method="dynamic", **rules), weights

    whole, weights = fused(table, said, truth, calm)
    moved = 0
    for after in hours(60)[[5, 17, 33, 50]]:
        cut = [one[one.index.get_level_values("time") <= after] for one in (table, said, calm)]
        known = truth[truth["known_at"] <= after]
        late = cut[0]["known_at"] > after
        unsettled = cut[0].assign(
            actual=cut[0]["actual"].mask(late), known_at=cut[0]["known_at"].mask(late)
        )
        # the same labels, known at other later times and the other way round
        other, told = table.copy(), truth.copy()
        for one, name in ((other, "actual"), (told, "label")):
            late = one["known_at"] > after
            one.loc[late, name] *= -1
            one.loc[late, "known_at"] += 17 * HOUR
        mixed = said.copy()
        for one, names in ((other, SHARES), (mixed, ["m", "n"])):
            later = one.index.get_level_values("time") > after
            one.loc[later, names] = one.loc[later, names].to_numpy()[:, rng.permutation(len(names))]
        futures = (unsettled, cut[1], known, cut[2]), (other, mixed, told, calm)
        for tables in futures:
            got, theirs = fused(*tables)
            seen = whole.index.get_level_values("time") <= after
            mine = got[got.index.get_level_values("time") <= after]
            pd.testing.assert_frame_equal(mine, whole[seen], check_exact=True)
            pd.testing.assert_frame_equal(
                theirs[theirs.index <= after], weights[weights.index <= after], check_exact=True
            )
            moved += len(got) == len(whole) and not got.equals(whole)
    assert moved == 4


def from_bars(bars, late=0):
    """A signal of bars: a model that looks back, the rules, and weights by settled labels."""
    read = features.build(bars, ["return_5", "rsi_14", "macd_histogram_12_26_9", "std_10"])
    panel = pd.concat({"A": read}, names=["symbol", "time"])
    actual = np.sign(bars["close"].shift(-3) - bars["close"])
    known_at = bars.index.to_series().shift(-3) - late * HOUR
    score = np.tanh(read["return_5"] / read["std_10"].where(read["std_10"] > 0)).to_numpy()
    shares = np.column_stack([1 - score, np.ones(len(bars)), 1 + score]) / 3
    parts = {}
    for m, name in enumerate("XY"):
        part = pd.DataFrame(np.roll(shares, m, axis=1), columns=SHARES, index=bars.index)
        part = part.assign(confidence=part.max(axis=1), prediction=score, fold=0)
        part = part.assign(target="signal_direction", actual=actual)
        parts["A", name] = part.assign(known_at=known_at)
    table = pd.concat(parts, names=["symbol", "model_id", "time"]).reorder_levels([0, 2, 1])
    regime = pd.Series(np.where(panel["std_10"] > 0.01, "wild", "calm"), panel.index)
    got = fuse(
        table,
        vote(panel, ["rsi_reversal", "macd"]),
        method="dynamic",
        half_life=20.0,
        models=["X", "Y"],
        regime=regime,
        regime_weights={"wild": {"macd": 0.0}},
        agree=1,
    ).loc["A"]
    return got.assign(model_id=got["model_id"].map({"X": 0, "Y": 1, "macd": 2, "rsi_reversal": 3}))


def test_signals_of_bars_never_read_the_future_to_the_last_bit():
    bars, cuts = causality.probe_bars(120), [0, 1, 14, 40, 60, 61, 90, 117, 118]
    found = causality.sweep(from_bars, bars, cuts)
    assert (found["difference"] == 0).all()
    assert set(found.index) >= {"score", "confidence", "agreement", "voices", "model_id"}
    # labels said to be known before they were
    assert not causality.check(lambda seen: from_bars(seen, late=2), bars, cuts).passed


def test_the_order_of_rows_columns_and_symbols_makes_no_difference():
    table, said, truth, calm = random_tables(5)
    rules = {"method": "dynamic", "regime_weights": {"wild": {"m": 0.5}}}
    expected = fuse(table, said, outcomes=truth, regime=calm, **rules)
    for seed in range(3):
        mixed = [one.sample(frac=1, random_state=seed) for one in (table, said, truth, calm)]
        got = fuse(mixed[0], mixed[1][["n", "m"]], outcomes=mixed[2], regime=mixed[3], **rules)
        pd.testing.assert_frame_equal(got, expected, check_exact=True)
    names = {"A": "C", "B": "B", "C": "A"}
    swapped = [one.rename(index=names, level="symbol") for one in (table, said, truth, calm)]
    got = fuse(swapped[0], swapped[1], outcomes=swapped[2], regime=swapped[3], **rules)
    got = got.rename(index=names, level="symbol").sort_index()
    pd.testing.assert_frame_equal(got, expected, rtol=1e-12)


def test_rows_are_those_of_the_predictions_sorted():
    table, said, *_ = random_tables(2)
    got = fuse(table.sample(frac=1, random_state=0), said)
    assert got.index.equals(table.index.droplevel(2).unique())
    assert got.index.names == ["symbol", "time"]
    assert fuse(table.iloc[:0], said).index.equals(said.index)
    assert got["score"].abs().max() <= 1
    assert got["confidence"].dropna().between(0, 1).all()


TABLE = predictions(actual=[1, -1], X=[[0.2, 0.2, 0.6]] * 2)
TOLD = votes(macd=[1, 0])


@pytest.mark.parametrize(
    ("given", "options", "error", "says"),
    [
        ((None, None), {}, ParamsError, "nothing to fuse"),
        ((TABLE, None), {"models": []}, ParamsError, "no voice to fuse"),
        ((TABLE, None), {"models": "X"}, ParamsError, "models is a list of names, was 'X'"),
        ((TABLE, None), {"method": "dynamik"}, ParamsError, "did you mean 'dynamic'"),
        ((TABLE, None), {"says": "up"}, ParamsError, "direction, long, short, nothing, was 'up'"),
        ((TABLE, None), {"min_confidence": 1.1}, ParamsError, "from 0 to 1, was 1.1"),
        ((TABLE, None), {"rule_weight": -1}, ParamsError, "at least 0, was -1"),
        ((TABLE, None), {"half_life": 0}, ParamsError, "above 0 bars, was 0"),
        ((TABLE, None), {"agree": 0.5}, ParamsError, "number of voices, at least 0, was 0.5"),
        ((TABLE, TOLD), {"agree": 3}, ParamsError, "asks for 3 voices; there are 2 in all"),
        ((None, TOLD), {"method": "dynamic"}, ParamsError, "of votes need outcomes"),
        ((TABLE, TOLD), {"method": "dynamic", "says": "nothing"}, ParamsError, "tell a side"),
        ((TABLE, None), {"regime_weights": {"wild": {"X": 1}}}, ParamsError, "give regime"),
        ((TABLE.droplevel(2), None), {}, DataError, "symbol, time and model_id"),
        ((pd.concat([TABLE, TABLE]), None), {}, DataError, "two rows at .*'X'"),
        ((None, pd.concat([TOLD, TOLD])), {}, DataError, "votes have two rows at"),
        ((None, TOLD * 0.5), {}, DataError, "rule macd votes 0.5 at .*'A'"),
        ((None, TOLD[["macd", "macd"]]), {}, DataError, "votes have a rule twice"),
        ((TABLE, votes(X=[1, 1])), {}, DataError, "'X' is a model and a rule"),
        ((None, TOLD.droplevel(0)), {}, DataError, "votes are indexed by symbol and time"),
        ((TABLE.assign(target=["signal_direction", "x"]), None), {}, DataError, "several|targets"),
        (
            (TABLE.assign(known_at=START), None),
            {"method": "dynamic"},
            LeakError,
            "known at or before its bar",
        ),
        (
            (TABLE, None),
            {"method": "dynamic", "outcomes": labels(A=[1, 1])},
            DataError,
            "outcomes differ at .*01:00",
        ),
    ],
)
def test_refuses_what_it_cannot_fuse(given, options, error, says):
    with pytest.raises(error, match=says):
        fuse(*given, **options)


@pytest.mark.parametrize(
    ("weights", "error", "says"),
    [
        ({"wlid": {}}, ParamsError, "regime_weights: there is no 'wlid'; did you mean 'wild'"),
        ({"wild": {"macdd": 1}}, ParamsError, "regime_weights.wild: .*did you mean 'macd'"),
        ({"wild": {"macd": -1}}, ParamsError, "regime_weights.wild.macd must be a factor"),
        ({"wild": {"macd": 1}}, DataError, "a regime is 'stormy'"),
    ],
)
def test_refuses_regimes_and_weights_that_are_none(weights, error, says):
    regime = pd.Series("stormy", TOLD.index)
    with pytest.raises(error, match=says):
        fuse(TABLE, TOLD, regime=regime, regime_weights=weights)
