"""Which symbols a title names.

Whole words only, in any case, and cashtags such as $BTC (tokenised texts write "$ btc"). A
name of one or two letters is a word of too many languages: it counts as a cashtag alone.
Where one name holds another, as "bitcoin cash" holds "bitcoin", the longer one is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from signalkit.errors import ParamsError

_SHORT = 2  # letters


def symbol_names(
    aliases: Mapping[str, Sequence[str]] | None, symbols: Sequence[str] | None
) -> dict[str, tuple[str, ...]]:
    """Names under which each symbol is looked for: its own and its aliases.

    Parameters
    ----------
    aliases : mapping of str to sequence of str, optional
        Other names of a symbol.
    symbols : sequence of str, optional
        Symbols to look for; those of `aliases` if omitted.

    Raises
    ------
    ParamsError
        If a name is empty, or a text stands where a list of names belongs.
    """
    if isinstance(symbols, str):
        raise ParamsError(f"symbols is the text {symbols!r}; write a list such as [{symbols!r}]")
    aliases = aliases or {}
    wanted = aliases if symbols is None else symbols
    names = {symbol: (symbol, *_checked(symbol, aliases.get(symbol, ()))) for symbol in wanted}
    if not all(names):
        raise ParamsError("symbols: one is empty; leave it out")
    return names


def _checked(symbol: str, others: Sequence[str]) -> Sequence[str]:
    """Aliases of a symbol, none of them empty."""
    if isinstance(others, str):
        raise ParamsError(f"aliases of {symbol}: {others!r} is a text; write a list of names")
    if not all(isinstance(name, str) and name.strip() for name in others):
        raise ParamsError(f"aliases of {symbol}: one of {list(others)} is empty; leave it out")
    return others


def find_symbols(
    titles: Iterable[str], names: Mapping[str, Sequence[str]]
) -> list[tuple[str, ...]]:
    """Symbols that each title names, sorted.

    Parameters
    ----------
    titles : iterable of str
        Plain text.
    names : mapping of str to sequence of str
        Names of each symbol, as `symbol_names` gives them.

    Returns
    -------
    list of tuple of str
        One a title; empty where it names none.

    Examples
    --------
    >>> find_symbols(["Bitcoin falls", "Not on $ t"], {"BTCUSDT": ["bitcoin"], "T": ["T"]})
    [('BTCUSDT',), ('T',)]
    """
    if not names:
        return [() for _ in titles]
    pattern, owners = _compiled(tuple((symbol, tuple(names[symbol])) for symbol in names))
    found = []
    for title in titles:
        hits = {_plain(match[1] or match[2]) for match in pattern.finditer(title.lower())}
        found.append(tuple(sorted({symbol for hit in hits for symbol in owners[hit]})))
    return found


def _plain(name: str) -> str:
    """A name in small letters with single blanks."""
    return " ".join(name.lower().split())


@lru_cache(maxsize=8)
def _compiled(
    names: tuple[tuple[str, tuple[str, ...]], ...],
) -> tuple[re.Pattern, dict[str, set[str]]]:
    """One expression for all names, and the symbols behind each."""
    owners: dict[str, set[str]] = {}
    for symbol, others in names:
        for name in others:
            owners.setdefault(_plain(name.lstrip("$")), set()).add(symbol)
    by_length = sorted(owners, key=lambda name: (-len(name), name))
    tags = [re.escape(name) for name in by_length if " " not in name]
    words = [re.escape(n).replace(r"\ ", r"\s+") for n in by_length if len(n) > _SHORT]
    # an alternation of nothing would match everywhere
    tag, word = ("|".join(part) or r"(?!)" for part in (tags, words))
    return re.compile(rf"\$\s?({tag})(?!\w)|(?<![\w$])({word})(?!\w)"), owners
