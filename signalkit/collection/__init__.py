"""Collection: bars and news from any source into one checked panel.

`load` gives the panel and `load_news` the news of a study, `read_file` and `read_news` one
file; `collector` keeps an exchange's bars in the store. `data_files` names the files that a
source reads (their bytes are part of a study's identity), `quality` says what is odd about
bars that are not refused.
"""

from signalkit.collection import collector, exchange, sentiment
from signalkit.collection.defects import Defect
from signalkit.collection.files import CollectionReport, read_file
from signalkit.collection.load import SIMULATOR, data_files, load, simulated_exchange
from signalkit.collection.load_news import collected_news, load_news, news_file
from signalkit.collection.news import NewsReport, read_news
from signalkit.collection.quality import (
    ODD_TIMES,
    anomalies,
    coverage,
    gap_map,
    news_per_day,
    odd_weeks,
    stale_opens,
    yearly,
)

__all__ = [
    "ODD_TIMES",
    "SIMULATOR",
    "CollectionReport",
    "Defect",
    "NewsReport",
    "anomalies",
    "collected_news",
    "collector",
    "coverage",
    "data_files",
    "exchange",
    "gap_map",
    "load",
    "load_news",
    "news_file",
    "news_per_day",
    "odd_weeks",
    "read_file",
    "read_news",
    "sentiment",
    "simulated_exchange",
    "stale_opens",
    "yearly",
]
