"""`python -m signalkit.cli`, where the command is not installed."""

from signalkit.cli.command import main

main()
