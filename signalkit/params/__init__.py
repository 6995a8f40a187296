"""What a study asks: one typed section a stage; a name nobody declares is refused.

A params file is YAML: `study_name` and sections that hold only what differs from the
defaults, which describe the bundled sample. The comment on top is the question. Checks
here need no data: what must be compared with the bars is checked by the study.
"""

from signalkit.params.reading import check_names, line_of, parse, question, read
from signalkit.params.sections import (
    SECTIONS,
    Collection,
    DefectName,
    News,
    Params,
    Simulator,
)
from signalkit.params.types import timestamp

__all__ = [
    "SECTIONS",
    "Collection",
    "DefectName",
    "News",
    "Params",
    "Simulator",
    "check_names",
    "line_of",
    "parse",
    "question",
    "read",
    "timestamp",
]
