"""What the data, the settings and the models take away from a verdict, in computed words."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from signalkit import features, validation
from signalkit.training import ENSEMBLE

if TYPE_CHECKING:
    import pandas as pd

    from signalkit.study.study import Study


# closed trades of which a rate or a mean is told without a word on their number
_FEW = 30
# pages that are dark set a red that can be read there
_RED = "color: var(--sk-alarm, #b2182b)"


def ordered(words: Sequence[str], alarms: Sequence[str]) -> list[tuple[str, bool]]:
    """What is told, alarms before all else, and whether each is one."""
    return [(told, True) for told in alarms] + [(w, False) for w in words if w not in alarms]


def as_html(words: Sequence[str], alarms: Sequence[str]) -> str:
    """What is told as a list in HTML, alarms first and in red."""
    items = [
        f'<li style="{_RED}"><strong>{escape(told)}</strong></li>'
        if red
        else f"<li>{escape(told)}</li>"
        for told, red in ordered(words, alarms)
    ]
    return "\n".join(["<ul>", *items, "</ul>"])


def alarms(study: Study) -> list[validation.Finding]:
    """Scores that are too good for the field, with the likeliest cause."""
    sharpe = study.backtest().table("sharpe")
    return validation.alarm(
        study.evidence("scores"),
        study.evidence("permutation"),
        study.evidence("information"),
        study.evidence("selection"),
        target=study.params.labeling.target,
        model=ENSEMBLE,
        setting=validation.Setting(
            horizon=study.params.labeling.horizon,
            gap=study.params.validation.gap,
            fill=study.params.backtesting.fill,
            sharpe=float(sharpe.loc["strategy", "value"]),
            folds=study.evidence("folds"),
            inside=study.train(),
        ),
    )


def caveats(study: Study) -> list[str]:
    """Everything that a reader of the verdict must know besides."""
    found = study.backtest()
    made = account(found.table("equity")["strategy"], found.table("trades"), study.signals())
    told = made + _data(study) + _models(study)
    border = study.params.validation.holdout_from
    seen = study.opened()
    who = "1 configuration has" if seen == 1 else f"{seen} configurations have"
    told.append(f"Bars from {border} on are held out; {who} seen returns there.")
    return told


def account(equity: pd.Series, trades: pd.DataFrame, weights: pd.DataFrame) -> list[str]:
    """What a Sharpe ratio does not tell of an account: too few trades, money lost, ruin."""
    told, closed = [], int((trades["exit_reason"] != "open").sum())
    if trades.empty:
        asked = (weights["weight"] != 0).any()
        why = (
            "positions were asked for, and no order was filled"
            if asked
            else "no position was asked for"
        )
        told.append(f"There is no trade: {why}.")
    elif closed < _FEW:
        told.append(
            f"Of the trades {closed} {'is' if closed == 1 else 'are'} closed; under {_FEW} of them"
            " tell little, whatever an interval of bars says."
        )
    lost = 1 - equity.iloc[-1]
    if equity.iloc[-1] == 0:
        told.append(f"The account was ruined: nothing is left from {equity.idxmin():%Y-%m-%d} on.")
    elif lost > 0:
        told.append(
            f"The account lost {_share(lost)} of its capital; a Sharpe ratio adds returns up and"
            " can be above 0 all the same."
        )
    return told


def _share(lost: float) -> str:
    """A share in percent, never rounded up to all of it."""
    return f"{lost:.0%}" if lost < 0.99 else f"{int(lost * 1e4) / 100:.2f}%"


def _data(study: Study) -> list[str]:
    """What is odd in the bars, the columns and the costs."""
    found, told = study.coverage(), []
    fill = study.params.backtesting.fill.replace("_", " ")
    fill = f"the {fill}, which means little" if "open" in fill else f"the {fill}"
    for symbol, row in found[~found["opens_real"]].iterrows():
        told.append(
            f"{symbol} opens equal the previous close on {row['stale_opens']:.0%} of bars, so"
            f" they were not traded at; orders here fill at {fill}."
        )
    if study.params.collection.source == "sample":
        told.append("The sample's bars are price indices: holding them paid dividends besides.")
    told += [f"{words}." for words in features.findings(study.columns())]
    if study.params.labeling.says == "nothing":
        target = study.params.labeling.target
        told.append(f"{target} says nothing of direction, so no position is taken.")
    if (study.signals()["weight"] < 0).any():
        told.append(_shorts(study.params.backtesting.borrow_bps))
    return told


def _shorts(borrow_bps: float) -> str:
    """What is left out of what a short position costs."""
    if borrow_bps:
        return "Short positions pay no dividends here; cash earns no interest."
    return "Short positions pay neither interest nor dividends here; cash earns none."


def _models(study: Study) -> list[str]:
    """What was left out, failed, or could not be done."""
    told = validation.left_out(study.evidence("selection"))
    seen = study.validate().index.unique("symbol")
    told += [
        f"{symbol} is in no prediction: no bar of a test window has a value for every feature."
        for symbol in study.bars().index.unique("symbol").difference(seen, sort=False)
    ]
    fits = study.evidence("fits")
    for model, rows in fits[fits["failed"] != ""].groupby("model_id"):
        count = rows["fold"].nunique()
        told.append(
            f"{model} failed in {count} fold{'s' if count != 1 else ''}, the others go on without"
            f" it there: {rows['failed'].iloc[0]}."
        )
    told += [f"{words}." for words in notes(fits)]
    stood = len(study.evidence("stood"))
    if stood:
        told.append(
            f"At {stood} bars every model failed and the rule of moving averages stands in, without"
            " confidence."
        )
    return told + _placebo(study)


def notes(fits: pd.DataFrame) -> list[str]:
    """What the recipe could not do, once a model, with the number of folds."""
    told = fits.reset_index().explode("notes").dropna(subset=["notes"])
    counts = told.groupby(["model_id", "notes"])["fold"].nunique()
    return [
        f"{model}, in {count} fold{'s' if count != 1 else ''}: {note}"
        for (model, note), count in counts.items()
    ]


def _placebo(study: Study) -> list[str]:
    """What the pipeline finds in labels that belong to other bars."""
    table, level = study.evidence("placebo"), study.params.validation.level
    if len(table) < 20:  # too few to judge the pipeline by
        return []
    share = (table["p"] <= 1 - level).mean()
    return [
        f"On {len(table)} placebos the pipeline claims a better prediction in {share:.0%} at"
        f" {level:.0%}; about {1 - level:.0%} is luck."
    ]
