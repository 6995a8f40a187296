"""Sentiment: a score in [-1, 1] for each title, from its words alone.

VADER scores words and the way they stand together; it was made for social media and knows
neither a rally nor a default. `vader_finance` gives it our lexicon of finance, one file a
person can edit. A title's score depends on nothing but the title.

Source: Hutto and Gilbert, VADER (ICWSM 2014); the package vaderSentiment, unchanged.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from signalkit.errors import DataError, ParamsError

SCORERS = ("vader", "vader_finance", "transformer")
LEXICON = Path(__file__).with_name("finance_lexicon.csv")
NEUTRAL = 0.05  # VADER's own: a score nearer to 0 takes no side
_STRONGEST = 4.0
_HEADER = "word,score"
# VADER strips ASCII marks from words only
_MARKS = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "—": " - ", "–": " - ", "…": " "})
_BATCH = 32  # titles


def score(
    titles: Iterable[str],
    *,
    scorer: str = "vader_finance",
    lexicon: Path | str | None = None,
    model: Path | str | None = None,
) -> np.ndarray:
    """Sentiment of each title.

    Parameters
    ----------
    titles : iterable of str of length n
        Plain text.
    scorer : str
        `vader`, `vader_finance` (VADER with the finance lexicon) or `transformer`.
    lexicon : Path or str, optional
        A lexicon in place of ours, for `vader_finance`: lines `word,score`, -4 to 4.
    model : Path or str, optional
        For `transformer`: a folder, or a name that is already in the local cache, of a
        classifier with labels positive and negative, in safetensors.

    Returns
    -------
    ndarray of float64 of shape (n,)
        From -1 to 1; 0 where no word says anything. For a transformer, the probability of
        positive less that of negative.

    Raises
    ------
    ParamsError
        If the scorer is unknown, an option belongs to another one, the lexicon is broken or
        a package or the model is missing.
    DataError
        If a title is no text.

    Examples
    --------
    >>> score(["Bitcoin plunges", "Shares rally", "Shares of gross interest"]).round(1).tolist()
    [-0.5, 0.4, 0.0]
    """
    if scorer not in SCORERS:
        raise ParamsError(f"scorer: {scorer!r} is none of {', '.join(SCORERS)}")
    if lexicon is not None and scorer != "vader_finance":
        raise ParamsError(f"lexicon is for vader_finance; the scorer is {scorer}")
    if (model is not None) != (scorer == "transformer"):
        raise ParamsError(
            f"model is {model!r} and the scorer {scorer}; transformer needs one, no other takes one"
        )
    titles = _checked(titles)
    unique = list(dict.fromkeys(titles))
    if scorer == "transformer":
        found = _transformed(unique, str(model)) if unique else []
    else:
        compound = _plain() if scorer == "vader" else _financial(_read(lexicon or LEXICON))
        found = map(compound, unique)
    scores = dict(zip(unique, found, strict=True))
    return np.array([scores[title] for title in titles], dtype="float64")


def _checked(titles: Iterable[str]) -> list[str]:
    """Titles as a list, each of them text."""
    if isinstance(titles, str):
        raise ParamsError(f"titles is one text, {titles[:60]!r}; write a list of titles")
    titles = list(titles)
    odd = next((k for k, title in enumerate(titles) if not isinstance(title, str)), None)
    if odd is not None:
        raise DataError(f"title {odd} is {titles[odd]!r}, no text; drop it")
    return titles


def _compound(analyzer: SentimentIntensityAnalyzer, title: str) -> float:
    """VADER's compound score; 0 at once where no word is in its lexicon."""
    # VADER walks every character and word before it says 0; emoji are words to it, so ASCII only
    if title.isascii() and not any(
        word in analyzer.lexicon or word.strip(string.punctuation) in analyzer.lexicon
        for word in title.lower().split()
    ):
        return 0.0
    return analyzer.polarity_scores(title)["compound"]


@lru_cache(maxsize=1)
def _plain() -> Callable[[str], float]:
    """VADER alone."""
    analyzer = SentimentIntensityAnalyzer()
    return lambda title: _compound(analyzer, title)


def _read(path: Path | str) -> tuple[str, str]:
    """A lexicon's path and text."""
    try:
        return str(path), Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as cause:
        raise ParamsError(f"lexicon {path}: cannot be read as UTF-8 text ({cause})") from None


@lru_cache(maxsize=4)
def _financial(lexicon: tuple[str, str]) -> Callable[[str], float]:
    """VADER with a lexicon over its own."""
    words = _entries(*lexicon)
    analyzer = SentimentIntensityAnalyzer()
    analyzer.lexicon.update({_token(word): value for word, value in words.items() if value})
    # a word of score 0 left in would still take the weight of an adverb before it
    for word in (word for word, value in words.items() if not value):
        analyzer.lexicon.pop(word, None)
    phrases = sorted((word for word in words if " " in word), key=len, reverse=True)
    parts = (re.escape(phrase).replace(r"\ ", r"[\s-]+") for phrase in phrases)
    pattern = re.compile(rf"(?<!\w)({'|'.join(parts) or '(?!)'})(?!\w)(?:'s\b)?", re.IGNORECASE)

    def compound(title: str) -> float:
        joined = pattern.sub(lambda m: _token(m[1]), title.translate(_MARKS))
        return _compound(analyzer, joined)

    return compound


def _token(phrase: str) -> str:
    """A phrase as the one word that VADER sees."""
    return re.sub(r"[\s-]+", "_", phrase)


def _entries(path: str, text: str) -> dict[str, float]:
    """Words and phrases of a lexicon with their scores."""
    entries: dict[str, float] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#") or line == _HEADER:
            continue
        word, value = _entry(line, f"lexicon {path}, line {number}")
        if word in entries:
            raise ParamsError(f"lexicon {path}, line {number}: {word!r} stands there twice")
        entries[word] = value
    if not entries:
        raise ParamsError(f"lexicon {path}: no entries; write lines such as 'surge,2'")
    return entries


def _entry(line: str, where: str) -> tuple[str, float]:
    """Word and score of a line."""
    word, comma, value = line.rpartition(",")
    word = " ".join(word.replace("-", " ").lower().split())
    try:
        number = float(value)
    except ValueError:
        number = np.nan
    if not comma or not word or "," in word or not abs(number) <= _STRONGEST:
        raise ParamsError(f"{where}: {line!r} is no word, comma and score from -4 to 4")
    return word, number


def _transformed(titles: list[str], model: str) -> list[float]:
    """Scores by a classifier that is on this disk."""
    tokenizer, network, positive, negative = _network(model)
    import torch  # noqa: PLC0415 - takes over 0.3 s

    found: list[float] = []
    with torch.inference_mode():
        for start in range(0, len(titles), _BATCH):
            batch = titles[start : start + _BATCH]
            words = tokenizer(batch, padding=True, truncation=True, return_tensors="pt")
            chance = torch.softmax(network(**words).logits.double(), dim=-1)
            found += (chance[:, positive] - chance[:, negative]).tolist()
    return found


@lru_cache(maxsize=1)
def _network(model: str) -> tuple:
    """Tokenizer and network of a model, and its columns of positive and negative."""
    try:
        import transformers  # noqa: PLC0415 - takes over 0.3 s
    except ImportError:
        raise ParamsError(
            "scorer transformer needs transformers and torch; pip install 'signalkit[transformer]'"
        ) from None
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(model, **local)
        network = transformers.AutoModelForSequenceClassification.from_pretrained(
            model, use_safetensors=True, **local
        )
    except (OSError, ValueError, ImportError) as cause:
        raise ParamsError(
            f"model {model!r} is no local classifier in safetensors ({str(cause)[:200]});"
            " nothing is fetched: save it in a folder and name that"
        ) from None
    labels = {str(name).lower(): column for column, name in network.config.id2label.items()}
    if not {"positive", "negative"} <= set(labels):
        raise ParamsError(f"model {model!r} has labels {sorted(labels)}; needs positive, negative")
    return tokenizer, network.eval(), int(labels["positive"]), int(labels["negative"])
