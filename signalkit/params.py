"""What a study asks: one typed section a stage; a name nobody declares is refused.

A params file is YAML: `study_name` and sections that hold only what differs from the
defaults, which describe the bundled sample. The comment on top is the question. Checks
here need no data: what must be compared with the bars is checked by the study.
"""

from __future__ import annotations

import difflib
import re
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from signalkit.errors import ParamsError

Model = Literal["XGBOOST", "LIGHTGBM"]
Target = Literal["signal_direction", "target_return"]
Fill = Literal["next_open", "next_close", "close"]


def timestamp(text: str) -> datetime:
    """UTC time that a params date names.

    Raises
    ------
    ParamsError
        If there is no such day or time.
    """
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as cause:
        raise ParamsError(f"{text!r} is no date: {cause}; write one such as '2016-01-31'") from None


def _date(text: str) -> str:
    """Check a date and leave it as it was written."""
    timestamp(text)
    return text


def _symbol(text: str) -> str:
    """Symbols name files: letters, digits and . _ - only."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", text):
        raise ParamsError("a symbol is up to 32 letters, digits, '.', '_' or '-'")
    return text


def _interval(text: str) -> str:
    """Intervals are a count and a unit."""
    if not re.fullmatch(r"[1-9]\d*[mhdw]", text):
        raise ParamsError("an interval is a count and one of m, h, d, w, such as 1h")
    return text


Date = Annotated[str, AfterValidator(_date)]
Symbol = Annotated[str, AfterValidator(_symbol)]
Interval = Annotated[str, AfterValidator(_interval)]
Bars = Annotated[int, Field(ge=1)]
Bps = Annotated[float, Field(ge=0, le=1000)]


class Section(BaseModel):
    """A section: strict types, finite numbers, no unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Collection(Section):
    """Which bars."""

    source: Literal["sample", "files"] = "sample"
    symbols: Annotated[list[Symbol], Field(min_length=1)] = ["SP500", "NASDAQ"]
    interval: Interval = "1d"
    start: Date | None = None
    end: Date | None = None
    path: str | None = None
    calendar: str = "XNYS"
    tz: str | None = None


class Features(Section):
    """Which columns; empty `names` takes every feature of the families."""

    families: Annotated[list[str], Field(min_length=1)] = [
        "price",
        "technical",
        "volume",
        "calendar",
        "lagged",
        "rolling",
        "volatility",
    ]
    names: list[str] = []


class Labeling(Section):
    """What is predicted."""

    target: Target = "signal_direction"
    horizon: Bars = 5
    threshold: Annotated[float, Field(ge=0)] = 0.5
    volatility_span: Annotated[int, Field(ge=2)] = 60


class Training(Section):
    """Which models, and how they are fitted."""

    models: Annotated[list[Model], Field(min_length=1)] = ["XGBOOST", "LIGHTGBM"]
    rounds: Annotated[int, Field(ge=1, le=10_000)] = 100
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.03
    depth: Annotated[int, Field(ge=1, le=12)] = 3
    min_rows_leaf: Annotated[int, Field(ge=1)] = 50
    row_share: Annotated[float, Field(gt=0, le=1)] = 0.7
    column_share: Annotated[float, Field(gt=0, le=1)] = 0.7
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 7


class Validation(Section):
    """How evidence is gathered."""

    train: Bars = 1000
    test: Bars = 250
    step: Bars | None = None
    expanding: bool = False
    gap: Annotated[int, Field(ge=0)] = 0
    holdout_from: Date = "2016-01-01"
    draws: Annotated[int, Field(ge=100, le=100_000)] = 1000
    block: Bars | None = None
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95


class Signals(Section):
    """How predictions become positions."""

    threshold: Annotated[float, Field(ge=0, lt=1)] = 0.0
    direction: Literal["long_short", "long_only"] = "long_short"


class Backtesting(Section):
    """How positions become money."""

    fill: Fill = "next_close"
    fee_bps: Bps = 2.0
    slippage_bps: Bps = 1.0
    max_leverage: Annotated[float, Field(gt=0, le=10)] = 1.0
    open_holdout: bool = False


class Params(Section):
    """A whole study: its name and one section a stage."""

    study_name: Symbol = "quickstart"
    collection: Collection = Collection()
    features: Features = Features()
    labeling: Labeling = Labeling()
    training: Training = Training()
    validation: Validation = Validation()
    signals: Signals = Signals()
    backtesting: Backtesting = Backtesting()

    def configuration(self) -> dict[str, Any]:
        """Everything that tells one trial from another: not the name, not the holdout's door."""
        asked = self.model_dump(exclude={"study_name": True, "backtesting": {"open_holdout"}})
        return asked


SECTIONS = tuple(name for name in Params.model_fields if name != "study_name")


def check_names(names: list[str]) -> None:
    """Refuse a name that is not `study_name` or a section.

    Raises
    ------
    ParamsError
        With the near match.
    """
    for name in names:
        if name not in Params.model_fields:
            raise ParamsError(f"params, {name}: {_unknown([name])}")


class _Loader(yaml.SafeLoader):
    """YAML without dates (they stay text, as in papermill) and without repeated keys."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag != "tag:yaml.org,2002:timestamp"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    """A mapping whose keys are text and differ."""
    keys = [loader.construct_object(key) for key, _ in node.value]
    for key, (key_node, _) in zip(keys, node.value, strict=True):
        line = key_node.start_mark.line + 1
        if not isinstance(key, str):
            raise ParamsError(f"line {line}: the name {key!r} is not text; quote it")
        if keys.count(key) > 1:
            raise ParamsError(f"line {line}: '{key}' stands twice in one section; keep one")
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read(path: Path) -> Params:
    """Params of a study from a YAML file.

    Parameters
    ----------
    path : Path
        The params file.

    Raises
    ------
    ParamsError
        With file, line, section and name, what was found and what would do.
    """
    if not path.exists():
        raise ParamsError(f"{path}: no such params file")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise ParamsError(f"{path} cannot be read as UTF-8 text: {cause}") from None
    try:
        content = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as cause:
        raise ParamsError(f"{path} is not YAML: {' '.join(str(cause).split())}") from None
    except ParamsError as cause:
        raise ParamsError(f"{path} {cause}") from None
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise ParamsError(f"{path} must hold sections such as 'labeling:', was {content!r}")
    return parse({"study_name": path.stem} | content, where=path, lines=_lines(text))


def question(path: Path) -> str:
    """The comment on top of a params file: what the study asks."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").strip())
    return " ".join(lines)


def line_of(path: Path, message: str) -> str:
    """Where a message's `section.name:` stands in a params file, as ` line N`, or nothing."""
    place = tuple(message.split(":")[0].split("."))
    lines = _lines(path.read_text(encoding="utf-8"))
    found = lines.get(place) or lines.get(place[:1])
    return f" line {found}" if found else ""


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Line number of every name in a params file, one or two levels deep."""
    found: dict[tuple[str, ...], int] = {}
    root = yaml.compose(text, Loader=_Loader)
    for key, value in getattr(root, "value", []):
        found[(key.value,)] = key.start_mark.line + 1
        if isinstance(value, yaml.MappingNode):
            for inner, _ in value.value:
                found[(key.value, inner.value)] = inner.start_mark.line + 1
    return found


def parse(
    content: dict[str, Any],
    *,
    where: Path | str = "params",
    lines: dict[tuple[str, ...], int] | None = None,
) -> Params:
    """Params from a dict of sections; every error names its place.

    Parameters
    ----------
    content : dict
        `study_name` and sections.
    where : Path or str
        Where the content comes from, for messages.
    lines : dict, optional
        Line numbers of the names, for messages.
    """
    try:
        params = Params.model_validate(content)
    except ValidationError as refused:
        first = refused.errors()[0]
        place = tuple(str(part) for part in first["loc"])
        raise ParamsError(f"{_place(where, place, lines)}: {_rule(first)}") from None
    _check_together(params, where, lines or {})
    return params


def _place(where: Path | str, place: tuple[str, ...], lines: dict | None) -> str:
    """File, line and dotted name."""
    line = (lines or {}).get(place[:2]) or (lines or {}).get(place[:1])
    return f"{where}{f' line {line}' if line else ''}, {'.'.join(place)}"


def _rule(error: dict[str, Any]) -> str:
    """One broken rule in our words: what was found, what would do."""
    found = error["input"]
    if error["type"] == "extra_forbidden":
        return _unknown([str(part) for part in error["loc"]])
    if error["type"] == "value_error":
        cause = str(error["ctx"]["error"])
        return cause if repr(found) in cause else f"{cause}, was {found!r}"
    hint = ""
    if isinstance(found, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?e[-+]?\d+", found, re.IGNORECASE):
        hint = "; YAML reads it as text, write it with a point such as 1.0e-3"
    if error["type"] == "string_type" and isinstance(found, bool | int | float):
        hint = "; quote it"
    return f"{error['msg'][0].lower()}{error['msg'][1:]}, was {found!r}{hint}"


def _unknown(place: list[str]) -> str:
    """An undeclared name, with the nearest declared one."""
    model = Params if len(place) == 1 else Params.model_fields[place[0]].annotation
    known = list(model.model_fields)
    near = difflib.get_close_matches(place[-1], known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"it declares {', '.join(known)}"
    section = f"section '{place[0]}'" if len(place) > 1 else "a study"
    return f"{section} does not declare '{place[-1]}'; {hint}"


def _check_together(params: Params, where: Path | str, lines: dict) -> None:
    """Rules that join two names."""
    asked, held = params.collection, params.validation
    if asked.source == "files" and not asked.path:
        place = _place(where, ("collection", "source"), lines)
        raise ParamsError(f"{place}: files needs collection.path, such as 'prices/{{symbol}}.csv'")
    if asked.source == "sample" and asked.path:
        place = _place(where, ("collection", "path"), lines)
        raise ParamsError(f"{place}: the sample has no path, was {asked.path!r}; set source: files")
    for name in ("interval", "calendar", "tz") if asked.source == "sample" else ():
        found, own = getattr(asked, name), Collection.model_fields[name].default
        if found != own:
            place = _place(where, ("collection", name), lines)
            raise ParamsError(f"{place}: the sample has {own}, was {found!r}; leave it out")
    lists = {"collection.symbols": asked.symbols, "training.models": params.training.models}
    lists |= {f"features.{n}": getattr(params.features, n) for n in ("families", "names")}
    for name, found in lists.items():
        if len(set(found)) < len(found):
            place = _place(where, tuple(name.split(".")), lines)
            raise ParamsError(f"{place}: one stands twice in {found}; keep one")
    order = [("collection.start", asked.start), ("validation.holdout_from", held.holdout_from)]
    order += [("collection.end", asked.end)]
    dated = [(name, timestamp(text), text) for name, text in order if text]
    for (before, first, a), (after, second, b) in pairwise(dated):
        if first >= second:
            place = _place(where, tuple(after.split(".")), lines)
            raise ParamsError(f"{place}: must come after {before} {a!r}, was {b!r}")
    if held.step is not None and held.step < held.test:
        place = _place(where, ("validation", "step"), lines)
        raise ParamsError(f"{place}: must be at least test ({held.test}), was {held.step}")
