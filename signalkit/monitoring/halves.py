"""A study's own predictions watched as if their later half had come live.

The walk-forward's predictions are out of sample all along, so that their earlier half can make
the promise and their later half be held to it, by the rules that a deployed model is watched by.

A stream without skill has none to lose. So a copy runs beside it to which skill is lent: at every
third bar it is told the outcome, up to a stated bar and no longer. Its claim is made in the
earlier half like the other's; what the alarm says of it is what a model that breaks looks like.

What there is too little of is left out, and `remarks` say why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from signalkit.errors import DataError
from signalkit.monitoring.alarm import Alarm, delay_bound
from signalkit.monitoring.champion import paired
from signalkit.monitoring.drift import drift, outputs
from signalkit.monitoring.performance import kept, promised, rolling, settled
from signalkit.significance import bootstrap_ci
from signalkit.study import Study
from signalkit.study.telling import as_html
from signalkit.training import ENSEMBLE
from signalkit.validation.drift import MOVED
from signalkit.validation.evidence import BASELINE

OWN, COPY = "the ensemble", "its copy"
# moments of the later half at which it is scored, about
_MOMENTS = 100
# a bar in so many at which the copy is told the outcome, up to this share of the later half
_TOLD, _BROKEN = 3, 0.25
# standard deviations by which a column is shifted
_SHIFT = 3.0


@dataclass(frozen=True)
class Halves:
    """The earlier half's promise and what became of it in the later half.

    `since` is the first bar of the later half, `broken` the one from which the copy is told
    nothing. `claims`, indexed by measure, have `value low high` in the earlier half: `accuracy`
    of the ensemble, `baseline`, that of MAJORITY on the same rows, `lead`, their distance, and
    `lent`, the accuracy of the copy. `promise` and `kept` are what `promised` and `kept` give,
    `scores` what `rolling` gives of full windows. `evidence` has a column a stream, indexed by the
    bar predicted; `alarms`, indexed by stream, say `claim`, `outcomes`, `right`, the share that was
    right from `broken` on, `highest` evidence, `raised_at`, `after`, outcomes from `broken` until
    then, and `bound`, what the best alarm needs. `inputs`, `outputs` and `shifted` are of `drift`:
    features, what the ensemble says, and one column in a copy that is shifted from `since` on.
    `lead` is what `paired` gives of `champion` and `challenger` after each time.
    """

    since: pd.Timestamp
    broken: pd.Timestamp
    window: int
    overlap: int
    champion: str
    challenger: str
    claims: pd.DataFrame = field(default_factory=pd.DataFrame)
    promise: pd.DataFrame = field(default_factory=pd.DataFrame)
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    kept: pd.DataFrame = field(default_factory=pd.DataFrame)
    evidence: pd.DataFrame = field(default_factory=pd.DataFrame)
    alarms: pd.DataFrame = field(default_factory=pd.DataFrame)
    inputs: pd.DataFrame = field(default_factory=pd.DataFrame)
    outputs: pd.DataFrame = field(default_factory=pd.DataFrame)
    shifted: pd.DataFrame = field(default_factory=pd.DataFrame)
    lead: pd.DataFrame = field(default_factory=pd.DataFrame)
    remarks: tuple[str, ...] = ()

    @property
    def answer(self) -> pd.DataFrame:
        """A row a metric: what was promised, the newest window, how many windows were outside."""
        if self.kept.empty:
            return pd.DataFrame()
        table = self.promise[["value", "low", "high"]].loc[self.kept.columns]
        table["newest"] = self.scores.iloc[-1]
        counts = self.kept.apply(lambda column: column.value_counts()).reindex(["worse", "better"])
        return table.join(counts.fillna(0).astype(int).T).assign(windows=len(self.kept))

    @property
    def html(self) -> str:
        """What `words` says as a list, an alarm on the study's own stream first and in red."""
        own = self.alarms.loc[[OWN]] if len(self.alarms) else self.alarms
        raised = own[own["raised_at"].notna()] if len(own) else own
        return as_html(self.words, [_on_alarm(*row) for row in raised.iterrows()])

    @property
    def words(self) -> list[str]:
        """Whether the later half kept what the earlier promised, in computed words."""
        told = [*_on_skill(self.claims), *(_on_alarm(*row) for row in self.alarms.iterrows())]
        if len(self.kept):
            worse = self.answer["worse"]
            counts = ", ".join(f"{name} in {worse[name]}" for name in worse.index)
            told.append(
                f"Of {len(self.kept)} windows of {self.window} outcomes, worse than promised were:"
                f" {counts}. Neighbouring windows share outcomes; the alarm is the test."
            )
        if len(self.inputs):
            moved = int(self.inputs["moved"].sum())
            told.append(f"Of {len(self.inputs)} columns {moved} moved; that is news of the market.")
        return told + [f"Not told: {remark}." for remark in self.remarks]


def _on_skill(claims: pd.DataFrame) -> list[str]:
    """What skill was promised."""
    if claims.empty:
        return []
    row, found = claims.loc["lead"], claims["value"]
    said = (
        f"in the earlier half the ensemble was right in {found['accuracy']:.1%} of outcomes,"
        f" {BASELINE} in {found['baseline']:.1%} of the same, a lead of {100 * row['value']:+.1f}"
        f" points ({100 * row['low']:+.1f} to {100 * row['high']:+.1f})"
    )
    if row["low"] > 0:
        return [f"Skill was promised: {said}."]
    return [f"No skill was promised, so there is none to lose: {said}."]


def _on_alarm(stream: str, row: pd.Series) -> str:
    """What became of one alarm."""
    said = f"The alarm on {stream}, at a claim of {row['claim']:.1%},"
    if pd.isna(row["raised_at"]):
        return f"{said} was not raised in {row['outcomes']:,} outcomes."
    where = f"{said} was raised at the bar of {row['raised_at']:%Y-%m-%d %H:%M}"
    if stream == OWN:
        return f"{where}: predictions are right less often than promised."
    return (
        f"{where}, {row['after']:,.0f} outcomes after the break; the bound is {row['bound']:,.0f}."
    )


def halves(study: Study) -> Halves:
    """Watch the later half of a study's walk-forward as if it had come live.

    Parameters
    ----------
    study : Study
        Validated and simulated, or now. Bars of the holdout are not read.

    Returns
    -------
    Halves
        Its windows, levels and the horizon are those of the params.
    """
    rows = _answers(study)
    since, broken = _borders(study, rows)
    earlier, later = _both(rows, since)
    symbols = rows.index.get_level_values("symbol").nunique()
    window = study.params.monitoring.window * symbols
    overlap = max(_open(rows), study.params.labeling.horizon * symbols)
    told: dict[str, Any] = {"window": window, "overlap": overlap}
    remarks: list[str] = []

    def attempt(name: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """A table, or an empty one and the reason."""
        try:
            return make()
        except DataError as cause:
            remarks.append(f"{name}: {cause}")
            return pd.DataFrame()

    told["promise"] = attempt("performance", lambda: promised(earlier, window=window))
    told["scores"] = attempt("performance", lambda: _scores(later, window))
    if len(told["promise"]) and len(told["scores"]):
        told["kept"] = kept(told["scores"], told["promise"], window=window)
    names = _rivals(study, since)
    if study.params.labeling.target == "target_volatility":
        remarks.append("alarm, challenger: a volatility has no side that is right or wrong")
    else:
        right = [_in_order(part) for part in (earlier, later)]
        told["claims"] = attempt("alarm", lambda: _claims(study, right[0], since))
        told["lead"] = attempt("challenger", lambda: _lead(study, names, since, overlap))
    if len(told.get("claims", ())):
        low = told["claims"]["low"]
        told["evidence"], told["alarms"] = _streams(study, right[1], broken, low, overlap)
    told |= _drifts(study, rows, since, attempt)
    pair = dict(zip(("champion", "challenger"), names, strict=True))
    return Halves(since, broken, **pair, **told, remarks=tuple(dict.fromkeys(remarks)))


def _answers(study: Study) -> pd.DataFrame:
    """The ensemble's settled predictions, whether sets held, what the signal earned."""
    found = study.validate().xs(ENSEMBLE, level="model_id")
    found = found[found["actual"].notna() & found["prediction"].notna()]
    sets, equity = study.evidence("sets"), study.backtest().table("equity")["strategy"]
    if "threshold" in sets:  # a set of every class held nothing that could be missed
        sets = sets[np.isfinite(sets["threshold"])]
    times = found.index.get_level_values("time")
    paid = equity.pct_change().shift(-1).reindex(times).to_numpy()
    return found.assign(covered=sets["covered"].reindex(found.index), paid=paid).sort_index()


def _both(table: pd.DataFrame, since: pd.Timestamp) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The halves, without what one of them says nothing of."""
    parts = _parts(table, since)
    mute = [name for name in ("covered", "paid") if any(part[name].isna().all() for part in parts)]
    return parts[0].drop(columns=mute), parts[1].drop(columns=mute)


def _borders(study: Study, rows: pd.DataFrame) -> tuple[pd.Timestamp, pd.Timestamp]:
    """First bar of the later half, a fold's first, and the one from which copies are broken."""
    times = rows.index.get_level_values("time").unique().sort_values()
    begins = pd.DatetimeIndex(study.evidence("folds")["test_from"])
    since = begins[len(begins) // 2] if len(begins) > 1 else times[len(times) // 2]
    live = times[times >= since]
    return since, live[int(_BROKEN * len(live))]


def _parts(table: pd.DataFrame, since: pd.Timestamp) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the earlier half whose outcome was known by its end, and those of the later."""
    times = table.index.get_level_values("time")
    return table[(times < since) & (table["known_at"] < since)], table[times >= since]


def _open(rows: pd.DataFrame) -> int:
    """The most predictions that were open at a time, the newest counted."""
    times = np.sort(pd.DatetimeIndex(rows.index.get_level_values("time")).asi8)
    known = np.sort(pd.DatetimeIndex(rows["known_at"]).asi8)
    made = times.searchsorted(times, side="right")
    return int((made - known.searchsorted(times, side="right")).max())


def _in_order(table: pd.DataFrame) -> pd.Series:
    """Whether each prediction was right, in order of time and symbol, as an alarm takes them."""
    right = settled(table)["right"].astype(float)
    order = right.index.to_frame(index=False).sort_values(["time", "symbol"]).index
    return right.iloc[order]


def _scores(later: pd.DataFrame, window: int) -> pd.DataFrame:
    """Scores of full windows of the later half."""
    step = max(1, later["known_at"].nunique() // _MOMENTS)
    found = rolling(later, window=window, step=step)
    if not (found["n"] == window).any():
        raise DataError(f"the later half holds no window of {window} predictions")
    return found[found["n"] == window]


def _right(study: Study, model: str) -> pd.Series:
    """Whether each settled prediction of a model was right."""
    return settled(study.validate().xs(model, level="model_id"))["right"].astype(float)


def _lent(right: pd.Series, until: pd.Timestamp) -> pd.Series:
    """Outcomes of one who is told at every third bar before a moment what will come."""
    times = right.index.get_level_values("time")
    told = pd.factorize(times, sort=True)[0] % _TOLD == 0
    return right.mask(told & (times < until), 1.0)


def _claims(study: Study, right: pd.Series, since: pd.Timestamp) -> pd.DataFrame:
    """Accuracy in the earlier half beside that of MAJORITY and of the copy, with intervals."""
    own = {"accuracy": right, "baseline": _right(study, BASELINE), "lent": _lent(right, since)}
    table = pd.DataFrame(own).dropna().sort_index(level="time")
    if table.empty:
        raise DataError(f"nothing had settled by {since}")
    times, held = pd.DatetimeIndex(table.index.get_level_values("time")), study.params.validation
    outcomes = table.to_numpy()

    def statistic(weight: np.ndarray) -> pd.Series:
        shares = pd.Series(weight @ outcomes / weight.sum(), table.columns)
        return pd.concat([shares, pd.Series({"lead": shares.iloc[0] - shares.iloc[1]})])

    how = {"block": min(study.block, times.nunique()), "draws": held.draws, "level": held.level}
    found = bootstrap_ci(statistic, times, **how, seed=study.params.training.seed)
    found = found.drop(columns="p").rename_axis("measure")
    if not found.loc[["accuracy", "lent"], "low"].between(0, 1, inclusive="neither").all():
        raise DataError("an interval of the accuracy ends at 0 or 1; a bet on that has no price")
    return found


def _streams(
    study: Study, right: pd.Series, broken: pd.Timestamp, claims: pd.Series, overlap: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Evidence and alarm of the stream as it is, and of its copy."""
    evidence, alarms = {}, {}
    streams = {OWN: (right, "accuracy"), COPY: (_lent(right, broken), "lent")}
    for name, (outcomes, measure) in streams.items():
        alpha = study.params.monitoring.alpha
        alarm = Alarm(float(claims[measure]), overlap=overlap, alpha=alpha)
        found = {}
        for (symbol, time), value in outcomes.items():
            alarm.update(time, value, symbol)
            found[time] = alarm.evidence
        evidence[name] = pd.Series(found)
        alarms[name] = _told(alarm, outcomes, broken)
    columns = pd.DataFrame(evidence).rename_axis("time")
    return columns, pd.DataFrame.from_dict(alarms, orient="index").rename_axis("stream")


def _told(alarm: Alarm, right: pd.Series, broken: pd.Timestamp) -> dict[str, Any]:
    """A row on one alarm."""
    times = right.index.get_level_values("time")
    share, raised = float(right[times >= broken].mean()), alarm.raised_at
    row = {"claim": alarm.accuracy, "outcomes": alarm.n, "right": share, "highest": alarm.highest}
    row["raised_at"] = pd.NaT if raised is None else raised
    row["after"] = (
        np.nan if raised is None else float(((times >= broken) & (times <= raised)).sum())
    )
    fell = 0 < share < alarm.accuracy
    bound = delay_bound(alarm.accuracy, share, alpha=alarm.alpha) if fell else np.nan
    return row | {"bound": bound * alarm.overlap}


def _drifts(
    study: Study,
    rows: pd.DataFrame,
    since: pd.Timestamp,
    attempt: Callable[[str, Callable[[], pd.DataFrame]], pd.DataFrame],
) -> dict[str, pd.DataFrame]:
    """Drift of inputs, of what the ensemble says, and of a column that is shifted."""
    read, last = study.features().dropna(), rows.index.get_level_values("time").max()
    how = {"since": since, "at": last, "window": study.params.monitoring.drift_window}
    found = {
        "inputs": attempt("drift", lambda: drift(read, **how)),
        "outputs": attempt("drift", lambda: drift(outputs(rows).dropna(), **how)),
    }
    if len(found["inputs"]):
        live = read.index.get_level_values("time") >= since
        column = read[_quiet(found["inputs"])]
        moved = (column + _SHIFT * column.std() * live).to_frame()
        found["shifted"] = drift(moved, **how)
    return found


def _quiet(found: pd.DataFrame) -> str:
    """The column that moves most of those that hardly move by themselves, else the quietest."""
    inside = found["psi_inside"]
    hardly = inside[(inside < MOVED) & ~found["moved"]]
    return str(hardly.idxmax() if len(hardly) else inside.idxmin())


def _rivals(study: Study, since: pd.Timestamp) -> tuple[str, str]:
    """The model that was right most often in the earlier half, and the next; else the baseline."""
    shares = {}
    for name in study.params.training.models:
        right = _right(study, name)
        shares[name] = right[right.index.get_level_values("time") < since].mean()
    best = sorted(shares, key=lambda name: -shares[name])
    return best[0], [*best, BASELINE][1]


def _lead(study: Study, names: tuple[str, str], since: pd.Timestamp, overlap: int) -> pd.DataFrame:
    """How much more often the challenger was right in the later half, after each time."""
    table = study.validate()
    pair = [_parts(table.xs(name, level="model_id"), since)[1] for name in names]
    found = paired(*pair, overlap=overlap, alpha=study.params.monitoring.alpha)
    return found.groupby(level="time").last()
