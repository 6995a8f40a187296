"""The `signalkit` command. Help answers at once: what is slow to import waits for its verb."""

from signalkit.cli import collecting, models, studies
from signalkit.cli.command import main

# importing a module of verbs adds them to the command
VERBS = (collecting, models, studies)

__all__ = ["VERBS", "main"]
