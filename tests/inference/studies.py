"""The small study that tests of inference train."""

from signalkit.study import Study

SECTIONS = {
    "collection": {"symbols": ["SP500"], "end": "2008-12-31"},
    "features": {"families": ["price", "technical", "calendar"]},
    "training": {"rounds": 8},
    "validation": {
        "train": 400,
        "test": 200,
        "draws": 100,
        "holdout_from": "2005-01-01",
        "placebos": 0,
    },
}


def study_of(name="small", **changes):
    """A small study with some names changed."""
    sections = {part: dict(section) for part, section in SECTIONS.items()}
    for part, section in changes.items():
        sections[part] = sections.get(part, {}) | section
    return Study.open(name, **sections)
