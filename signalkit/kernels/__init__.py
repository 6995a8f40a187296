"""Kernels: compiled loops over bars, and the engine that runs graphs of them.

One step a kernel, with its state in hand: batch feeds it many bars at once, a stream one.
"""

from signalkit.kernels.engine import Engine, evaluate, threads
from signalkit.kernels.graph import INPUTS, Node, Program

__all__ = ["INPUTS", "Engine", "Node", "Program", "evaluate", "threads"]
