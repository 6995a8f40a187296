"""Collection: bars from a source into one checked panel.

`load` gives the panel, `data_files` names the files it reads (their bytes are part of a
study's identity), `quality` says what is wrong with bars that are not refused.
"""

from signalkit.collection.files import CollectionReport, read_file
from signalkit.collection.load import data_files, load
from signalkit.collection.quality import coverage, stale_opens, yearly

__all__ = [
    "CollectionReport",
    "coverage",
    "data_files",
    "load",
    "read_file",
    "stale_opens",
    "yearly",
]
