"""A study: the stages in order, each read from the store where it was made before.

A stage's identity is the hash of its params, its code and libraries, the data, and the
identities of the stages before it; under an identity that the store knows, a stage is
read, not computed.

Two scopes: `research`, bars before `validation.holdout_from`, and `whole`, all bars, which
opens only where the params say `backtesting: {open_holdout: true}`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from functools import cached_property
from typing import Any

import pandas as pd

from signalkit import collection, features, lineage, params, training, validation
from signalkit.bars import bars_per_year
from signalkit.errors import LeakError
from signalkit.signals import find_rules
from signalkit.splits import WalkForward
from signalkit.store import Artifact, Artifacts, Store, data_folder
from signalkit.study.checks import (
    check_cells,
    check_holdout,
    check_lengths,
    check_news,
    check_opened,
)
from signalkit.study.inputs import digests, load
from signalkit.study.luck import luck
from signalkit.study.stages import (
    RESEARCH,
    STAGES,
    WHOLE,
    features_asked,
    holdout_from,
)
from signalkit.study.sweep import sweep
from signalkit.study.telling import alarms, as_html, caveats

# blocks of the bootstrap last at least this many horizons
_BLOCK_HORIZONS = 4


class Study:
    """One study over one store; open it with `Study.open`."""

    def __init__(self, asked: params.Params) -> None:
        self.params = asked
        self.computed: list[str] = []
        self._found: dict[tuple[str, str], Artifact] = {}

    @classmethod
    def open(cls, study_name: str = "quickstart", **sections: Any) -> Study:
        """A study from params sections; what is left out has its default.

        Parameters
        ----------
        study_name : str
            Name of the study and of its report's folder.
        **sections : dict
            Sections of a params file, such as `labeling={"horizon": 5}`.

        Raises
        ------
        ParamsError
            If a section, name or value is not one that the schema declares. In a notebook
            this covers every name that its parameters cells set.
        """
        check_cells()
        asked = params.parse({"study_name": study_name} | sections)
        find_rules(asked.signals.fusion.rules)
        return cls(asked)

    @cached_property
    def store(self) -> Store:
        """The store, opened when first needed."""
        return Store.open()

    @cached_property
    def periods_per_year(self) -> float:
        """Bars in a year by the study's calendar."""
        return bars_per_year(self.params.collection.interval, self.params.collection.calendar)

    @cached_property
    def splits(self) -> WalkForward:
        """The folds of the validation section."""
        held = self.params.validation
        return WalkForward(
            held.train, held.test, step=held.step, expanding=held.expanding, gap=held.gap
        )

    @property
    def block(self) -> int:
        """Bars in a bootstrap block: `validation.block`, else four horizons."""
        return self.params.validation.block or _BLOCK_HORIZONS * self.params.labeling.horizon

    @cached_property
    def clock(self) -> features.Clock:
        """Which bars follow on each other, for features."""
        kept = self.params.collection
        return features.Clock(kept.interval, kept.calendar, self.params.features.max_gap)

    def identity(self, stage: str, scope: str = RESEARCH) -> dict[str, Any]:
        """What a stage is made from, with its identity."""
        made = STAGES[stage]
        own = made.params(self)
        if stage != "collection":
            own |= {"until": None if scope == WHOLE else self.params.validation.holdout_from}
        upstream = {name: self.identity(name, scope)["identity"] for name in made.upstream}
        return lineage.identity(
            stage,
            params=own,
            modules=made.modules,
            upstream=upstream,
            data=self._data_digests if stage == "collection" else None,
            glue=("signalkit.study.stages", "signalkit.study.study", *made.glue),
        )

    @cached_property
    def _data_digests(self) -> dict[str, str]:
        """SHA-256 of the data, by symbol and for the news."""
        return digests(self.params)

    def artifact(self, stage: str, scope: str = RESEARCH) -> Artifact:
        """A stage's artifact: read where it exists, else made and stored.

        Raises
        ------
        LeakError
            If it holds bars of the holdout and the params leave that closed.
        """
        closed = not self.params.backtesting.open_holdout
        if closed and (scope == WHOLE or stage == "collection"):
            raise LeakError(
                "the holdout is closed; set backtesting: {open_holdout: true} to read bars from"
                f" {self.params.validation.holdout_from} on, and it is counted"
            )
        return self._artifact(stage, scope)

    def _artifact(self, stage: str, scope: str) -> Artifact:
        """A stage's artifact, for the stages themselves."""
        key = (stage, scope)
        if not self._found:
            self.check()
        if key not in self._found:
            about = self.identity(stage, scope)
            found = self.store.artifacts.find(stage, about["identity"])
            if found and STAGES[stage].session:
                self._tidy(about["identity"])
            self._found[key] = found or self._make(stage, scope, about)
        return self._found[key]

    def _tidy(self, identity: str) -> None:
        """Finish what a process left that stored a stage and was killed right after."""
        self.store.checkpoints.at(identity).clear()
        self.store.sessions.complete(identity)

    def _make(self, stage: str, scope: str, about: dict[str, Any]) -> Artifact:
        """Compute a stage and store it, inside its session where it has one."""
        with ExitStack() as running:
            own = STAGES[stage].session
            told = () if own is None else (running.enter_context(own(self, scope)),)
            tables, files = STAGES[stage].make(self, scope, *told)
            self.computed.append(stage)
            made = self.store.artifacts.write(about, tables=tables, files=files)
        self.store.checkpoints.at(about["identity"]).clear()
        return made

    def check(self) -> None:
        """Compare the params with the data before anything is computed or stored.

        Raises
        ------
        ParamsError, DataError, SourceError
            With the place in the params and what would do.
        """
        check_news(self)
        check_holdout(self.params, self.every_bar)
        check_lengths(self, self.every_bar)
        check_opened(self, self.every_bar)

    @cached_property
    def every_bar(self) -> pd.DataFrame:
        """Every bar that the collection section asks for, the holdout's too.

        For `check` and the collection stage alone; getting it stores nothing.
        """
        kept = Artifacts(data_folder() / "artifacts")
        found = kept.find("collection", self.identity("collection")["identity"])
        return found.table("bars") if found else load(self.params)

    # the stages, in order

    def bars(self) -> pd.DataFrame:
        """Bars before the holdout, a panel indexed by (symbol, time)."""
        return self.panel(RESEARCH)

    def panel(self, scope: str) -> pd.DataFrame:
        """Bars of a scope: before the holdout, or all where it is open."""
        if scope == WHOLE:
            return self.artifact("collection", scope).table("bars")
        self._artifact("collection", scope)
        times = self.every_bar.index.get_level_values("time")
        return self.every_bar[times < holdout_from(self.params)]

    @property
    def has_news(self) -> bool:
        """Whether the params ask for news."""
        return self.params.collection.news.source != "none"

    def news(self) -> pd.DataFrame:
        """News known before the holdout, indexed by `known_at`; empty where none is asked for."""
        return self.news_until(RESEARCH)

    def news_until(self, scope: str) -> pd.DataFrame:
        """News of a scope: known before the holdout, or all where it is open."""
        found = self._artifact("collection", RESEARCH)
        if scope == WHOLE:
            found = self.artifact("collection", WHOLE)
        news = found.table("news")
        news["symbols"] = news["symbols"].map(tuple)
        return news if scope == WHOLE else news[news.index < holdout_from(self.params)]

    def sources(self) -> pd.DataFrame:
        """Where the bars are from, and what their files are, a row a symbol."""
        return self._artifact("collection", RESEARCH).table("sources")

    def findings(self) -> pd.DataFrame:
        """What was decided while reading, defects that were flagged, and outages.

        Stretches that begin in the holdout are left out, those that reach into it cut.
        """
        found, border = (
            self._artifact("collection", RESEARCH).table("findings"),
            holdout_from(self.params),
        )
        found = found[~(found["first"] >= border)]
        return found.assign(last=found["last"].where(~(found["last"] >= border), border))

    def revisions(self) -> pd.DataFrame:
        """Bars before the holdout that their source changed later, as they were before."""
        found = self._artifact("collection", RESEARCH).table("revisions")
        return found[found.index.get_level_values("time") < holdout_from(self.params)]

    def features(self) -> pd.DataFrame:
        """Features of the bars, NaN in warm-up."""
        return self.artifact("features").table("features")

    def gaps(self) -> pd.DataFrame:
        """Bars missing before a bar, and whether features bridge them or start anew."""
        return self.artifact("features").table("gaps")

    def columns(self) -> pd.DataFrame:
        """What each feature is missing on each symbol, and whether it ever changes."""
        return self.artifact("features").table("columns").set_index(["feature", "symbol"])

    def labels(self) -> pd.DataFrame:
        """Labels of the bars, with `known_at`."""
        return self.artifact("labeling").table("labels")

    def train(self) -> pd.DataFrame:
        """Models fitted on the newest training window, and their fit inside it."""
        return self.artifact("training").table("models")

    def validate(self) -> pd.DataFrame:
        """Out-of-sample predictions of every model, the ensemble and the baselines."""
        return self.artifact("validation").table("predictions")

    def trained(self, name: str) -> pd.DataFrame:
        """A table of the training stage.

        `importance` is the share of gain of each feature, a column a model; `history` the loss
        by round or epoch of models that were watched; `costs` seconds and megabytes, which
        differ from run to run; `selection` what became of each feature in the newest window.
        """
        return self.artifact("training").table(name)

    def evidence(self, name: str) -> pd.DataFrame:
        """A table of the validation stage.

        Of predictions: `scores`, `by_fold`, `parts` (by fold, symbol, age and regime),
        `comparison`, `placebo`, `reliability`, `calibration`, `sets`, `raw`, `regime`. Of the
        ensemble: `weights`, `disagreement`, `stood`. Of the folds: `folds`, `fits`, `history`,
        `tuned`, `selection`. Of features: `permutation`, `information`, `agreement`.
        """
        return self.artifact("validation").table(name)

    def signals(self) -> pd.DataFrame:
        """Position wanted at each bar end, a fraction of equity."""
        return self.artifact("signals").table("weights")

    def backtest(self) -> Artifact:
        """The simulation.

        Tables of the account: `equity returns positions trades accounts statistics intervals`,
        `months rolling attribution by_confidence by_regime by_model`; of what it could have
        been: `sharpe sharpe_low bracket legal break_even capacity limits`. Seeing it is a
        trial: the configuration and its return series go to the ledger.
        """
        return self._recorded(RESEARCH)

    def sweep(self, thresholds: Iterable[float]) -> pd.DataFrame:
        """Statistics of the account at each of several thresholds, each a trial of the ledger."""
        return sweep(self, thresholds)

    def holdout(self) -> Artifact | None:
        """The simulation on the holdout, None while the params leave it closed.

        Tables of the account: `equity returns positions trades accounts statistics intervals
        attribution`; and `sharpe sharpe_low bracket legal`. Opening it is counted.
        """
        return self._recorded(WHOLE) if self.params.backtesting.open_holdout else None

    def _recorded(self, scope: str) -> Artifact:
        """A simulation whose returns are in the ledger."""
        found = self.artifact("backtesting", scope)
        series = lineage.file_digest(found.path("equity.parquet"))
        self.store.ledger.record(
            self.configuration(),
            series=series,
            artifact=found.identity,
            holdout=scope == WHOLE,
        )
        return found

    def configuration(self) -> dict[str, Any]:
        """Everything that tells this trial from another, features by name and source."""
        return self.params.configuration() | {"features": features_asked(self)}

    def opened(self) -> int:
        """Configurations that have seen returns of this study's holdout.

        This one is among them from the moment its params open it, so that notebooks before the
        last say the same however often they are executed.
        """
        kept, border = self.params.collection, self.params.validation.holdout_from
        own = self.configuration() if self.params.backtesting.open_holdout else None
        return self.store.ledger.opened(kept.source, kept.symbols, border, own=own)

    def verdict(self) -> pd.DataFrame:
        """The verdict's table: value, interval, baseline, number of trials."""
        table = validation.verdict(
            self.evidence("scores"),
            self.backtest().table("sharpe"),
            self.backtest().table("sharpe_low"),
            target=self.params.labeling.target,
            model=training.ENSEMBLE,
        )
        return table.assign(trials=int(self.luck()["trials"]))

    def luck(self) -> pd.Series:
        """What the Sharpe ratio is worth, given all that was tried on the same market."""
        return luck(self)

    def words(self) -> list[str]:
        """The verdict in computed words, and what takes away from it."""
        level = self.params.validation.level
        told = validation.words(self.verdict(), self.luck(), level=level, alarms=self.alarms())
        return told + caveats(self)

    def words_html(self) -> str:
        """What `words` says, alarms first and in red, for the end of a notebook."""
        return as_html(self.words(), self.alarms())

    def alarms(self) -> list[str]:
        """Scores too good to be believed, each with the likeliest cause; none where all is well."""
        return [found.words for found in alarms(self)]

    def coverage(self) -> pd.DataFrame:
        """What is there of each symbol before the holdout, and what is missing or odd."""
        kept = self.params.collection
        return collection.coverage(self.bars(), kept.interval, kept.calendar)

    def origin(self, stage: str) -> pd.Series:
        """Identity of a stage and of what it came from, shortened, for the end of a notebook."""
        about = self.identity(stage)
        parts = {"stage": stage, "identity": about["identity"]} | about["upstream"]
        return pd.Series({name: value[:12] for name, value in parts.items()}, name="origin")
