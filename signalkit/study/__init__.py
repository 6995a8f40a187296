"""A study: the stages in order, each read from the store where it was made before."""

from signalkit.study.registry import register, study_of
from signalkit.study.rehearsed import rehearse
from signalkit.study.stages import STAGES
from signalkit.study.study import Study

__all__ = ["STAGES", "Study", "register", "rehearse", "study_of"]
