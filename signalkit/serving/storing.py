"""A prediction that was asked for, as rows of the store: once a bar, and only of new bars."""

from __future__ import annotations

from signalkit.inference import IN_SAMPLE, EnsemblePrediction, Prediction
from signalkit.serving.database import Database
from signalkit.store import Asked, Predicted, Store
from signalkit.store.predictions import ENSEMBLE

# in the detail of a row: somebody asked for it, the loop did not come by
_BY_REQUEST = "by_request"
# bars of a symbol after the loop's last answer and before another bar, that nobody answered
_BEHIND = f"""WITH said AS (SELECT prediction_timestamp AS time, detail FROM ml_predictions
    WHERE made_by = '{ENSEMBLE}' AND symbol = :symbol AND prediction_type = :target
    AND interval = :interval AND horizon = :horizon)
    SELECT 1 FROM bars WHERE symbol = :symbol AND interval = :interval AND time < :time
    AND time > (SELECT max(time) FROM said WHERE json_extract(detail, '$.{_BY_REQUEST}') IS NULL)
    AND time NOT IN (SELECT time FROM said) LIMIT 1"""  # noqa: S608 - constants


def keep(database: Database, answer: Prediction, *, past: bool) -> bool:
    """Store an answer, and the votes behind it.

    Parameters
    ----------
    database : Database
        The server's.
    answer : Prediction
        What the predictor said.
    past : bool
        Whether it was asked for a moment that is over; that is no prediction.

    Returns
    -------
    bool
        Whether it is in the store now. Not where it was refused, or where a model of it was
        trained on its bar, or on labels that reach into its outcome; nor while the loop that
        answers this question has bars before it to answer.
    """
    if past or answer.refused or answer.time is None:
        return False
    if any(flag.code == IN_SAMPLE for flag in answer.flags):
        return False
    made = _rows(answer)
    with database.writing() as store:
        if _loop_is_behind(store, made[0]):
            return False
        store.predictions.write(made)
        return _there(store, made[0])


def _loop_is_behind(store: Store, row: Predicted) -> bool:
    """Whether the loop answers this question and has earlier bars to answer.

    It goes on from the newest answer: one that is ahead of it would have it leave those out.
    """
    asked = row.asked._asdict() | {"symbol": row.symbol, "time": row.time}
    return store.db.execute(_BEHIND, asked).fetchone() is not None


def _rows(answer: Prediction) -> list[Predicted]:
    """The answer itself first, then votes. A model's own row has its own confidence."""
    asked = Asked(answer.target, answer.interval, answer.horizon)
    place = {"symbol": answer.symbol, "asked": asked, "time": answer.time.as_unit("ns").value}
    told = answer.to_dict()
    detail = {name: told[name] for name in ("flags", "left_out")} | {_BY_REQUEST: True}
    votes = []
    sure = answer.confidence
    if isinstance(answer, EnsemblePrediction):
        more = ("prediction_set", "prediction_interval", "disagreement")
        detail |= {name: told[name] for name in more}
        detail |= {"weights": {str(vote.model): vote.weight for vote in answer.votes}}
        votes = [
            Predicted(
                made_by=str(vote.model),
                value=vote.value,
                confidence=vote.confidence,
                probabilities=vote.probabilities,
                origin=answer.origin,
                detail={"flags": told["flags"], _BY_REQUEST: True},
                **place,
            )
            for vote in answer.votes
        ]
    elif answer.model is not None and answer.probabilities is not None:
        sure = max(answer.probabilities.values())
    first = Predicted(
        made_by=ENSEMBLE if answer.model is None else str(answer.model),
        value=answer.value,
        confidence=sure,
        probabilities=answer.probabilities,
        origin=answer.origin,
        detail=detail,
        **place,
    )
    return [first, *votes]


def _there(store: Store, row: Predicted) -> bool:
    """Whether a row of this bar is stored."""
    of = {"target": row.asked.target, "interval": row.asked.interval}
    newest = store.predictions.page(
        symbol=row.symbol, made_by=row.made_by, horizon=row.asked.horizon, limit=1, **of
    )
    return bool(newest) and newest[0]["prediction_timestamp"] == row.time
