"""The loop: each new bar predicted, settled, watched, acted on and turned into a signal."""

from signalkit.live.collecting import Collecting
from signalkit.live.follow import follow
from signalkit.live.loop import Loop, Step, tick

__all__ = ["Collecting", "Loop", "Step", "follow", "tick"]
