"""The loop: each new bar predicted, settled, watched, acted on and turned into a signal."""

from signalkit.live.collecting import Collecting
from signalkit.live.follow import follow
from signalkit.live.kept import replayed
from signalkit.live.loop import Loop, Step, tick
from signalkit.live.played import rehearsal
from signalkit.live.replay import Replay, replay

__all__ = [
    "Collecting",
    "Loop",
    "Replay",
    "Step",
    "follow",
    "rehearsal",
    "replay",
    "replayed",
    "tick",
]
