"""Proof that nothing fitted, decided or traded knows of later: truncate and poison every stage."""

from signalkit.proof.fitted import stages

__all__ = ["stages"]
