"""The command as a child of another one: `python -m signalkit.cli.child VERB`.

It reads its parent's pipe: when that closes, also because the parent was killed, it stops as if
it had been told to. Nothing imports this module, so that it is run once.
"""

from __future__ import annotations

import os
import signal
import threading


def end_with_parent() -> None:
    """Have this process told to stop when its parent's end of the pipe closes."""

    def watch() -> None:
        while os.read(0, 1024):  # the parent writes nothing
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    from signalkit.cli import main

    end_with_parent()
    main()
