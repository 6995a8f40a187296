"""Errors a user of signalkit can meet. Each message gives the rule, the value, the way out."""

from __future__ import annotations


class SignalkitError(ValueError):
    """Anything signalkit refuses; the subclasses say whose move it is."""


class ParamsError(SignalkitError):
    """You asked for it: a name, number or date in the params or in a call."""


class DataError(SignalkitError):
    """The data is so: bars, news or labels break the rule of their table."""


class LeakError(SignalkitError):
    """The future got in: something known at t changes when what comes after t does."""


class SourceError(SignalkitError):
    """The network: a source did not answer, or answered something else."""


class StoreError(SignalkitError):
    """The disk: the database or an artifact is missing, locked or not what we wrote."""
