"""Any TA-Lib function as a feature, by a name from which the column can be made again.

How an output grows with prices and volumes, and whether it depends on the first bar, is found by
running TA-Lib on seeded bars; the column is divided by that, so it is free of scale. An output
for which no such rule is found is refused. Bars are taken as free of gaps.

Source: TA-Lib, https://ta-lib.org/functions
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import talib
from talib import abstract

from signalkit.bars import COLUMNS
from signalkit.errors import ParamsError
from signalkit.features import talib_scaling
from signalkit.features.talib_scaling import Recipe, Unfit

PREFIX = "talib"
_PLACE = "features.talib"
_LARGEST = 2**31 - 1  # of TA-Lib's integers

Value = int | float


class Description(NamedTuple):
    """What tables and pages say of a column."""

    family: str
    warmup: int
    unit: str
    description: str
    source: str


@dataclass(frozen=True)
class Call:
    """A TA-Lib function, the bar columns it reads and all its parameters, in its own order."""

    function: str
    inputs: tuple[str, ...]
    parameters: tuple[tuple[str, Value], ...]

    def outputs(self) -> list[str]:
        """Names of the function's outputs."""
        return list(abstract.Function(self.function).output_names)

    def lookback(self) -> int:
        """Number of first bars for which TA-Lib gives no value."""
        return _lookback(self.function, dict(self.parameters))

    def raw(self, columns: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """TA-Lib's own outputs, NaN in the lookback."""
        read = [columns[name] for name in self.inputs]
        given = getattr(talib, self.function)(*read, **dict(self.parameters))
        outs = [np.array(out, dtype=float) for out in _many(given)]
        for out in outs:
            out[: self.lookback()] = np.nan  # whole numbers come with 0 there
        return outs


def talib_names(asked: Mapping[str, str | Value]) -> list[str]:
    """Column names of a TA-Lib function, one an output.

    Parameters
    ----------
    asked : mapping
        `function`, as TA-Lib names it, and any of its parameters; those left out take TA-Lib's
        defaults. `price`, or `price0` and `price1`, name other bar columns to read, for
        functions that take any series.

    Returns
    -------
    list of str
        Letters, digits and underscores; all parameters are spelled out, so a name means the
        same column whatever the defaults are.

    Raises
    ------
    ParamsError
        If the function or a parameter is unknown, a value is of the wrong type or out of
        TA-Lib's range, or an output cannot be made free of scale.

    Examples
    --------
    >>> talib_names({"function": "AROON", "timeperiod": 25})
    ['talib_AROON_timeperiod_25_aroondown', 'talib_AROON_timeperiod_25_aroonup']
    """
    call = _call(asked)
    _recipes(call)
    return _names(call)


@cache
def parse(name: str) -> tuple[Call, int]:
    """The call that a column's name spells out, and the place of its output.

    Raises
    ------
    ParamsError
        If the name is not one that `talib_names` gives.
    """
    call = _call(_spelled_out(name))
    names = _names(call)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0) or names
        raise ParamsError(f"{_PLACE}: {name!r} is no full column name; did you mean {near[0]!r}?")
    return call, names.index(name)


def describe(name: str) -> Description:
    """Family, warm-up in bars, unit, meaning and source of a column.

    Raises
    ------
    ParamsError
        If the name is not one that `talib_names` gives, or the function is refused.
    """
    call, place = parse(name)
    recipe = _recipes(call)[place]
    unit, meaning = recipe.words(_title(call, place))
    return Description("talib", recipe.warmup, unit, meaning, f"TA-Lib {call.function}")


def compute(name: str, bars: pd.DataFrame) -> np.ndarray:
    """One TA-Lib column, made free of scale.

    Parameters
    ----------
    name : str
        As `talib_names` gives it.
    bars : DataFrame of shape (n_bars, 5)
        One symbol's bars without a gap: TA-Lib's recursions start at the first.

    Returns
    -------
    array of shape (n_bars,)
        float64, NaN in the warm-up. Past it the value is TA-Lib's, changed as `describe` says;
        0 where it is divided by the mean volume and there is none.

    Raises
    ------
    ParamsError
        If the name is not one that `talib_names` gives, or the function is refused.
    """
    call, place = parse(name)
    recipe = _recipes(call)[place]
    if len(bars) <= recipe.warmup:
        return np.full(len(bars), np.nan)
    columns = {column: bars[column].to_numpy(dtype=float) for column in COLUMNS}
    levelled = talib_scaling.levelled(columns)
    return recipe.apply(call.raw(levelled)[place], levelled)


@cache
def _recipes(call: Call) -> tuple[Recipe, ...]:
    """How each output is made free of scale."""
    try:
        return talib_scaling.recipes(call.raw, call.lookback(), pattern=_is_pattern(call.function))
    except Unfit as unfit:
        raise ParamsError(f"{_PLACE}: {_title(call, unfit.place)} {unfit}") from unfit


def _is_pattern(function: str) -> bool:
    """Whether the function's output is TA-Lib's mark of a pattern, in hundreds."""
    return function in talib.get_function_groups()["Pattern Recognition"]


def _many(given: np.ndarray | tuple[np.ndarray, ...] | list[np.ndarray]) -> list[np.ndarray]:
    """One or several outputs as a list."""
    return list(given) if isinstance(given, tuple | list) else [given]


def _call(asked: Mapping[str, str | Value]) -> Call:
    """What is asked for, checked, with the defaults filled in."""
    if not isinstance(asked, Mapping) or not isinstance(asked.get("function"), str):
        raise ParamsError(
            f"{_PLACE}: an entry names its function, such as"
            f" {{function: AROON, timeperiod: 25}}, was {asked!r}"
        )
    function = asked["function"]
    if function not in talib.get_functions():
        near = _near(function.upper(), talib.get_functions())
        raise ParamsError(f"{_PLACE}: TA-Lib has no function {near}")
    slots, defaults = _slots(function), dict(abstract.Function(function).parameters)
    known = [*(key for key, _ in slots if key), *defaults]
    for key in asked:
        if key != "function" and key not in known:
            raise ParamsError(f"{_PLACE}: {function} has no parameter {_near(str(key), known)}")
    inputs = tuple(_input(function, key, asked.get(key, column)) for key, column in slots)
    given = {key: _number(function, key, asked.get(key, v), v) for key, v in defaults.items()}
    _check_range(function, given)
    return Call(function, inputs, tuple(given.items()))


def _near(name: str, known: list[str]) -> str:
    """An unknown name with the near match, or what there is."""
    near = difflib.get_close_matches(name, known, n=1)
    few = ", ".join(known[:8]) or "none"
    return f"{name!r}; " + (f"did you mean {near[0]!r}?" if near else f"there are {few}")


def _slots(function: str) -> list[tuple[str, str]]:
    """What the function reads: the key that may name another column, or "", and its column."""
    slots: list[tuple[str, str]] = []
    for key, read in abstract.Function(function).input_names.items():
        slots += [(key, read)] if isinstance(read, str) else [("", column) for column in read]
    lacking = [column for _, column in slots if column not in COLUMNS]
    if lacking:
        raise ParamsError(
            f"{_PLACE}: {function} reads a column {lacking[0]!r}, which bars do not have; take a"
            " function that reads prices and volume, such as MA"
        )
    return slots


def _input(function: str, key: str, column: str | Value) -> str:
    """The bar column to read."""
    if column not in COLUMNS:
        raise ParamsError(
            f"{_PLACE}: {function} reads {key} from one of {list(COLUMNS)}, was {column!r}"
        )
    return str(column)


def _number(function: str, key: str, value: str | Value, default: Value) -> Value:
    """A parameter of the type TA-Lib takes: whole where its default is."""
    whole = isinstance(default, int)
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        kind = "a whole number" if whole else "a number"
        raise ParamsError(f"{_PLACE}: {key} of {function} is {kind}, was {value!r}")
    return value if whole else float(value)


def _check_range(function: str, given: Mapping[str, Value]) -> None:
    """TA-Lib must take every parameter, and all of them together."""
    defaults = abstract.Function(function).parameters
    for key, value in given.items():
        if _lookback(function, {key: value}) < 0:
            raise ParamsError(
                f"{_PLACE}: {key}={value} is out of TA-Lib's range for {function}; its default"
                f" is {defaults[key]}"
            )
    if _lookback(function, given) < 0:
        raise ParamsError(
            f"{_PLACE}: TA-Lib does not take {dict(given)} together for {function}; its defaults"
            f" are {dict(defaults)}"
        )


def _lookback(function: str, parameters: Mapping[str, Value]) -> int:
    """TA-Lib's lookback, -1 where it does not take the parameters."""
    if any(isinstance(value, int) and abs(value) > _LARGEST for value in parameters.values()):
        return -1
    called = abstract.Function(function)
    called.parameters = dict(parameters)
    return int(called.lookback)


def _names(call: Call) -> list[str]:
    """The column names of a call, one an output."""
    slots, outputs = _slots(call.function), call.outputs()
    other = [
        f"{key}_{read}"
        for (key, column), read in zip(slots, call.inputs, strict=True)
        if read != column
    ]
    parameters = [f"{key}_{_spelled(value)}" for key, value in call.parameters]
    stem = "_".join([PREFIX, call.function, *other, *parameters])
    return [stem] if len(outputs) == 1 else [f"{stem}_{output}" for output in outputs]


def _spelled(value: Value) -> str:
    """A number in letters and digits: 0.02 is 0p02, -1 is m1."""
    text = repr(value).removesuffix(".0")
    return text.replace("+", "").replace("-", "m").replace(".", "p")


def _spelled_out(name: str) -> dict[str, str | Value]:
    """What a column's name asks for."""
    known = [f for f in talib.get_functions() if f"{name}_".startswith(f"{PREFIX}_{f}_")]
    if not known:
        raise ParamsError(f"{_PLACE}: {name!r} names no TA-Lib function; write talib_ and one")
    asked: dict[str, str | Value] = {"function": max(known, key=len)}
    tail = name.removeprefix(f"{PREFIX}_{asked['function']}")
    defaults = abstract.Function(asked["function"]).parameters
    for key in [*(key for key, _ in _slots(str(asked["function"])) if key), *defaults]:
        if tail.startswith(f"_{key}_"):
            text, mark, rest = tail.removeprefix(f"_{key}_").partition("_")
            asked[key] = _read(name, text, defaults[key]) if key in defaults else text
            tail = mark + rest
    return asked


def _read(name: str, text: str, default: Value) -> Value:
    """The number that `_spelled` wrote."""
    plain = text.replace("m", "-").replace("p", ".")
    try:
        return int(plain) if isinstance(default, int) else float(plain)
    except ValueError:
        raise ParamsError(
            f"{_PLACE}: {name!r} has {text!r} for a number; write {_spelled(default)!r}"
        ) from None


def _title(call: Call, place: int) -> str:
    """The call as TA-Lib's users write it, with the output where there are several."""
    given = [f"{key} {value:g}" for key, value in call.parameters]
    outputs = call.outputs()
    output = f" {outputs[place]}" if len(outputs) > 1 else ""
    return f"TA-Lib {call.function}({', '.join([*_other_inputs(call), *given])}){output}"


def _other_inputs(call: Call) -> list[str]:
    """The inputs named in place of TA-Lib's own."""
    slots = zip(_slots(call.function), call.inputs, strict=True)
    return [f"{key} {read}" for (key, column), read in slots if read != column]
