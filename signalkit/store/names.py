"""Names that become files: letters, digits, dots, dashes and underscores, never a path."""

from __future__ import annotations

import re

from signalkit.errors import ParamsError

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")


def check_name(name: str, what: str) -> None:
    """Refuse a name that could leave its folder or that a disk would not take.

    Parameters
    ----------
    name : str
        What is to become the name of a file or a folder.
    what : str
        What it names, for the message.

    Raises
    ------
    ParamsError
        If it has other signs than letters, digits and . _ -, begins with one of these three,
        or is longer than 120.

    Examples
    --------
    >>> check_name("fold-003.XGBOOST", "piece")
    """
    if not isinstance(name, str) or not _SAFE.fullmatch(name):
        raise ParamsError(
            f"{what} {name!r} cannot name a file; use up to 120 letters, digits, '.', '_' and"
            " '-', the first a letter or a digit"
        )
