"""The `signalkit` command. Help answers at once: what is slow to import waits for its verb."""

from signalkit.cli import collecting, live, models, serving, studies
from signalkit.cli.command import main

# importing a module of verbs adds them to the command
VERBS = (collecting, live, models, serving, studies)

__all__ = ["VERBS", "main"]
